"""Circuit breakers: a provider that fails is left alone for a while, and callers do not wait.

pybreaker, the usual library, holds its lock while the guarded call runs, so that the 500 threads
of a worker would send one SMS at a time; it lets any number of calls probe otherwise, and an error
cannot open it at once.
"""

import logging
import time
from collections.abc import Callable, Mapping
from enum import Enum
from math import ceil
from threading import Lock
from typing import Literal, TypeVar

from otpservice.routes.vavasms_meaning import (
    concerns_every_call,
    concerns_one_caller,
    concerns_one_sender,
)
from otpservice.telemetry.metrics import BREAKER_OPENINGS, BREAKERS_OPEN
from otpservice.telemetry.waits import call_provider
from otpservice.verification.code import Code
from otpservice.verification.errors import (
    NotDone,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
)
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.routes import HostedRoute, OutgoingCode, Route, TracedRoute

log = logging.getLogger("otpservice.breaker")

State = Literal["closed", "open", "half_open"]
Answer = TypeVar("Answer")


class _Verdict(Enum):
    """What a call says about its provider."""

    WELL = 1
    FAILED = 2
    USELESS = 3  # no call will work until somebody changes the account
    NOTHING = 4


class CircuitBreaker:
    """Guards one operation of one route in this process; shared by any number of threads.

    Closed: everything passes. ``failures`` calls in a row that failed open it: nothing passes for
    ``seconds``. Then it is half open: one call at a time passes, and its outcome closes or opens.
    A failure is a ``NotDone`` or an ``OutcomeUnknown``; what VavaSMS says of a single caller
    (902, 903, 913) is not, and 901 opens at once.

    Args:
        route: its name, for the log.
        operation: ``send`` or ``check``, for the log.
        failures: in a row; 0 turns the breaker off.
        seconds: it stays open.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        route: str,
        operation: str,
        *,
        failures: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = {"route": route, "operation": operation}
        self._failures = failures
        self._seconds = seconds
        self._clock = clock
        self._lock = Lock()
        self._in_a_row = 0
        self._opened_at: float | None = None
        self._probing = False
        self._period = 0
        self._reason = ""
        self._count_turn(is_open=False)

    @property
    def state(self) -> State:
        """``closed``, ``open``, or ``half_open`` when the next call may try, or is trying."""
        with self._lock:
            if self._opened_at is None:
                return "closed"
            return "open" if self._left(self._opened_at) > 0 else "half_open"

    @property
    def retry_after(self) -> int:
        """Seconds for which a call would be refused now, as far as is known; 0 if it would not."""
        with self._lock:
            return self._refused_for()

    @property
    def reason(self) -> str:
        """What opened it last, as class names (``ProviderRejected InvalidCredentials``), or ""."""
        with self._lock:
            return self._reason

    def call(self, act: Callable[[], Answer]) -> Answer:
        """Do ``act`` and learn from how it comes out.

        Raises:
            ProviderUnavailable: it is open and ``act`` was not done, or as ``act`` raises.
        """
        period = self._enter()
        verdict, reason = _Verdict.NOTHING, ""
        try:
            answer = call_provider(**self._names, act=act)
            verdict = _Verdict.WELL
        except ProviderError as error:
            verdict, reason = _verdict(error), _class_names(error)
            raise
        finally:
            self._leave(period, verdict, reason)
        return answer

    def _enter(self) -> int:
        with self._lock:
            refused_for = self._refused_for()
            if not refused_for:
                self._probing = self._opened_at is not None
                return self._period
        raise ProviderUnavailable(retry_after=refused_for)

    def _leave(self, period: int, verdict: _Verdict, reason: str) -> None:
        with self._lock:
            if period != self._period:
                return  # it began before the breaker opened or closed, and is no news any more
            was_open, self._probing = self._opened_at is not None, False
            event = self._learn(verdict, was_open=was_open)
            if event == "breaker_opened":
                self._reason = reason
        if event:
            level = logging.WARNING if event == "breaker_opened" else logging.INFO
            log.log(level, event, extra={**self._names, "reason": self._reason})
            self._count_turn(is_open=event == "breaker_opened")

    def _count_turn(self, *, is_open: bool) -> None:
        BREAKERS_OPEN.labels(**self._names).set(is_open)
        BREAKER_OPENINGS.labels(**self._names).inc(is_open)

    def _learn(self, verdict: _Verdict, *, was_open: bool) -> str:
        """Take a verdict in; returns the name of what changed by it, if anything did."""
        if verdict is _Verdict.WELL:
            self._in_a_row = 0
            return self._turn(None) if was_open else ""
        if verdict is _Verdict.NOTHING or not self._failures:
            return ""
        self._in_a_row += 1
        enough = self._in_a_row >= self._failures
        if was_open or enough or verdict is _Verdict.USELESS:
            return self._turn(self._clock())
        return ""

    def _turn(self, opened_at: float | None) -> str:
        self._opened_at = opened_at
        self._period += 1
        return "breaker_closed" if opened_at is None else "breaker_opened"

    def _refused_for(self) -> int:
        if self._opened_at is None:
            return 0
        left = self._left(self._opened_at)
        return max(ceil(left), 1) if left > 0 or self._probing else 0

    def _left(self, opened_at: float) -> float:
        return opened_at + self._seconds - self._clock()


class GuardedRoute:
    """A route whose ``send`` goes through a breaker; made by ``guarded``.

    Attributes:
        name: the route's.
        breakers: by operation: ``send``, and ``check`` if it is hosted.
        last_outcome: of this process's last send: ``sent`` or the error's name; None before it.
    """

    def __init__(self, route: Route, breakers: Mapping[str, CircuitBreaker]) -> None:
        self.name = route.name
        self._route = route
        self.breakers = breakers
        self._refused_senders: set[str] = set()
        self._account_refused = False
        self.last_outcome: str | None = None

    @property
    def refused_for(self) -> int:
        """Seconds for which a send would be refused unasked; 0 if it would be asked."""
        return self.breakers["send"].retry_after

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the route as far as this process knows, a few words each."""
        breakers = [
            f"{self.name} {operation}: {breaker.reason}"
            for operation, breaker in self.breakers.items()
            if breaker.state != "closed"
        ]
        senders = [
            f"{self.name} sender ID {name}: refused" for name in sorted(self._refused_senders)
        ]
        account = (
            [f"{self.name}: account refused"] if self._account_refused and not breakers else []
        )
        return (*breakers, *account, *senders)

    def send(self, message: OutgoingCode) -> str:
        """Send one SMS. See ``routes.Route.send``."""
        try:
            message_id = self.breakers["send"].call(lambda: self._route.send(message))
        except ProviderError as error:
            if concerns_one_sender(error):
                self._refused_senders.add(message.sender_id)
            self._account_refused |= concerns_every_call(error)
            self.last_outcome = type(error).__name__
            raise
        self.last_outcome, self._account_refused = "sent", False
        self._refused_senders.discard(message.sender_id)
        return message_id


