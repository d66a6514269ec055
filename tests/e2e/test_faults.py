"""One route fails, in every way there is: what the caller sees, what is spent, what still works.

What is expected is read from docs/faults.md.
"""

from contextlib import ExitStack

import pytest
from fakeredis import FakeRedis

from otpservice.app import create_app
from otpservice.config.settings import Settings
from otpservice.routes.breaker import guarded
from otpservice.sandbox.faults import Fault
from otpservice.verification.code import Code
from otpservice.verification.errors import ProviderUnavailable
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.routes import OutgoingCode
from tests.conftest import KEYS
from tests.e2e.outages import (
    CHECK,
    ENOUGH,
    LITTLE,
    OPERATIONS,
    SECRET,
    SLOW,
    UNREACHABLE,
    VAVASMS,
    Gateway,
    make_route,
    table,
    ways_to_fail,
)
from tests.fake_provider import FakeProvider, answer

PHONE = "+2250709000001"
ROUTES = ("vavasms-otp", "vavasms-text", "http")
NEXT = {"vavasms-otp": "vavasms-text", "vavasms-text": "http", "http": "vavasms-otp"}


def routes_of(cell):
    return {"any": ROUTES, "VavaSMS": VAVASMS}.get(cell, (cell,))


SENDS = {
    (fault, route): rest for fault, cell, *rest in table("Sending") for route in routes_of(cell)
}
CHECKS = {fault: rest for fault, *rest in table("Checking")}
SEND_FAULTS = [(fault, how, route) for route in ROUTES for fault, how in ways_to_fail(route)]
EACH_ONCE = list(
    {(fault, route): (fault, how, route) for fault, how, route in SEND_FAULTS}.values()
)
CHECK_FAULTS = [*UNREACHABLE, "breaker open", *CHECK]


class Switched:
    """A local route of the service, in whatever state a test has put it."""

    def __init__(self, name):
        self.name, self.now = name, None

    def send(self, message):
        return self.now.send(message)


class SwitchedHosted(Switched):
    def check(self, phone, code):
        self.now.check(phone, code)


class Caller:
    """An app that calls a service with these routes."""

    def __init__(self, settings, redis):
        kinds = {"vavasms-otp": SwitchedHosted}
        self.routes = {name: kinds.get(name, Switched)(name) for name in settings.routes}
        self._client = create_app(settings, redis=redis, routes=self.routes).test_client()
        self._headers = {"Authorization": f"Bearer {KEYS['portal']}"}

    def call(self, method, path, body=None):
        answer = self._client.open(path, method=method, json=body, headers=self._headers)
        answer.body = answer.get_json(silent=True) or {}
        return answer

    def send(self, phone=PHONE):
        return self.call("POST", "/login-code", {"phone": phone})

    def confirm(self, code, id):
        return self.call("POST", "/confirm", {"code": code, "id": id})

    def attempts_left(self, id):
        return self.call("GET", f"/verifications/{id}").body["attempts_left"]


@pytest.fixture(scope="module")
def callers(environment):
    """By the names of the routes; all on one Redis, which has the scripts."""
    redis, made = FakeRedis(), {}
    gateway = {
        "OTPSERVICE_HTTP_ROUTE_URL": "http://127.0.0.1:1",
        "OTPSERVICE_HTTP_ROUTE_SECRET": SECRET,
    }

    def caller(*names):
        if names not in made:
            changes = {**gateway, "OTPSERVICE_ROUTES": ",".join(names)}
            made[names] = Caller(Settings.from_env({**environment, **changes}), redis)
        return made[names]

    caller.forget = redis.flushall
    return caller


class World:
    """Everything around the service: the sandbox, a gateway, and what goes wrong."""

    def __init__(self, callers, sandbox, stack):
        self._callers, self._sandbox, self._stack = callers, sandbox, stack
        self.gateway = stack.enter_context(Gateway())
        sandbox.state.reset()
        callers.forget()

    def caller(self, *routes):
        """A caller of the service with these routes: made already, or by name, in order."""
        made = [self.route(route) if isinstance(route, str) else route for route in routes]
        caller = self._callers(*[route.name for route in made])
        for route in made:
            caller.routes[route.name].now = route
        return caller

    def route(self, name, url=None, timeout=ENOUGH, failures=5):
        url = url or (self.gateway.url if name == "http" else f"{self._sandbox.url}/api")
        return guarded(make_route(name, url, timeout), failures=failures, seconds=30)

    def broken(self, fault, how, name):
        """The route ``name``, whose next send goes wrong so."""
        timeout = LITTLE if fault in SLOW else ENOUGH
        if fault in UNREACHABLE:
            return self.route(name, self._stack.enter_context(UNREACHABLE[fault]()), timeout)
        if fault == "breaker open":
            return self.shut(name)
        if name == "http":
            self.gateway.replies = [how, answer("", "202 X")]
        elif isinstance(how, bytes):
            return self.route(name, self._stack.enter_context(FakeProvider(how)).url)
        else:
            self.fault(OPERATIONS[name], how)
        return self.route(name, timeout=timeout)

    def shut(self, name):
        """The route ``name`` with all its breakers open."""
        with FakeProvider(answer("", "503 X")) as busy:
            route = self.route(name, busy.url, failures=1)
            sms = OutgoingCode(
                "ver_", Owner("a", "b"), PhoneNumber(PHONE), "DEMO", "##OTP##", 6, 60, Code("0000")
            )
            calls = [lambda: route.send(sms), lambda: route.check(PhoneNumber(PHONE), Code("0000"))]
            for call in calls[: len(route.breakers)]:
                with pytest.raises(ProviderUnavailable):
                    call()
        return route

    def fault(self, operation, how):
        self._sandbox.state.faults.put(Fault.parse({"operation": operation, "fault": how}))

    def asked(self, name):
        """Requests to send that arrived by a route."""
        if name == "http":
            return len(self.gateway.requests)
        return self._sandbox.state.calls().get(OPERATIONS[name], 0)

    def codes(self, name):
        """Codes that left by a route, newest first."""
        if name == "http":
            return self.gateway.codes
        kind = "otp" if name == "vavasms-otp" else "text"
        return [sms.text[-6:] for sms in self._sandbox.state.inbox(PHONE[1:]) if sms.kind == kind]


