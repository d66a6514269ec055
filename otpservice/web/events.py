"""What surrounds every request: its id, the headers of its answer, one line in the log."""

import logging
import re
import time
import uuid

from flask import Flask, Response, g, has_request_context, request

from otpservice.logs import request_id_var
from otpservice.meter import NO_METER, Meter
from otpservice.web.audit import log_decision

log = logging.getLogger("otpservice.request")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_QUIET = frozenset({"health.live", "health.ready"})


def register_events(app: Flask, meter: Meter = NO_METER) -> None:
    """Give every request an id, its answer the headers all answers have; log and count it once."""

    @app.before_request
    def begin() -> None:
        g.began = time.monotonic()
        offered = request.headers.get("X-Request-Id", "")
        g.request_id = offered if _REQUEST_ID.match(offered) else uuid.uuid4().hex
        request_id_var.set(g.request_id)

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        request_id_var.set(None)

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        # Probes come every second and say nothing new.
        level = logging.DEBUG if request.endpoint in _QUIET else logging.INFO
        log.log(level, "request", extra=_facts(response))
        log_decision()
        _count(meter, response.status_code)
        return response


def _facts(response: Response) -> dict[str, object]:
    app = g.get("app")
    facts = {
        "method": request.method,
        "endpoint": request.endpoint,
        "status": response.status_code,
        "outcome": g.get("outcome", "ok"),
        "app": app.name if app else None,
        "purpose": g.get("purpose"),
        "phone_masked": g.get("phone"),
        "route": g.get("route"),
        "limit": g.get("limit"),
        "redis_calls": g.get("redis_calls"),
        "redis_ms": _ms(g.get("redis_seconds")),
        "provider_ms": _ms(g.get("provider_seconds")),
        "ms": _ms(time.monotonic() - g.began),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def note_redis_call(seconds: float) -> None:
    """Add a call of the request at hand to its line; the balance watch makes some outside any."""
    if has_request_context():
        g.redis_calls = g.get("redis_calls", 0) + 1
        g.redis_seconds = g.get("redis_seconds", 0.0) + seconds


def note_provider_call(seconds: float) -> None:
    """Add what the request at hand waited for a provider to its line."""
    if has_request_context():
        g.provider_seconds = g.get("provider_seconds", 0.0) + seconds


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _count(meter: Meter, status: int) -> None:
    seconds = time.monotonic() - g.began
    code = g.get("outcome", "ok")
    meter.answered(request.endpoint or "unmatched", status, code, seconds)
    if limit := g.get("limit"):
        meter.limit_hit(code, limit)
    if delivery := g.get("delivery"):
        meter.sent(g.route, g.country, delivery)
    if country := g.get("confirmed_in"):
        meter.confirmed(country)
