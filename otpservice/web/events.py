"""What surrounds every request: its id, the headers of its answer, one line in the log."""

import logging
import re
import time
from random import getrandbits

from flask import Flask, Request, Response

from otpservice.telemetry.logs import request_id_var
from otpservice.telemetry.metrics import CONFIRMATIONS, LIMITS_HIT, REQUEST_SECONDS, REQUESTS, SENDS
from otpservice.telemetry.waits import Waits, waits_var
from otpservice.web.audit import log_decision
from otpservice.web.current import Facts, current_request, facts, keep_facts

log = logging.getLogger("otpservice.request")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_QUIET = frozenset({"health.live", "health.ready"})


def register_events(app: Flask) -> None:
    """Give every request an id, its answer the headers all answers have; log and count it once."""

    keep_facts(app)

    @app.before_request
    def begin() -> None:
        known = facts()
        known.began = time.monotonic()
        offered = current_request().headers.get("X-Request-Id", "")
        known.request_id = offered if _REQUEST_ID.match(offered) else _new_id()
        request_id_var.set(known.request_id)
        known.waits = Waits()
        waits_var.set(known.waits)

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        request_id_var.set(None)
        waits_var.set(None)

    @app.after_request
    def finish(response: Response) -> Response:
        known, request = facts(), current_request()
        response.headers.add("X-Request-Id", known.request_id)
        response.headers.add("Cache-Control", "no-store")
        response.headers.add("X-Content-Type-Options", "nosniff")
        # Probes come every second and say nothing new.
        level = logging.DEBUG if request.endpoint in _QUIET else logging.INFO
        log.log(level, "request", extra=_told(known, request, response.status_code))
        log_decision(known, request.endpoint)
        _count(known, request.endpoint, response.status_code)
        return response


def _told(known: Facts, request: Request, status: int) -> dict[str, object]:
    waits = known.waits
    told = {
        "method": request.method,
        "endpoint": request.endpoint,
        "status": status,
        "outcome": known.outcome,
        "app": known.app.name if known.app else None,
        "purpose": known.purpose,
        "phone_masked": known.phone,
        "route": known.route or None,
        "limit": known.limit,
        "redis_calls": waits.redis_calls or None,
        "redis_ms": _ms(waits.redis_seconds) if waits.redis_calls else None,
        "provider_ms": _ms(waits.provider_seconds),
        "ms": _ms(time.monotonic() - known.began),
    }
    return {name: fact for name, fact in told.items() if fact is not None}


def _new_id() -> str:
    # No secret, so the operating system is not asked for it.
    return f"{getrandbits(128):032x}"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _count(known: Facts, endpoint: str | None, status: int) -> None:
    seconds = time.monotonic() - known.began
    name = endpoint or "unmatched"
    REQUESTS.labels(name, status, known.outcome).inc()
    REQUEST_SECONDS.labels(name).observe(seconds)
    if known.limit:
        LIMITS_HIT.labels(known.outcome, known.limit).inc()
    if known.delivery:
        SENDS.labels(known.route, known.country, known.delivery).inc()
    if known.confirmed_in:
        CONFIRMATIONS.labels(known.confirmed_in).inc()
