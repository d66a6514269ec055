"""What surrounds every request: its id, the headers of its answer, one line in the log."""

import logging
import re
import time
from random import getrandbits

from flask import Flask, Request, Response, has_request_context

from otpservice.logs import request_id_var
from otpservice.meter import NO_METER, Meter
from otpservice.web.audit import log_decision
from otpservice.web.current import Facts, current_request, facts, keep_facts

log = logging.getLogger("otpservice.request")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_QUIET = frozenset({"health.live", "health.ready"})


def register_events(app: Flask, meter: Meter = NO_METER) -> None:
    """Give every request an id, its answer the headers all answers have; log and count it once."""

    keep_facts(app)

    @app.before_request
    def begin() -> None:
        known = facts()
        known.began = time.monotonic()
        offered = current_request().headers.get("X-Request-Id", "")
        known.request_id = offered if _REQUEST_ID.match(offered) else _new_id()
        request_id_var.set(known.request_id)

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        request_id_var.set(None)

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
        _count(meter, known, request.endpoint, response.status_code)
        return response


def _told(known: Facts, request: Request, status: int) -> dict[str, object]:
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
        "redis_calls": known.redis_calls or None,
        "redis_ms": _ms(known.redis_seconds) if known.redis_calls else None,
        "provider_ms": _ms(known.provider_seconds),
        "ms": _ms(time.monotonic() - known.began),
    }
    return {name: fact for name, fact in told.items() if fact is not None}


def _new_id() -> str:
    # No secret, so the operating system is not asked for it.
    return f"{getrandbits(128):032x}"


def note_redis_call(seconds: float) -> None:
    """Add a call of the request at hand to its line; the balance watch makes some outside any."""
    if has_request_context():
        known = facts()
        known.redis_calls += 1
        known.redis_seconds += seconds


def note_provider_call(seconds: float) -> None:
    """Add what the request at hand waited for a provider to its line."""
    if has_request_context():
        known = facts()
        known.provider_seconds = (known.provider_seconds or 0.0) + seconds


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _count(meter: Meter, known: Facts, endpoint: str | None, status: int) -> None:
    seconds = time.monotonic() - known.began
    meter.answered(endpoint or "unmatched", status, known.outcome, seconds)
    if known.limit:
        meter.limit_hit(known.outcome, known.limit)
    if known.delivery:
        meter.sent(known.route, known.country, known.delivery)
    if known.confirmed_in:
        meter.confirmed(known.confirmed_in)
