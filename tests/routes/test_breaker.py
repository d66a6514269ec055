"""When a route is left alone, for how long, and what ends it."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from otpservice import vavasms
from otpservice.routes.breaker import guarded
from otpservice.verification import errors
from otpservice.verification.code import Code
from otpservice.verification.routes import HostedRoute
from tests.routes.test_vavasms_otp import PHONE, outgoing

OPERATIONS = ("send", "check")
GONE, LOST = errors.ProviderUnavailable, errors.OutcomeUnknown


class ScriptedRoute:
    """Hosted; each call takes the next of ``script``: an exception is raised, else it is a yes."""

    name = "scripted"

    def __init__(self, *script):
        self.script = list(script)
        self.calls = 0

    def send(self, message):
        return self._next("SM-1")

    def check(self, phone, code):
        self._next(None)

    def _next(self, answer):
        self.calls += 1
        outcome = self.script.pop(0) if self.script else None
        if callable(outcome):
            outcome = outcome()
        if isinstance(outcome, BaseException):
            raise outcome
        return answer


class LocalRoute:
    name = "local"

    def send(self, message):
        return ""


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def said(kind, cause, **facts):
    """An error of the domain as VavaSMS's answer causes it."""
    error = kind()
    error.__cause__ = cause("otp/send", **facts)
    return error


def broken(*script, failures=3, seconds=30):
    """A route behind a breaker, the route itself, and the clock."""
    route, clock = ScriptedRoute(*script), Clock()
    return guarded(route, failures=failures, seconds=seconds, clock=clock), route, clock


def call(route, operation="send"):
    """One call; returns the error it raised, if any."""
    try:
        if operation == "send":
            assert route.send(outgoing()) == "SM-1"
        else:
            assert route.check(PHONE, Code("012345")) is None
    except Exception as error:
        return error


def state(route, operation="send"):
    return route.breakers[operation].state


@pytest.mark.parametrize("operation", OPERATIONS)
def test_failures_in_a_row_open_it_and_then_nobody_is_asked(operation):
    route, asked, clock = broken(GONE(), LOST(), errors.ProviderRejected())
    assert [type(call(route, operation)) for _ in range(3)] == [GONE, LOST, errors.ProviderRejected]
    assert state(route, operation) == "open"
    clock.now += 12.5
    refusal = call(route, operation)
    assert (type(refusal), refusal.retry_after) == (GONE, 18)
    assert route.breakers[operation].retry_after == 18
    assert asked.calls == 3


def test_failures_that_are_not_in_a_row_open_nothing():
    route, asked, _ = broken(*[LOST(), LOST(), None] * 10)
    for _ in range(30):
        call(route)
    assert (state(route), asked.calls) == ("closed", 30)


@pytest.mark.parametrize(
    "answer",
    [
        errors.CodeRefused(),
        errors.CodeForgotten(),
        errors.NumberRefused(),
        said(errors.ProviderRejected, vavasms.InvalidSenderId, code=902),
        said(errors.NumberRefused, vavasms.NumberRefused, code=903),
        said(errors.OutcomeUnknown, vavasms.OutcomeUnknown, code=903),
        said(errors.OutcomeUnknown, vavasms.Nonsense, name="INVALID_PHONE_NUMBER"),
        said(errors.ProviderRejected, vavasms.Rejected, code=913),
        said(errors.CodeRefused, vavasms.InvalidOtp, code=913),
    ],
)
def test_what_is_said_of_one_caller_opens_nothing_and_ends_a_row(answer):
    route, asked, _ = broken(*[answer] * 9, LOST(), LOST(), answer, LOST(), LOST())
    for _ in range(14):
        call(route)
    assert (state(route), asked.calls) == ("closed", 14)


@pytest.mark.parametrize(
    "answer",
    [
        said(errors.ProviderRejected, vavasms.Rejected, code=950),
        said(errors.ProviderUnavailable, vavasms.Unavailable, http_status=503),
        said(errors.OutcomeUnknown, vavasms.Nonsense, http_status=200),
    ],
)
def test_what_is_said_of_nobody_in_particular_is_a_failure(answer):
    route, _, _ = broken(answer, answer, answer)
    for _ in range(3):
        assert state(route) == "closed"
        call(route)
    assert state(route) == "open"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_wrong_credentials_open_it_at_once(operation):
    wrong = said(errors.ProviderRejected, vavasms.InvalidCredentials, code=901)
    route, asked, _ = broken(wrong, failures=1000)
    assert call(route, operation) is wrong
    assert type(call(route, operation)) is GONE
    assert (state(route, operation), asked.calls) == ("open", 1)
    assert route.breakers[operation].reason == "ProviderRejected InvalidCredentials"


def test_sending_and_checking_have_a_breaker_each():
    route, asked, _ = broken(LOST(), LOST(), LOST())
    for _ in range(3):
        call(route, "send")
    assert (state(route, "send"), state(route, "check")) == ("open", "closed")
    assert call(route, "check") is None
    assert asked.calls == 4


def test_a_probe_that_succeeds_closes_it():
    route, asked, clock = broken(LOST(), LOST(), LOST(), None, LOST(), LOST(), None)
    for _ in range(3):
        call(route)
    clock.now += 30
    assert (state(route), route.breakers["send"].retry_after) == ("half_open", 0)
    assert call(route) is None
    assert state(route) == "closed"
    assert [type(call(route)) for _ in range(2)] == [LOST, LOST]  # a row begins anew
    assert state(route) == "closed"
    assert asked.calls == 6


