"""The rate limits at the door: requests per phone and per app, counted by Flask-Limiter."""

from collections.abc import Callable
from time import perf_counter
from typing import cast

from flask import Flask, g
from flask_limiter import Limiter, RequestLimit
from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import SlidingWindowCounterSupport
from redis import Redis

from otpservice.meter import NO_METER, Meter
from otpservice.web.requests import RateLimited

_CALL = "rate_limits"


class Door:
    """Lets a request in, or raises ``RateLimited``; without Redis it stays shut.

    Args:
        app: the Flask application to guard.
        redis: the client whose connections are used.
        phone_limit: requests per phone, such as ``30/minute``.
        app_limit: requests per app.
        meter: told of every look at the limits.
    """

    def __init__(
        self,
        app: Flask,
        redis: Redis,
        *,
        phone_limit: str,
        app_limit: str,
        meter: Meter = NO_METER,
    ) -> None:
        self._meter = meter
        limiter = Limiter(
            key_func=lambda: "",
            app=app,
            storage_uri="redis://",
            storage_options={
                "connection_pool": redis.connection_pool,  # type: ignore[dict-item]
                "wrap_exceptions": True,
            },
            # Neither lets twice the limit through where two windows meet, as fixed-window does,
            # nor trusts this machine's clock, as moving-window does.
            strategy="sliding-window-counter",
            headers_enabled=False,  # a round trip each
        )
        by_phone = limiter.shared_limit(
            phone_limit, "phone", key_func=lambda: g.bucket, on_breach=_refuse
        )
        by_app = limiter.shared_limit(
            app_limit, "app", key_func=lambda: g.app.name, on_breach=_refuse
        )
        # One plain function, decorated once: limits opened for a block at a time are kept in a
        # table that all threads share, and some hits were charged to another thread's key.
        self._enter: Callable[[], None] = by_app(by_phone(_enter))

    def admit(self, bucket: str) -> None:
        """Count one request of ``g.app`` on the phone or verification that ``bucket`` stands for.

        Raises:
            RateLimited: one too many.
            StorageError: the limits could not be counted.
        """
        # An empty key would be no limit at all.
        if not bucket:
            raise ValueError("a request without a bucket cannot be counted")
        g.bucket = bucket
        began = perf_counter()
        try:
            self._enter()
        except StorageError:
            self._meter.redis_failed(_CALL)
            raise
        finally:
            self._meter.redis_called(_CALL, perf_counter() - began)


def _enter() -> None:
    """Inside the door."""


def _refuse(breach: RequestLimit) -> None:
    *_, scope = breach.request_args
    raise RateLimited(
        scope,
        breach.limit.amount,
        breach.limit.get_expiry(),
        _seconds_until_room(
            cast(SlidingWindowCounterSupport, breach.limiter.storage),
            breach.limit,
            breach.request_args,
        ),
    )


def _seconds_until_room(
    storage: SlidingWindowCounterSupport, limit: RateLimitItem, args: list[str]
) -> int:
    """How long until one more request is let in, if nobody else comes.

    The counter weighs the window before by the part of it that is still in sight.
    """
    window = limit.get_expiry()
    before, before_left, current, current_left = storage.get_sliding_window(
        limit.key_for(*args), window
    )
    rolls_over = current_left - window
    if current < limit.amount:  # once enough of the window before is out of sight
        out_of_sight = before_left - window * (limit.amount - current) / max(before, 1)
        wait = min(out_of_sight, rolls_over)
    else:  # once this window is the one before, and enough of it out of sight
        wait = rolls_over + window * (1 - limit.amount / current)
    return max(0, int(wait)) + 1
