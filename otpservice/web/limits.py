"""Rate limits: requests per phone and per app, counted by Flask-Limiter."""

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from flask import Flask
from flask_limiter import Limiter
from limits import RateLimitItem, parse_many
from limits.errors import StorageError

from otpservice.telemetry.metrics import REDIS_ERRORS
from otpservice.telemetry.waits import note_redis_call
from otpservice.web.context import caller
from otpservice.web.requests import RateLimited

_CALL = "rate_limits"


class RateLimiter:
    """Admits requests within the limits; if it cannot count it admits none.

    Args:
        app: the Flask application to limit.
        storage: where to count, as arguments of ``Limiter``.
        phone_limit: requests per phone, such as ``30/minute``.
        app_limit: requests per app.
    """

    def __init__(
        self,
        app: Flask,
        storage: Mapping[str, Any],
        *,
        phone_limit: str,
        app_limit: str,
    ) -> None:
        self._limits = [(item, "phone") for item in parse_many(phone_limit)]
        self._limits += [(item, "app") for item in parse_many(app_limit)]
        self._limiter = Limiter(
            key_func=lambda: "",  # of limits declared by decorators, which are not used
            app=app,
            # fixed-window admits twice the limit where two windows meet, and moving-window trusts
            # this machine's clock.
            strategy="sliding-window-counter",
            headers_enabled=False,  # a round trip each
            **storage,
        )

    def admit(self, bucket: str) -> None:
        """Count one request of the caller on the phone or verification that has this bucket.

        The phone's limits come first: a request that they refuse costs the app nothing.

        Raises:
            RateLimited: a limit is exceeded.
            StorageError: the limits could not be counted.
        """
        subjects = {"phone": bucket, "app": caller().name}
        began, trips = perf_counter(), 0
        try:
            for item, scope in self._limits:
                trips += 1
                if not self._limiter.limiter.hit(item, subjects[scope], scope):
                    trips += 1  # for the wait
                    raise self._refusal(item, subjects[scope], scope)
        except StorageError:
            REDIS_ERRORS.labels(_CALL).inc()
            raise
        finally:
            note_redis_call(_CALL, perf_counter() - began, trips)

    def _refusal(self, item: RateLimitItem, subject: str, scope: str) -> RateLimited:
        window = item.get_expiry()
        storage: Any = self._limiter.storage
        counts = storage.get_sliding_window(item.key_for(subject, scope), window)
        return RateLimited(scope, item.amount, window, _seconds_until_room(item, *counts))


def _seconds_until_room(
    limit: RateLimitItem, previous: int, _previous_left: float, current: int, current_left: float
) -> int:
    """Seconds until one more request is admitted if no other comes, rounded up.

    The previous window counts in proportion to the part of it that still overlaps. The library's
    ``get_window_stats`` answers 0 for a window that began in the same millisecond.
    """
    window = limit.get_expiry()
    until_next_window = current_left - window
    free = limit.amount - current
    wait = until_next_window - (window * free / previous if free > 0 and previous else 0)
    return max(0, int(wait)) + 1
