"""Where the parts meet: the only module that knows them all."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from flask import Flask

from otpservice.config.settings import Settings
from otpservice.routes.breaker import GuardedRoute, guarded
from otpservice.routes.vavasms_otp import VavasmsOtpRoute
from otpservice.routes.vavasms_text import TracedTextRoute, VavasmsTextRoute
from otpservice.routes.webhook import HttpRoute
from otpservice.store.balance import BalanceWatch
from otpservice.store.client import Client, connect
from otpservice.store.generation import Epoch, epoch_keys
from otpservice.store.health import redis_details
from otpservice.store.idempotency import RedisIdempotency
from otpservice.store.inbound import RedisInbound
from otpservice.store.limits import limiter_storage
from otpservice.store.pumping import PumpingGuard
from otpservice.store.scripts import Scripts
from otpservice.store.verifications import RedisStore
from otpservice.telemetry.waits import call_provider
from otpservice.vavasms import VavasmsClient
from otpservice.verification.balance import Money, Prices
from otpservice.verification.digest import Digester
from otpservice.verification.inbound import Inbound
from otpservice.verification.message import size
from otpservice.verification.ports import Store
from otpservice.verification.routes import Route
from otpservice.verification.service import VerificationService
from otpservice.web.api.idempotency import Idempotency
from otpservice.web.api.intake import Intake
from otpservice.web.api.verifications import verifications_blueprint
from otpservice.web.api.webhooks import inbound_blueprint
from otpservice.web.bodies import read_bodies_first
from otpservice.web.error_handlers import register_errors
from otpservice.web.events import register_events
from otpservice.web.inflight import limit_in_flight
from otpservice.web.limits import RateLimiter
from otpservice.web.ops.admin import Vitals, admin_blueprint
from otpservice.web.ops.health import health_blueprint
from otpservice.web.ops.metrics import metrics_blueprint
from otpservice.web.ops.openapi import openapi_blueprint

MAX_IN_FLIGHT = 500
_MAX_BODY = 4096

# Seconds a request takes at most beside the provider's: a longer one lost its worker.
_BEYOND_THE_PROVIDER = 5


def create_app(
    settings: Settings,
    *,
    redis: Client | None = None,
    store: Store | None = None,
    routes: Mapping[str, Route] | None = None,
    ask_balance: Callable[[], Money] | None = None,
    max_in_flight: int = MAX_IN_FLIGHT,
    is_stopping: Callable[[], bool] = lambda: False,
    body_deadline: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Flask:
    """Build the service. Nothing connects before the first request.

    Args:
        settings: what the operator decided.
        redis: the client to use instead of one for ``settings.redis_url``.
        store: the state to use instead of the one in Redis.
        routes: by name, the routes to use instead of those of the settings.
        ask_balance: what to ask for the balance instead of the account of the settings.
        max_in_flight: requests one worker handles at once.
        is_stopping: whether the service was told to stop and only finishes what it has.
        body_deadline: makes a context manager that raises RequestTimeout if a body takes too long
            to come; by default nothing limits that.
    """
    app = _bare_app(max_in_flight, body_deadline)

    # A client of its own: a probe waits for no connection behind a burst of requests.
    probe = connect(settings.redis_url) if redis is None else redis
    redis = connect(settings.redis_url) if redis is None else redis
    digester = Digester(settings.secret_keys)
    client = vavasms_client(settings) if settings.vavasms_username else None
    if routes is None:
        routes = _routes(settings, client)
    if ask_balance is None and client:
        ask_balance = client.balance
    scripts = Scripts(redis)
    epoch = Epoch(Scripts(probe), epoch_keys(probe))
    watch = _balance_watch(scripts, settings, ask_balance)
    if store is None:
        store = redis_store(redis, digester, settings, watch, epoch=epoch)
    service = VerificationService(
        store,
        routes,
        settings.policy,
        sending=settings.sending,
    )
    limiter = RateLimiter(
        app,
        limiter_storage(redis),
        phone_limit=settings.phone_rate_limit,
        app_limit=settings.app_rate_limit,
    )
    intake = Intake(limiter, digester, settings)
    lease = settings.policy.provider_timeout + _BEYOND_THE_PROVIDER
    idempotency = Idempotency(app, RedisIdempotency(scripts, settings.secret_keys, lease=lease))
    inbound = Inbound(
        RedisInbound(scripts, digester),
        VavasmsClient.parse_incoming,
        region=settings.default_region,
    )
    vitals = _vitals(settings, redis, epoch, routes, watch)
    app.register_blueprint(verifications_blueprint(service, intake, idempotency, settings))
    app.register_blueprint(
        inbound_blueprint(inbound.receive, settings.inbound_token, settings.inbound_addresses)
    )
    app.register_blueprint(health_blueprint(store, vitals.degraded, is_stopping))
    app.register_blueprint(admin_blueprint(settings.apps, vitals))
    balance = watch.last_while_asking if watch else lambda: None
    app.register_blueprint(metrics_blueprint(settings.apps, balance, epoch.look))
    app.register_blueprint(openapi_blueprint())
    return app


def _bare_app(
    max_in_flight: int, body_deadline: Callable[[], AbstractContextManager[object]]
) -> Flask:
    """What surrounds every request, without any address."""
    app = Flask("otpservice", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # nothing here is called from a browser
    app.url_map.merge_slashes = False  # an address written wrong is not found, not redirected
    app.json.sort_keys = False  # type: ignore[attr-defined]
    register_events(app)
    register_errors(app)
    read_bodies_first(app, body_deadline)
    limit_in_flight(app, max_in_flight)
    return app


def vavasms_client(settings: Settings) -> VavasmsClient:
    """The provider's API under the account of the settings."""
    return VavasmsClient(
        url=settings.vavasms_url,
        username=settings.vavasms_username,
        password=settings.vavasms_password,
        timeout=settings.policy.provider_timeout,
        plus_sign=settings.vavasms_plus_sign,
        verify_sender_id=settings.vavasms_verify_sender_id,
        lang=settings.vavasms_lang,
        status_path=settings.vavasms_status_path,
    )