def test_a_probe_that_is_refused_for_one_caller_closes_it_too():
    route, _, clock = broken(LOST(), LOST(), LOST(), errors.NumberRefused())
    for _ in range(3):
        call(route)
    clock.now += 31
    assert type(call(route)) is errors.NumberRefused
    assert state(route) == "closed"


def test_a_probe_that_fails_opens_it_for_as_long_again():
    route, asked, clock = broken(LOST(), LOST(), LOST(), GONE())
    for _ in range(3):
        call(route)
    clock.now += 31
    assert type(call(route)) is GONE
    assert (state(route), call(route).retry_after) == ("open", 30)
    assert asked.calls == 4


def test_wrong_credentials_followed_by_a_failing_probe_leave_it_open():
    wrong = said(errors.ProviderRejected, vavasms.InvalidCredentials, code=901)
    route, asked, clock = broken(wrong, LOST(), failures=1000)
    call(route)
    clock.now += 31
    assert type(call(route)) is LOST
    assert (state(route), call(route).retry_after, asked.calls) == ("open", 30, 2)


@pytest.mark.parametrize("accident", [ValueError("a bug"), SystemExit(1)])
def test_a_probe_that_ends_by_accident_leaves_room_for_the_next(accident):
    route, _, clock = broken(LOST(), LOST(), LOST(), accident, None)
    for _ in range(3):
        call(route)
    clock.now += 31
    with pytest.raises(type(accident)):
        route.send(outgoing())
    assert state(route) == "half_open"
    assert call(route) is None
    assert state(route) == "closed"


def test_of_many_threads_one_probes_and_the_others_are_refused_at_once():
    waiting, done = threading.Event(), threading.Event()

    def slow():
        waiting.set()
        done.wait(5)

    route, asked, clock = broken(LOST(), LOST(), LOST(), slow)
    for _ in range(3):
        call(route)
    clock.now += 30
    with ThreadPoolExecutor(9) as threads:
        probe = threads.submit(call, route)
        assert waiting.wait(5)
        refused = list(threads.map(lambda _: call(route), range(50)))
        assert {(type(error), error.retry_after) for error in refused} == {(GONE, 1)}
        assert (asked.calls, state(route)) == (4, "half_open")
        done.set()
        assert probe.result() is None
    assert state(route) == "closed"


def test_while_it_is_closed_calls_do_not_wait_for_each_other():
    together = threading.Barrier(4, timeout=5)
    route, asked, _ = broken(*[lambda: together.wait() and None] * 4)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: call(route), range(4))) == [None] * 4
    assert asked.calls == 4


@pytest.mark.parametrize("late", [None, LOST()])
def test_a_call_that_began_before_it_opened_changes_nothing_when_it_ends(late):
    waiting, done = threading.Event(), threading.Event()

    def slow():
        waiting.set()
        done.wait(5)
        return late

    route, _, clock = broken(slow, LOST(), LOST(), LOST())
    with ThreadPoolExecutor(1) as thread:
        slowly = thread.submit(call, route)
        assert waiting.wait(5)
        for _ in range(3):
            call(route)
        clock.now += 10
        done.set()
        assert slowly.result() is late
    assert (state(route), call(route).retry_after) == ("open", 20)


def test_failures_of_many_threads_at_once_are_all_counted():
    route, asked, _ = broken(*[LOST() for _ in range(200)], failures=200)
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: call(route), range(200)))
    assert (state(route), asked.calls) == ("open", 200)


def test_zero_failures_turn_it_off():
    wrong = said(errors.ProviderRejected, vavasms.InvalidCredentials, code=901)
    route, asked, _ = broken(*[LOST(), wrong, GONE()] * 10, failures=0)
    for _ in range(30):
        call(route)
    assert (state(route), asked.calls) == ("closed", 30)


def test_a_guarded_route_is_hosted_if_and_only_if_the_route_is():
    hosted = guarded(ScriptedRoute(), failures=3, seconds=30)
    local = guarded(LocalRoute(), failures=3, seconds=30)
    assert isinstance(hosted, HostedRoute)
    assert not isinstance(local, HostedRoute)
    assert not hasattr(local, "check")
    assert [list(route.breakers) for route in (hosted, local)] == [["send", "check"], ["send"]]
    assert [route.name for route in (hosted, local)] == ["scripted", "local"]


def test_each_change_is_logged_once_without_anybody_s_words(caplog):
    caplog.set_level(logging.INFO, logger="otpservice.breaker")
    foreign = errors.OutcomeUnknown()
    foreign.__cause__ = RuntimeError("+2250709000001 012345")
    route, _, clock = broken(foreign, foreign, foreign)
    for _ in range(6):
        call(route)
    clock.now += 30
    for _ in range(3):
        call(route)
    facts = [(r.levelname, r.msg, r.route, r.operation, r.reason) for r in caplog.records]
    assert facts == [
        ("WARNING", "breaker_opened", "scripted", "send", "OutcomeUnknown RuntimeError"),
        ("INFO", "breaker_closed", "scripted", "send", "OutcomeUnknown RuntimeError"),
    ]
