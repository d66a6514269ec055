"""What is worth counting, told where it happens; who counts it, and how, is not known here."""

from collections.abc import Callable
from time import perf_counter
from typing import TypeVar

Answer = TypeVar("Answer")


class Meter:
    """Takes in what happens; this one forgets it.

    No argument may hold a phone number, a code, an id or whatever else a caller typed: all of them
    become labels of metrics. Methods return within microseconds and raise nothing.
    """

    def entered(self) -> None:
        """A request took one of the worker's places."""

    def left(self) -> None:
        """It gave it back."""

    def answered(self, endpoint: str, status: int, code: str, seconds: float) -> None:
        """A request was answered.

        Args:
            endpoint: Flask's name for it, or ``unmatched``.
            status: of HTTP.
            code: as the log's ``outcome``: ``ok``, or what the caller was told.
            seconds: it took.
        """

    def limit_hit(self, code: str, limit: str) -> None:
        """A caller was refused by a limit: ``quota_exceeded``, and its name, such as ``phone``."""

    def would_refuse(self, quota: str) -> None:
        """A quota that only records let through what it would have refused."""

    def sent(self, route: str, country: str, delivery: str) -> None:
        """An SMS left (``sent``), or may have left (``unknown``); the country is ISO 3166's."""

    def confirmed(self, country: str) -> None:
        """A code was confirmed."""

    def provider_called(self, route: str, operation: str, outcome: str, seconds: float) -> None:
        """A provider was called; ``outcome`` is ``Success`` or the class name of the error."""

    def unknown_code(self, operation: str, code: int) -> None:
        """The provider answered with a code that its page does not name."""

    def tolerated(self, operation: str) -> None:
        """An answer could only be read after it was mended."""

    def breaker_turned(self, route: str, operation: str, *, is_open: bool) -> None:
        """This process's breaker opened or closed; also told once when it is made."""

    def redis_called(self, call: str, seconds: float) -> None:
        """Redis answered, or did not: one script, command, pipeline or pass of the rate limits."""

    def redis_failed(self, call: str) -> None:
        """That call failed."""


NO_METER = Meter()


def metered(meter: Meter, route: str, operation: str, act: Callable[[], Answer]) -> Answer:
    """Do ``act``, a call to a provider, and tell ``meter`` how it came out and how long it took."""
    began, outcome = perf_counter(), "Interrupted"
    try:
        answer = act()
        outcome = "Success"
    except Exception as error:
        # The cause is the provider's own word, as its line in the log has it.
        outcome = type(error.__cause__ or error).__name__
        raise
    finally:
        meter.provider_called(route, operation, outcome, perf_counter() - began)
    return answer