@pytest.fixture
def world(callers, sandbox):
    with ExitStack() as stack:
        yield World(callers, sandbox, stack)


def wrong(code):
    return str(int(code) + 1).zfill(6)[-6:]


def seen(answer):
    """What the caller sees, as the page writes it."""
    word = answer.body.get("code") or answer.body.get("delivery")
    return " ".join(filter(None, (str(answer.status_code), word)))


def test_the_page_lists_every_fault_that_is_made_here_and_no_other():
    sends = [(row[0], route) for row in table("Sending") for route in routes_of(row[1])]
    assert sorted(sends) == sorted((fault, route) for fault, _, route in EACH_ONCE)
    assert sorted(row[0] for row in table("Checking")) == sorted(CHECK_FAULTS)


@pytest.mark.parametrize(
    ("fault", "how", "first"),
    [case for case in SEND_FAULTS if SENDS[case[0], case[2]][0] == "tried"],
)
def test_where_nothing_left_the_login_gets_through_by_the_next_route(world, fault, how, first):
    second = NEXT[first]
    caller = world.caller(world.broken(fault, how, first), second)
    sent = caller.send()
    assert (seen(sent), sent.body["sends_left"]) == ("201 sent", 4)
    (code,) = world.codes(second)
    assert world.asked(first) <= 1
    refused = world.codes(first)  # a gateway sees the code it refuses; no SMS has it
    assert len(refused) == world.asked("http") * (first == "http")
    guess = refused[0] if refused else wrong(code)
    assert caller.confirm(guess, sent.body["id"]).body["attempts_left"] == 4
    assert caller.confirm(code, sent.body["id"]).status_code == 200


@pytest.mark.parametrize(
    ("fault", "how", "first"),
    [case for case in SEND_FAULTS if SENDS[case[0], case[2]][0] == "not tried"],
)
def test_where_something_may_have_left_nothing_else_does(world, fault, how, first):
    _, expected, spent = SENDS[fault, first]
    caller = world.caller(world.broken(fault, how, first), NEXT[first])
    sent = caller.send()
    assert seen(sent) == expected
    assert world.asked(NEXT[first]) == 0
    codes = world.codes(first)
    assert len(codes) <= world.asked(first) <= 1
    if spent == "given back":
        assert codes == []
        return
    guess = wrong(codes[0]) if codes else "000000"
    caller = world.caller(first)  # the same service with the fault repaired
    assert caller.confirm(guess, sent.body["id"]).body["attempts_left"] == 4
    assert [caller.confirm(code, sent.body["id"]).status_code for code in codes] == [200] * len(
        codes
    )


@pytest.mark.parametrize(("fault", "how", "route"), EACH_ONCE)
def test_what_the_caller_sees_and_pays_where_there_is_no_other_route(world, fault, how, route):
    _, expected, spent = SENDS[fault, route]
    sent = world.caller(world.broken(fault, how, route)).send()
    assert seen(sent) == expected
    assert ("Retry-After" in sent.headers) == (sent.status_code == 503)
    again = world.caller(route).send()  # the same service with the fault repaired
    if spent == "given back":
        assert (seen(again), again.body["sends_left"]) == ("201 sent", 4)
    else:
        assert (sent.body["sends_left"], seen(again)) == (4, "429 resend_too_soon")


def check(world, fault, pick):
    """Send a code, check what ``pick`` makes of it while ``fault`` holds.

    Returns a caller of the service repaired, the verification's id, the code and the answer.
    """
    id = world.caller("vavasms-otp").send().body["id"]
    (code,) = world.codes("vavasms-otp")
    timeout = LITTLE if fault in SLOW else ENOUGH
    if fault in CHECK:
        world.fault("otp/verify", CHECK[fault])
        failing = world.route("vavasms-otp", timeout=timeout)
    else:
        failing = world.broken(fault, None, "vavasms-otp")
    answer = world.caller(failing).confirm(pick(code), id)
    return world.caller("vavasms-otp"), id, code, answer


@pytest.mark.parametrize("fault", CHECK_FAULTS)
def test_what_becomes_of_a_right_code(world, fault):
    expected, spent, afterwards = CHECKS[fault]
    caller, id, code, answer = check(world, fault, str)
    assert seen(answer) == expected
    assert ("Retry-After" in answer.headers) == (answer.status_code == 503)
    assert caller.attempts_left(id) == (5 if spent == "given back" else 4)
    assert seen(caller.confirm(code, id)) == afterwards
    if afterwards == "504 outcome_unknown":
        assert caller.attempts_left(id) == 3


@pytest.mark.parametrize("fault", [fault for fault in CHECK_FAULTS if fault not in SLOW])
def test_no_fault_makes_a_wrong_code_right(world, fault):
    caller, id, code, answer = check(world, fault, wrong)
    assert answer.status_code in {422, 502, 503, 504}
    assert caller.attempts_left(id) == (5 if CHECKS[fault][1] == "given back" else 4)
    assert caller.confirm(code, id).status_code == 200
