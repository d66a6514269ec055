"""Where the parts meet: the only module that knows them all."""

from collections.abc import Callable, Mapping
from functools import partial

from flask import Flask
from redis import Redis

from otpservice.adapters.balance_watch import BalanceWatch
from otpservice.adapters.hosted_route import VavasmsOtpRoute
from otpservice.adapters.pumping_guard import PumpingGuard
from otpservice.adapters.redis_client import connect
from otpservice.adapters.redis_health import redis_details
from otpservice.adapters.redis_idempotency import RedisIdempotency
from otpservice.adapters.redis_inbound import RedisInbound
from otpservice.adapters.redis_store import RedisStore
from otpservice.adapters.scripts import Scripts
from otpservice.adapters.vavasms import VavasmsClient
from otpservice.settings import Settings
from otpservice.verification.balance import Money, Prices
from otpservice.verification.digest import Digester
from otpservice.verification.inbound import Inbound
from otpservice.verification.ports import Route, Store
from otpservice.verification.service import VerificationService
from otpservice.web.admin import Vitals, admin_blueprint
from otpservice.web.events import register_events
from otpservice.web.health import health_blueprint
from otpservice.web.idempotency import Once
from otpservice.web.inflight import limit_in_flight
from otpservice.web.intake import Intake
from otpservice.web.limits import Door
from otpservice.web.openapi import openapi_blueprint
from otpservice.web.problems import register_errors
from otpservice.web.verifications import verifications_blueprint
from otpservice.web.webhooks import inbound_blueprint

MAX_IN_FLIGHT = 500
_MAX_BODY = 4096

# Seconds a request takes at most beside the provider's: a longer one lost its worker.
_BEYOND_THE_PROVIDER = 5


def create_app(
    settings: Settings,
    *,
    redis: Redis | None = None,
    store: Store | None = None,
    routes: Mapping[str, Route] | None = None,
    ask_balance: Callable[[], Money] | None = None,
    max_in_flight: int = MAX_IN_FLIGHT,
) -> Flask:
    """Build the service. Nothing connects before the first request.

    Args:
        settings: what the operator decided.
        redis: the client to use instead of one for ``settings.redis_url``.
        store: the state to use instead of the one in Redis.
        routes: by name, the routes to use instead of those of the settings.
        ask_balance: what to ask for the balance instead of the account of the settings.
        max_in_flight: requests one worker handles at once.
    """
    app = Flask("otpservice", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # nothing here is called from a browser
    app.url_map.merge_slashes = False  # an address written wrong is not found, not redirected
    app.json.sort_keys = False  # type: ignore[attr-defined]
    register_events(app)
    register_errors(app)
    limit_in_flight(app, max_in_flight)

    redis = connect(settings.redis_url) if redis is None else redis
    digester = Digester(settings.secret_keys)
    store = redis_store(redis, digester, settings) if store is None else store
    routes = _routes(settings) if routes is None else routes
    service = VerificationService(store, routes, settings.policy, sending=settings.sending)
    door = Door(
        app, redis, phone_limit=settings.phone_rate_limit, app_limit=settings.app_rate_limit
    )
    intake = Intake(door, digester, settings)
    lease = settings.provider_timeout + _BEYOND_THE_PROVIDER
    once = Once(app, RedisIdempotency(redis, settings.secret_keys, lease=lease))
    app.register_blueprint(verifications_blueprint(service, intake, once, settings))
    scripts = Scripts(redis)
    inbound = RedisInbound(scripts, digester)
    receive = Inbound(inbound, VavasmsClient.parse_incoming, region=settings.default_region).receive
    app.register_blueprint(inbound_blueprint(receive, settings.inbound_token))
    watch = _balance_watch(scripts, settings, ask_balance)

    def degraded() -> list[str]:
        return ["low_balance"] if watch and watch.low else []

    app.register_blueprint(health_blueprint(store, degraded))
    vitals = Vitals(
        redis=partial(redis_details, redis),
        balance=watch.now if watch else lambda: None,
        provider_url=settings.vavasms_url,
        degraded=degraded,
        warnings=settings.warnings,
    )
    app.register_blueprint(admin_blueprint(settings.apps, vitals))
    app.register_blueprint(openapi_blueprint())
    return app


def vavasms_client(settings: Settings) -> VavasmsClient:
    """The provider's API under the account of the settings."""
    return VavasmsClient(
        url=settings.vavasms_url,
        username=settings.vavasms_username,
        password=settings.vavasms_password,
        timeout=settings.provider_timeout,
        plus_sign=settings.vavasms_plus_sign,
        verify_sender_id=settings.vavasms_verify_sender_id,
        lang=settings.vavasms_lang,
        status_path=settings.vavasms_status_path,
    )


def redis_store(redis: Redis, digester: Digester, settings: Settings) -> RedisStore:
    """The store of the settings' limits."""
    guard = None
    if settings.pumping_guard != "off":
        guard = PumpingGuard(digester, enforce=settings.pumping_guard == "enforce")
    return RedisStore(redis, digester, settings.policy, guard=guard)


def _balance_watch(
    scripts: Scripts, settings: Settings, ask: Callable[[], Money] | None
) -> BalanceWatch | None:
    """The watch over the account of the settings; None if they have none."""
    if ask is None and not (settings.vavasms_username and settings.vavasms_password):
        return None
    prices = Prices(sms=settings.sms_price_xof, low=settings.low_balance_xof)
    return BalanceWatch(scripts, ask or vavasms_client(settings).balance, prices)


def _routes(settings: Settings) -> dict[str, Route]:
    return {VavasmsOtpRoute.name: VavasmsOtpRoute(vavasms_client(settings))}
