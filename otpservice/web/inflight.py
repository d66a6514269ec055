"""How many requests one worker handles at once."""

from threading import BoundedSemaphore

from flask import Flask

from otpservice.meter import NO_METER, Meter
from otpservice.web.current import current_request, facts
from otpservice.web.requests import Overloaded

_PROBES = frozenset({"health.live", "health.ready"})


def limit_in_flight(app: Flask, limit: int, meter: Meter = NO_METER) -> None:
    """Answer ``overloaded`` beyond ``limit`` requests at once; probes always get through.

    A slow provider then fills the slots, and no more: what comes after is told so at once instead
    of waiting in a queue until its caller has gone.
    """
    slots = BoundedSemaphore(limit)

    @app.before_request
    def enter() -> None:
        if current_request().endpoint in _PROBES:
            return
        if not slots.acquire(blocking=False):
            raise Overloaded
        facts().has_slot = True
        meter.entered()

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        known = facts()
        if known.has_slot:
            known.has_slot = False
            slots.release()
            meter.left()
