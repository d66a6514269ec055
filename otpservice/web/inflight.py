"""How many requests one worker handles at once."""

from collections import deque

from flask import Flask

from otpservice.telemetry.metrics import REQUESTS_IN_FLIGHT, REQUESTS_IN_FLIGHT_LIMIT
from otpservice.web.current import current_request, facts
from otpservice.web.requests import Overloaded

_PROBES = frozenset({"health.live", "health.ready"})


def limit_in_flight(app: Flask, limit: int) -> None:
    """Answer ``overloaded`` beyond ``limit`` requests at once; probes always get through.

    A slow provider then fills the slots, and no more: what comes after is refused at once instead
    of waiting in a queue until its caller has gone.
    """
    # Threads take from a deque and give back to it safely, for less than a semaphore asks.
    slots = deque(range(limit))
    REQUESTS_IN_FLIGHT_LIMIT.set(limit)

    @app.before_request
    def enter() -> None:
        if current_request().endpoint in _PROBES:
            return
        known = facts()
        try:
            known.slot = slots.pop()
        except IndexError:
            raise Overloaded from None
        REQUESTS_IN_FLIGHT.inc()

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        known = facts()
        if known.slot is not None:
            slots.append(known.slot)
            known.slot = None
            REQUESTS_IN_FLIGHT.dec()