def redis_store(
    redis: Client,
    digester: Digester,
    settings: Settings,
    watch: BalanceWatch | None = None,
    *,
    epoch: Epoch | None = None,
) -> RedisStore:
    """The store of the settings' limits."""
    guard = None
    if settings.pumping_guard != "off":
        guard = PumpingGuard(digester, enforce=settings.pumping_guard == "enforce")
    return RedisStore(
        redis,
        digester,
        settings.policy,
        guard=guard,
        watch=watch,
        replicas=settings.redis_wait_replicas,
        epoch=epoch,
    )


def _routes(settings: Settings, client: VavasmsClient | None) -> dict[str, GuardedRoute]:
    """All routes the settings have what it takes for: old codes outlive a change of ROUTES."""
    routes: list[Route] = []
    if client:
        text_route = TracedTextRoute if settings.vavasms_status_path else VavasmsTextRoute
        sender_id = settings.vavasms_sender_id
        routes += [VavasmsOtpRoute(client, sender_id=sender_id), text_route(client)]
    if settings.http_route_url and settings.http_route_secret:
        url, secret = settings.http_route_url, settings.http_route_secret
        routes.append(HttpRoute(url, secret, timeout=settings.policy.provider_timeout))
    failures, seconds = settings.breaker_failures, settings.breaker_seconds
    return {route.name: guarded(route, failures=failures, seconds=seconds) for route in routes}


def _balance_watch(
    scripts: Scripts, settings: Settings, ask: Callable[[], Money] | None
) -> BalanceWatch | None:
    """The watch over the account of the settings; None if they have none."""
    if ask is None:
        return None
    paid = (VavasmsOtpRoute.name, VavasmsTextRoute.name)
    counted_ask = partial(call_provider, "vavasms", "balance", ask)
    return BalanceWatch(scripts, counted_ask, prices(settings), routes=paid)


def prices(settings: Settings) -> Prices:
    """What one code costs at most, in the default language, and when money is low."""
    length = settings.policy.code_length
    templates = [settings.template_for(app, None) for app in settings.apps]
    return Prices(
        sms=settings.sms_price_xof,
        parts=max(size(template, length).parts for template in templates),
        low=settings.low_balance_xof,
    )


def _vitals(
    settings: Settings,
    redis: Client,
    epoch: Epoch,
    routes: Mapping[str, Route],
    watch: BalanceWatch | None,
) -> Vitals:
    """Where the health pages look."""
    guarded_routes = [route for route in routes.values() if isinstance(route, GuardedRoute)]

    def degraded() -> list[str]:
        troubles = [trouble for route in guarded_routes for trouble in route.troubles]
        return [*troubles, "low_balance"] if watch and watch.low else troubles

    def breakers() -> dict[str, str]:
        return {
            f"{route.name} {operation}": breaker.state
            for route in guarded_routes
            for operation, breaker in route.breakers.items()
        }

    def last_outcome() -> str | None:
        return next((route.last_outcome for route in guarded_routes if route.last_outcome), None)

    return Vitals(
        redis=partial(redis_details, redis, epoch),
        last_outcome=last_outcome,
        balance=watch.now if watch else lambda: None,
        provider_url=settings.vavasms_url,
        breakers=breakers,
        degraded=degraded,
        warnings=settings.warnings,
    )