class GuardedTracedRoute(GuardedRoute):
    """A route that tells what became of an SMS; asking that goes through no breaker."""

    def __init__(self, route: TracedRoute, breakers: Mapping[str, CircuitBreaker]) -> None:
        super().__init__(route, breakers)
        self._traced = route

    def delivery(self, message_id: str) -> str:
        """What became of an SMS. See ``routes.TracedRoute.delivery``."""
        return call_provider(self.name, "delivery", lambda: self._traced.delivery(message_id))


class GuardedHostedRoute(GuardedRoute):
    """A hosted route whose ``send`` and ``check`` go through a breaker each."""

    def __init__(self, route: HostedRoute, breakers: Mapping[str, CircuitBreaker]) -> None:
        super().__init__(route, breakers)
        self._hosted = route

    def check(self, phone: PhoneNumber, code: Code) -> None:
        """Have the code compared. See ``routes.HostedRoute.check``."""
        self.breakers["check"].call(lambda: self._hosted.check(phone, code))


def guarded(
    route: Route,
    *,
    failures: int,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> GuardedRoute:
    """``route`` behind breakers, one an operation; hosted if and only if ``route`` is.

    Args:
        route: whose calls end in time: a probe that never returns keeps its breaker shut off.
        failures: in a row that open a breaker; 0 turns them off.
        seconds: a breaker stays open.
        clock: seconds that never go back.
    """

    def breaker(operation: str) -> CircuitBreaker:
        return CircuitBreaker(
            route.name, operation, failures=failures, seconds=seconds, clock=clock
        )

    if isinstance(route, HostedRoute):
        return GuardedHostedRoute(route, {"send": breaker("send"), "check": breaker("check")})
    if isinstance(route, TracedRoute):
        return GuardedTracedRoute(route, {"send": breaker("send")})
    return GuardedRoute(route, {"send": breaker("send")})


def _verdict(error: ProviderError) -> _Verdict:
    if concerns_every_call(error):
        return _Verdict.USELESS
    failed = isinstance(error, NotDone | OutcomeUnknown) and not concerns_one_caller(error)
    return _Verdict.FAILED if failed else _Verdict.WELL


def _class_names(error: ProviderError) -> str:
    # Not their texts: a route of somebody else's may put a number into one.
    return " ".join(type(part).__name__ for part in (error, error.__cause__) if part)
