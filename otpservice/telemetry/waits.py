"""Times calls to Redis and to providers, for the metrics and for the line of the request."""

from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter
from typing import TypeVar

from otpservice.telemetry.metrics import PROVIDER_CALL_SECONDS, PROVIDER_CALLS, REDIS_CALL_SECONDS

Answer = TypeVar("Answer")


class Waits:
    """What one request waited for.

    Attributes:
        redis_calls: round trips.
        redis_seconds: spent in them.
        provider_seconds: spent in calls to a provider; None if there was none.
    """

    redis_calls = 0
    redis_seconds = 0.0
    provider_seconds: float | None = None


waits_var: ContextVar[Waits | None] = ContextVar("waits", default=None)
"""The waits of the request that is being answered, if any."""


def note_redis_call(call: str, seconds: float, trips: int = 1) -> None:
    """Count a call to Redis, answered or not.

    Args:
        call: its name in the metrics.
        seconds: it took.
        trips: how many round trips it was.
    """
    REDIS_CALL_SECONDS.labels(call).observe(seconds)
    if waits := waits_var.get():
        waits.redis_calls += trips
        waits.redis_seconds += seconds


def call_provider(route: str, operation: str, act: Callable[[], Answer]) -> Answer:
    """Do ``act``, which calls a provider, and count its outcome and how long it took."""
    began, outcome = perf_counter(), "Interrupted"
    try:
        answer = act()
        outcome = "Success"
    except Exception as error:
        # The cause is the provider's own word, as its line in the log has it.
        outcome = type(error.__cause__ or error).__name__
        raise
    finally:
        _note_provider_call(route, operation, outcome, perf_counter() - began)
    return answer


def _note_provider_call(route: str, operation: str, outcome: str, seconds: float) -> None:
    PROVIDER_CALLS.labels(route, operation, outcome).inc()
    PROVIDER_CALL_SECONDS.labels(route, operation).observe(seconds)
    if waits := waits_var.get():
        waits.provider_seconds = (waits.provider_seconds or 0.0) + seconds
