"""The request at hand: what came, and what has been found out about it so far."""

from flask import Flask, Request, g, request

from otpservice.config.apps import App
from otpservice.verification.idempotency import Finished


class Facts:
    """What views and hooks find out, for the answer, the lines of the log and the metrics.

    This is what Flask's ``g`` stands for. Through ``g`` each look at one of them costs as much as
    all of them past it: take ``facts()`` once.

    Attributes:
        request_id: the caller's, or one made here.
        began: when, by ``time.monotonic``.
        slot: the one it holds of the worker's places.
        app: whose key it had.
        purpose: what the proof is for.
        phone: masked.
        id: the verification's.
        decision: the audit trail's name for what was decided.
        route: how an SMS went.
        country: where to, by ISO 3166.
        delivery: ``sent`` or ``unknown``, if one went.
        confirmed_in: the country of a code that was right.
        outcome: ``ok``, or what the caller was told.
        error: the one that was answered.
        limit: the name of the one that refused.
        replayed: how it came out when it was done, if it was before.
        redis_calls: round trips.
        redis_seconds: waited for them.
        provider_seconds: waited for a provider, if one was asked.
    """

    request_id: str
    began: float
    slot: int | None = None
    app: App | None = None
    purpose: str | None = None
    phone: str | None = None
    id: str | None = None
    decision: str | None = None
    route = ""
    country = ""
    delivery: str | None = None
    confirmed_in: str | None = None
    outcome = "ok"
    error: Exception | None = None
    limit: str | None = None
    replayed: Finished | None = None
    redis_calls = 0
    redis_seconds = 0.0
    provider_seconds: float | None = None


def keep_facts(app: Flask) -> None:
    """Have ``Facts`` made for each request of ``app``."""
    app.app_ctx_globals_class = Facts  # type: ignore[assignment]  # Flask asks for no base class


def facts() -> Facts:
    """Those of the request at hand."""
    known: Facts = g._get_current_object()
    return known


def caller() -> App:
    """Whose key the request had, for a view that ``authenticated`` guards."""
    app: App = g._get_current_object().app
    return app


def current_request() -> Request:
    """Flask's ``request``, for whoever looks at more than one thing of it."""
    got: Request = request._get_current_object()  # type: ignore[attr-defined]  # of its proxy
    return got
