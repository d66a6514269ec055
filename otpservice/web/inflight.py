"""How many requests one worker handles at once."""

from collections import deque

from flask import Flask, request

from otpservice.telemetry.metrics import REQUESTS_IN_FLIGHT, REQUESTS_IN_FLIGHT_LIMIT
from otpservice.web.context import current_context
from otpservice.web.requests import Overloaded

_PROBES = frozenset({"health.live", "health.ready"})


def limit_in_flight(app: Flask, limit: int) -> None:
    """Answer ``overloaded`` beyond ``limit`` requests at once; probes always get through.

    A slow provider then fills the slots, and no more: what comes after is refused at once instead
    of waiting in a queue until its caller has gone.
    """
    # The methods of a deque are atomic, and cheaper than a semaphore's.
    slots = deque(range(limit))
    REQUESTS_IN_FLIGHT_LIMIT.set(limit)

    @app.before_request
    def enter() -> None:
        if request.endpoint in _PROBES:
            return
        context = current_context()
        try:
            context.slot = slots.pop()
        except IndexError:
            raise Overloaded from None
        REQUESTS_IN_FLIGHT.inc()

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        context = current_context()
        if context.slot is not None:
            slots.append(context.slot)
            context.slot = None
            REQUESTS_IN_FLIGHT.dec()
