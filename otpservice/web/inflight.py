"""How many requests one worker handles at once."""

from threading import BoundedSemaphore

from flask import Flask, g, request

from otpservice.meter import NO_METER, Meter
from otpservice.turns import Turnstile
from otpservice.web.requests import Overloaded

# Requests that work at the same time. One computes while the others wait for Redis, some of which
# may be a network away.
_AT_A_TIME = 8

_PROBES = frozenset({"health.live", "health.ready"})


def limit_in_flight(app: Flask, limit: int, meter: Meter = NO_METER) -> None:
    """Answer ``overloaded`` beyond ``limit`` requests at once; probes always get through.

    A slow provider then fills the slots, and no more: what comes after is told so at once instead
    of waiting in a queue until its caller has gone.
    """
    slots, turns = BoundedSemaphore(limit), Turnstile(_AT_A_TIME)

    @app.before_request
    def enter() -> None:
        if request.endpoint in _PROBES:
            return
        if not slots.acquire(blocking=False):
            raise Overloaded
        g.has_slot = True
        meter.entered()
        turns.enter()

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        if g.pop("has_slot", False):
            turns.leave()
            slots.release()
            meter.left()
