"""What surrounds every request: its id, the headers of its answer, one line in the log."""

import logging
import re
import time
from random import getrandbits

from flask import Flask, Response, request

from otpservice.telemetry.logs import request_id_var
from otpservice.telemetry.metrics import CONFIRMATIONS, LIMITS_HIT, REQUEST_SECONDS, REQUESTS, SENDS
from otpservice.telemetry.waits import waits_var
from otpservice.web.audit import log_decision
from otpservice.web.context import RequestContext, current_context

log = logging.getLogger("otpservice.request")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_QUIET = frozenset({"health.live", "health.ready"})


def register_events(app: Flask) -> None:
    """Give each request an id and each answer its common headers; log and count each once."""

    @app.before_request
    def begin() -> None:
        context = current_context()
        offered = request.headers.get("X-Request-Id", "")
        context.request_id = offered if _REQUEST_ID.match(offered) else _new_id()
        request_id_var.set(context.request_id)
        waits_var.set(context.waits)

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        request_id_var.set(None)
        waits_var.set(None)

    @app.after_request
    def finish(response: Response) -> Response:
        context = current_context()
        response.headers.add("X-Request-Id", context.request_id)
        response.headers.add("Cache-Control", "no-store")
        response.headers.add("X-Content-Type-Options", "nosniff")
        # Probes come every second and say nothing new.
        level = logging.DEBUG if request.endpoint in _QUIET else logging.INFO
        log.log(level, "request", extra=_line(context, response.status_code))
        log_decision(context, request.endpoint)
        _count(context, request.endpoint, response.status_code)
        return response


def _line(context: RequestContext, status: int) -> dict[str, object]:
    """The fields of the request's line; those without a value are left out."""
    waits = context.waits
    fields = {
        "method": request.method,
        "endpoint": request.endpoint,
        "status": status,
        "outcome": context.outcome,
        "app": context.app.name if context.app else None,
        "purpose": context.purpose,
        "phone_masked": context.phone,
        "route": context.route or None,
        "limit": context.limit,
        "redis_calls": waits.redis_calls or None,
        "redis_ms": _ms(waits.redis_seconds) if waits.redis_calls else None,
        "provider_ms": _ms(waits.provider_seconds),
        "ms": _ms(time.monotonic() - context.began),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _new_id() -> str:
    # It is no secret, so it needs no random bits of the operating system.
    return f"{getrandbits(128):032x}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _count(context: RequestContext, endpoint: str | None, status: int) -> None:
    seconds = time.monotonic() - context.began
    name = endpoint or "unmatched"
    REQUESTS.labels(name, status, context.outcome).inc()
    REQUEST_SECONDS.labels(name).observe(seconds)
    if context.limit:
        LIMITS_HIT.labels(context.outcome, context.limit).inc()
    if context.delivery:
        SENDS.labels(context.route, context.country, context.delivery).inc()
    if context.confirmed_in:
        CONFIRMATIONS.labels(context.confirmed_in).inc()
