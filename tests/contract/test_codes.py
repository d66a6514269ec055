"""A code proves the verification it was sent for, once, and no other.

Calls of the service stop where they wait for the provider, and go on in any order: sends and checks
that are slow, refused or lost, among guesses, cancels and other apps. The provider knows what each
code was sent for, and is one that keeps every code or one that keeps the newest.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenlet import getcurrent, greenlet
from hypothesis import HealthCheck, event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from otpservice.store.verifications import RedisStore
from otpservice.verification.code import Code
from otpservice.verification.digest import Digester
from otpservice.verification.errors import (
    AlreadyConfirmed,
    Canceled,
    OtpServiceError,
    OutcomeUnknown,
    ProviderUnavailable,
)
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.policy import Policy
from otpservice.verification.ports import SendRequest, Status
from otpservice.verification.service import Approved, Started, VerificationService
from tests.conftest import SECRET
from tests.contract.codes import Provider, SentCode

STEPS = 50
# Seconds. The clock goes on in ticks and no limit is a multiple of one, so the milliseconds that a
# step takes decide nothing.
TICK = 7
TIMEOUT = 29
PHONE = PhoneNumber("+2250709000001")
OWNERS = [Owner("portal", "login"), Owner("portal", "two-factor"), Owner("shop", "login")]
ROUTES = [("otp",), ("otp",), ("otp",), ("otp", "text"), ("text",)]
WRONG = "999999"
GUESSES = ["right", "right", "other", "other", "wrong"]

POLICY = {
    "provider_timeout": TIMEOUT,
    "phone_quota": (),
    "prefix_quota": (),
    "lockout_failures": 100,
    "lockout_total": 0,
}
# Codes that live for a whole number of minutes at the provider, and others.
POLICIES = [
    Policy(code_ttl=60, max_attempts=2, resend_after=0, **POLICY),
    Policy(code_ttl=61, max_attempts=3, resend_after=0, **POLICY),
    Policy(code_ttl=100, max_attempts=1, resend_after=15, **POLICY),
]

owners = st.sampled_from([OWNERS[0]] * 2 + OWNERS)


@dataclass(eq=False)
class Call:
    """A call to a provider: ``act`` is what it does there, once, and gives or raises its answer."""

    began_at: int
    act: Callable[[], str]
    caller: greenlet
    answer: Any = None
    acted: bool = False

    def happen(self) -> None:
        if not self.acted:
            self.acted = True
            try:
                self.answer = self.act()
            except OtpServiceError as error:
                self.answer = error

    def go_on(self, answer: object) -> object:
        """Let the caller have an answer; gives what it stops at next, if at anything."""
        return self.caller.switch(answer)


@dataclass
class OnTheWay:
    """The calls that wait for a provider, and those that nobody waits for any more."""

    now: Callable[[], int]
    waiting: list[Call] = field(default_factory=list)
    given_up: list[Call] = field(default_factory=list)

    def ask(self, act: Callable[[], str]) -> str:
        """Called by a route: stop until the machine has an answer."""
        call = Call(self.now(), act, getcurrent())
        self.waiting.append(call)
        answer = call.caller.parent.switch(call)
        if isinstance(answer, Exception):
            raise answer
        return answer


class HostedRoute:
    """The provider's codes."""

    name = "otp"

    def __init__(self, provider, calls):
        self.provider, self.calls = provider, calls

    def send(self, message):
        minutes = -(-message.ttl // 60)
        phone, id = message.phone.e164, message.id
        return self.calls.ask(lambda: self.provider.make(phone, id, minutes).digits)

    def check(self, phone, code):
        self.calls.ask(lambda: self.provider.compare(phone.e164, code.digits) or "")


class TextRoute:
    """Codes of our own."""

    name = "text"

    def __init__(self, provider, calls):
        self.provider, self.calls = provider, calls

    def send(self, message):
        code = SentCode(message.code.digits, message.phone.e164, message.id)
        return self.calls.ask(lambda: self.provider.note(code).digits)


class CodesMachine(RuleBasedStateMachine):
    """Callers, a provider and a clock, all in one thread."""

    def __init__(self, redis):
        super().__init__()
        redis.flushall()
        self.redis = redis
        self.now = int(time.time())
        self.started, self.approvals = {}, Counter()  # owners, by id
        self.canceled = set()

    @initialize(
        policy=st.sampled_from(POLICIES),
        keeps_all=st.booleans(),
        works_twice=st.booleans(),
    )
    def begin(self, policy, keeps_all, works_twice):
        self.policy = policy
        self.provider = Provider(lambda: self.now, keeps_all, works_twice)
        self.calls = OnTheWay(lambda: self.now)
        routes = [HostedRoute(self.provider, self.calls), TextRoute(self.provider, self.calls)]
        self.store = RedisStore(self.redis, Digester([SECRET]), policy)
        by_name = {route.name: route for route in routes}
        self.service = VerificationService(self.store, by_name, policy)
        self.pass_time(1)

    # The clock

    def move(self, ticks):
        self.now += ticks * TICK
        self.store.clock_offset = int((self.now - time.time()) * 1000) + 1

    def pass_time(self, ticks):
        """Go on. A call that took as long as it may has an unknown outcome, and does no more."""
        for _ in range(ticks):
            calls = self.calls
            late = self.now + TICK - TIMEOUT
            for call in [call for call in calls.waiting if call.began_at < late]:
                self.answer(call, OutcomeUnknown())
            calls.given_up = [call for call in calls.given_up if call.began_at >= late]
            self.move(1)

    # Callers

    def call(self, work, *, then, waits):
        """Run a call of the service, to its end or, if it ``waits``, until it asks the provider."""
        before = len(self.calls.waiting)

        def run():
            try:
                result = work()
            except OtpServiceError as error:
                result = error
            then(result)

        greenlet(run).switch()
        if len(self.calls.waiting) > before and not waits:
            self.give_answer(self.calls.waiting[-1])

    def answer(self, call, answer):
        self.calls.waiting.remove(call)
        if isinstance(answer, OutcomeUnknown):
            self.calls.given_up.append(call)
        call.go_on(answer)

    @rule(owner=owners, routes=st.sampled_from(ROUTES), waits=st.booleans())
    def start(self, owner, routes, waits):
        request = SendRequest(owner, PHONE)

        def then(result):
            if isinstance(result, Started):
                self.started[result.reservation.id] = owner

        self.call(
            lambda: self.service.start(request, sender_id="A", template="##OTP##", routes=routes),
            then=then,
            waits=waits,
        )

    @precondition(lambda self: self.started)
    @rule(
        data=st.data(), by_phone=st.booleans(), kind=st.sampled_from(GUESSES), waits=st.booleans()
    )
    def check(self, data, by_phone, kind, waits):
        """Somebody types a code: one sent for the verification, one sent for another, or none."""
        id = data.draw(st.sampled_from(list(self.started)[:-4:-1]), "id")
        owner, subject = self.started[id], PHONE if by_phone else id
        codes = [code for code in self.provider.sent if (code.sent_for == id) is (kind == "right")]
        digits = [code.digits for code in codes[:-5:-1] if kind != "wrong"]
        code = Code(data.draw(st.sampled_from(digits), "code") if digits else WRONG)
        self.call(
            lambda: self.service.check(owner, subject, code),
            then=lambda result: self.checked(code.digits, result),
            waits=waits,
        )

    def checked(self, digits, result):
        if isinstance(result, Approved):
            code = self.provider.of(digits)
            note(f"{digits} approves {result.id}")
            assert code.sent_for == result.id
            assert code.phone == result.phone.e164
            assert result.id not in self.canceled
            self.approvals[result.id] += 1
            event("an approval")
        elif isinstance(result, (AlreadyConfirmed, Canceled)):
            event(f"a guess that was {type(result).__name__}")

    @precondition(lambda self: self.started)
    @rule(data=st.data())
    def cancel(self, data):
        id = data.draw(st.sampled_from(list(self.started)[-4:]), "id")
        try:
            self.service.cancel(self.started[id].app, id)
        except OtpServiceError:
            return
        self.canceled.add(id)

    # The provider

    def pick(self, data, calls):
        return calls[data.draw(st.integers(0, len(calls) - 1), "call")]

    @precondition(lambda self: self.calls.waiting or self.calls.given_up)
    @rule(data=st.data())
    def act(self, data):
        """The provider does what it was asked; its answer is still on its way."""
        self.pick(data, self.calls.waiting + self.calls.given_up).happen()

    @precondition(lambda self: self.calls.waiting)
    @rule(data=st.data())
    def reply(self, data):
        self.give_answer(self.pick(data, self.calls.waiting))

    def give_answer(self, call):
        call.happen()
        self.answer(call, call.answer)

    @precondition(lambda self: self.calls.waiting)
    @rule(data=st.data())
    def refuse(self, data):
        """Nothing was done; of a send, the next route is tried."""
        call = self.pick(data, self.calls.waiting)
        if not call.acted:
            self.answer(call, ProviderUnavailable())

    @precondition(lambda self: self.calls.waiting)
    @rule(data=st.data())
    def lose(self, data):
        """The answer is lost; what was asked may have been done, or be done later."""
        self.answer(self.pick(data, self.calls.waiting), OutcomeUnknown())

    @rule(ticks=st.sampled_from([1, 1, 1, 2, 3, 9, 9, 13, 22]))
    def wait(self, ticks):
        self.pass_time(ticks)

    # What always holds

    @invariant()
    def nothing_is_proven_twice_or_guessed_too_often(self):
        if not hasattr(self, "provider"):
            return
        assert self.provider.most_guesses_met() <= self.policy.max_attempts
        assert all(times == 1 for times in self.approvals.values())

    def teardown(self):
        """Once every code has died a login works, by the hosted route alone."""
        if not hasattr(self, "provider"):
            return
        self.pass_time(60)
        self.start(OWNERS[2], ("otp",), waits=False)
        id, code = next(reversed(self.started)), self.provider.sent[-1]
        assert code.sent_for == id
        self.call(
            lambda: self.service.check(OWNERS[2], PHONE, Code(code.digits)),
            then=lambda result: self.checked(code.digits, result),
            waits=False,
        )
        assert self.approvals[id] == 1
        assert self.service.status("shop", id).status is Status.APPROVED


def test_a_code_proves_the_verification_it_was_sent_for_once(valkey):
    run_state_machine_as_test(
        lambda: CodesMachine(valkey),
        settings=settings(
            max_examples=5 * settings.default.max_examples,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
