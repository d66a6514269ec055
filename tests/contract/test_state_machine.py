"""Whatever is done in whatever order, the store does what a plain model of the contract does.

All steps happen at multiples of ``TICK`` on a clock of their own, and no limit of the policies is
a multiple of it: so no step falls on a limit, and the milliseconds a step takes decide nothing.
"""

import logging
import time
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial, wraps
from math import ceil, inf

import pytest
from fakeredis import FakeRedis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from otpservice.store.verifications import RedisStore
from otpservice.verification.code import Code
from otpservice.verification.digest import Digester
from otpservice.verification.errors import (
    NotFound,
    OtpServiceError,
    WrongCode,
)
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.policy import DAY, Policy, Quota
from otpservice.verification.ports import (
    GIVEN_BACK,
    AttemptOutcome,
    Sending,
    SendOutcome,
    SendRequest,
    Status,
)
from tests.conftest import SECRET
from tests.contract.model import YES, Guess, Model

TICK = 7  # seconds
SOON = 60  # seconds within which somebody whose answer was lost asks again
STEPS = 25

PHONES = [PhoneNumber(text) for text in ("+2250709000001", "+2250709000002", "+22377000010")]
OWNERS = [Owner(app, purpose) for app in ("portal", "shop") for purpose in ("login", "two-factor")]
CODES = [Code(digits) for digits in ("000000", "111111", "222222")]
ADDRESSES = [None, "192.0.2.1", "2001:db8::/64"]

POLICIES = [
    Policy(
        code_ttl=100,
        max_attempts=4,
        resend_after=20,
        phone_quota=(Quota(3, 150), Quota(6, 4000)),
        address_quota=(Quota(4, 900),),
        address_failure_quota=(Quota(2, 800),),
        prefix_quota=(Quota(5, 1200),),
        daily_budget=9,
        lockout_failures=3,
        lockout_seconds=60,
        lockout_total=8,
    ),
    Policy(
        code_ttl=100,
        max_attempts=2,
        resend_after=60,
        phone_quota=(),
        address_quota=(),
        address_failure_quota=(),
        prefix_quota=(),
        lockout_failures=1,
        lockout_seconds=4,
        lockout_total=0,
    ),
    Policy(
        code_ttl=250,
        max_attempts=3,
        resend_after=0,
        phone_quota=(Quota(2, 150),),
        address_quota=(Quota(2, 900),),
        address_failure_quota=(Quota(2, 800),),
        prefix_quota=(Quota(3, 1200),),
        record_only=frozenset({"phone", "address", "prefix", "app"}),
        lockout_failures=5,
        lockout_seconds=36_000,
        lockout_total=6,
    ),
]
APP_QUOTAS = [(), (Quota(3, 1500),)]

BY_TEXT = Sending(SendOutcome.SENT, "vavasms-text")
PERHAPS_BY_TEXT = Sending(SendOutcome.UNKNOWN, "vavasms-text")
BY_OTP = Sending(SendOutcome.SENT, "vavasms-otp", hosted=True)
PERHAPS_BY_OTP = Sending(SendOutcome.UNKNOWN, "vavasms-otp", hosted=True)
OUTCOMES = [YES, AttemptOutcome.NO, AttemptOutcome.GIVEN_BACK, AttemptOutcome.UNKNOWN]

# Mostly somebody comes again.
phones = st.sampled_from([PHONES[0], *PHONES])
owners = st.sampled_from([*OWNERS[:1] * 5, *OWNERS])
codes = st.sampled_from(CODES)
addresses = st.sampled_from(ADDRESSES)
pauses = st.sampled_from([1, 1, 2, 3, 9, 9, 15, 60, 150, 600, 13_000, 31 * DAY // TICK])


def refused(call):
    """What a call raises, if anything."""
    try:
        call()
    except OtpServiceError as refusal:
        return refusal
    return None


def facts(refusal):
    """An error's kind and facts, without the seconds to wait."""
    return type(refusal), {k: v for k, v in vars(refusal or object).items() if k != "retry_after"}


def assert_same_refusal(found, told):
    assert facts(found) == facts(told)
    found_wait, wait = getattr(found, "retry_after", None), getattr(told, "retry_after", None)
    assert (found_wait is None) == (wait is None)
    assert wait is None or wait <= found_wait <= wait + 1


def step(**drawn):
    """A rule whose example is thrown away if the machine was too busy to run it in time."""

    def decorate(function):
        def run(self, *chosen, **values):
            try:
                function(self, *chosen, **values)
            finally:
                self.look_at_the_clock()
                assume(not self.late)

        return rule(**drawn)(wraps(function)(run))

    return decorate


class StoreMachine(RuleBasedStateMachine):
    """The steps of many callers at once, on a store and on the model."""

    def __init__(self, redis):
        super().__init__()
        redis.flushall()
        self.redis = redis
        self.serial = 0
        self.late, self.wound = False, inf
        self.sends, self.guesses = [], []  # on their way, with what the store gave for them
        self.approvals, self.asked = Counter(), Counter()
        self.sms = defaultdict(dict)

    @initialize(
        policy=st.sampled_from(POLICIES),
        app_quota=st.sampled_from(APP_QUOTAS),
        app_budget=st.sampled_from([0, 5]),
        alone=st.booleans(),
    )
    def begin(self, policy, app_quota, app_budget, alone):
        self.policy = policy
        self.alone = alone  # one owner and one phone, so that many things happen to each other
        self.store = RedisStore(self.redis, Digester([SECRET]), policy)
        self.model = Model(policy, app_quota, app_budget)
        self.model.now = int(time.time()) // DAY * DAY + 1000
        self.pass_time(1)

    # The clock

    def pass_time(self, ticks=1):
        """Go on to the next step, never close to midnight, where budgets begin anew."""
        self.look_at_the_clock()
        self.model.now += ticks * TICK
        if not 2 < self.model.now % DAY < DAY - 2:
            self.model.now += TICK
        self.wound = time.time()
        self.store.clock_offset = int((self.model.now - self.wound) * 1000) + 1

    def look_at_the_clock(self):
        """Note a step that took so long that it may have crossed a limit by itself."""
        self.late |= time.time() - self.wound > 0.9

    def number(self, data, choices):
        """One that has not been settled, by its place: more than that is too long to show."""
        return data.draw(st.integers(0, len(choices) - 1), "number")

    def name(self, kind):
        self.serial += 1
        return f"{kind}-{self.serial}"

    # Steps

    @step(ticks=pauses)
    def wait(self, ticks):
        self.pass_time(ticks)
        self.compare(*PHONES)

    @step(
        data=st.data(),
        owner=owners,
        phone=phones,
        address=addresses,
        hosted=st.booleans(),
        code=st.sampled_from([None, None, None, *CODES]),
        settle=st.booleans(),
    )
    def start(self, data, owner, phone, address, hosted, code, settle):
        owner, phone = (OWNERS[0], PHONES[0]) if self.alone else (owner, phone)
        request = SendRequest(
            owner,
            phone,
            hosted=hosted or code is None,
            code=code,
            address=address,
            app_quota=self.model.app_quota,
            app_budget=self.model.app_budget,
        )
        told = self.model.refusal(request)
        before = self.everything()
        assert_same_refusal(refused(lambda: self.store.preview_send(request)), told)
        assert self.everything() == before
        if told:
            found = refused(lambda: self.store.reserve_send(request, self.name("refused")))
            assert_same_refusal(found, told)
        else:
            self.reserve(request)
            if settle:
                self.settle(data, -1)
        self.pass_time()
        self.compare(phone)

    @step(
        data=st.data(),
        owner=owners,
        phone=phones,
        hosted=st.booleans(),
        codes=st.permutations(CODES),
    )
    def overtake(self, data, owner, phone, hosted, codes):
        """Two SMS on their way at once: the later may be settled before the earlier."""
        before = len(self.sends)
        for code in codes[:2]:
            self.start(data, owner, phone, None, hosted, code, settle=False)
        for _ in range(len(self.sends) - before):
            number = data.draw(st.integers(before, len(self.sends) - 1), "number")
            self.settle(data, number)
            self.pass_time()
        self.compare(phone)

    def reserve(self, request):
        reservation = self.store.reserve_send(request, self.name("send"))
        held = self.model.send(request, reservation.send_id, reservation.id)
        assert held.id == reservation.id
        assert held.sends[-1].hosted == reservation.hosted
        self.sends.append((held, held.sends[-1], reservation))
        self.sms[reservation.send_id] = (self.model.now, request)
        self.compare_reservation(held, reservation)

    @precondition(lambda self: self.sends)
    @step(data=st.data())
    def reserve_the_same_send_again(self, data):
        held, send, reservation = self.sends[self.number(data, self.sends)]
        assume(self.model.latest(held.owner, held.phone) is held)
        assume(self.model.now - send.time <= SOON)
        again = self.store.reserve_send(send.request, send.id)
        assert (again.id, again.hosted) == (reservation.id, send.hosted)
        self.compare_reservation(held, again)
        self.pass_time()
        self.compare(held.phone)

    @precondition(lambda self: self.sends)
    @step(data=st.data())
    def settle_a_send(self, data):
        phone = self.settle(data, self.number(data, self.sends))
        self.pass_time()
        self.compare(phone)

    def settle(self, data, number):
        held, send, reservation = self.sends.pop(number)
        ways = [GIVEN_BACK]
        if send.hosted:
            ways += [BY_OTP, PERHAPS_BY_OTP]
        if send.request.code:
            ways += [BY_TEXT, PERHAPS_BY_TEXT]
        sending = data.draw(st.sampled_from(ways), "sending")
        for _ in range(data.draw(st.integers(1, 2), "times")):
            self.store.settle_send(reservation, sending)
        self.model.settle_send(held, send, sending.outcome, hosted=sending.hosted)
        if sending is GIVEN_BACK:
            del self.sms[send.id]
        return held.phone

    @precondition(lambda self: self.model.held)
    @step(
        data=st.data(),
        by_phone=st.booleans(),
        code=codes,
        address=addresses,
        settle=st.booleans(),
    )
    def guess(self, data, by_phone, code, address, settle):
        known = data.draw(st.sampled_from(self.model.held[-5:]), "of")
        owner, subject = known.owner, known.phone if by_phone else known.id
        guess = Guess(self.name("guess"), self.model.now, code, address)
        try:
            held, right = self.model.guess(owner, subject, guess)
        except OtpServiceError as told:
            reserve = partial(self.store.reserve_attempt, owner, subject, guess.id, code, address)
            assert_same_refusal(refused(reserve), told)
            if isinstance(told, WrongCode):  # it is decided, and may be asked about twice
                told.locked_for = 0
                assert_same_refusal(refused(reserve), told)
        else:
            attempt = self.store.reserve_attempt(owner, subject, guess.id, code, address)
            self.compare_attempt(held, guess, attempt, right)
            if settle and not right:
                self.settle_guess(data, -1)
        self.pass_time()
        self.compare(known.phone)

    @precondition(lambda self: self.model.held)
    @step(data=st.data(), code=codes, other=codes)
    def guess_twice(self, data, code, other):
        """Two guesses asked about at once, in either order of their answers."""
        before = len(self.guesses)
        for digits in (code, other):
            self.guess(data, False, digits, ADDRESSES[1], settle=False)
        for _ in range(len(self.guesses) - before):
            phone = self.settle_guess(data, data.draw(st.integers(before, len(self.guesses) - 1)))
            self.pass_time()
            self.compare(phone)

    def compare_attempt(self, held, guess, attempt, right):
        assert (attempt.id, attempt.phone, attempt.purpose) == (
            held.id,
            held.phone,
            held.owner.purpose,
        )
        assert (attempt.approved_at is not None) == right
        if right:
            self.approvals[held.id] += 1
        else:
            assert attempt.previous_unknown == held.lost
            assert attempt.compared == bool(held.good_codes())
            self.asked[held.id] += 1
            assert self.asked[held.id] <= self.policy.max_attempts
            self.guesses.append((held, guess, attempt))

    @precondition(lambda self: self.guesses)
    @step(data=st.data())
    def reserve_the_same_guess_again(self, data):
        held, guess, attempt = self.guesses[self.number(data, self.guesses)]
        assume(held.ended is not Status.FAILED)
        assume(self.model.now - guess.time <= SOON)
        again = self.store.reserve_attempt(held.owner, held.id, guess.id, guess.code, guess.address)
        assert again.previous_unknown == held.lost
        changed = {
            "route": "",
            "previous_unknown": False,
            "compared": False,
            "locked_for": 0,
            "sent_at": 0,
        }
        assert replace(again, **changed) == replace(attempt, **changed)
        self.pass_time()
        self.compare(held.phone)

    @precondition(lambda self: self.guesses)
    @step(data=st.data())
    def settle_an_earlier_guess(self, data):
        phone = self.settle_guess(data, self.number(data, self.guesses))
        self.pass_time()
        self.compare(phone)

    def settle_guess(self, data, number):
        held, guess, attempt = self.guesses.pop(number)
        outcome = data.draw(st.sampled_from(OUTCOMES), "outcome")
        told = refused(lambda: self.model.settle_guess(held, guess, outcome))
        for _ in range(data.draw(st.integers(1, 2), "times")):
            if outcome == YES:
                found = refused(lambda: self.store.approve(attempt, guess.code))
                assert_same_refusal(found, told)
            else:
                left = self.store.settle_attempt(attempt, outcome)
                assert left == self.model.attempts_left(held)
        if outcome == YES and told is None:
            self.approvals[held.id] += 1
        if outcome is AttemptOutcome.GIVEN_BACK:
            self.asked[held.id] -= 1
        return held.phone

    @precondition(lambda self: self.model.held)
    @step(data=st.data(), stranger=st.booleans())
    def cancel(self, data, stranger):
        held = data.draw(st.sampled_from(self.model.held), "of")
        if stranger:
            other = "shop" if held.owner.app == "portal" else "portal"
            assert type(refused(lambda: self.store.cancel(other, held.id))) is NotFound
            assert type(refused(lambda: self.store.read(other, held.id))) is NotFound
        else:
            before = self.model.status(held)
            assert self.store.cancel(held.owner.app, held.id).status is before
            self.model.cancel(held)
        self.pass_time()
        self.compare(held.phone)

    @step(phone=phones)
    def unlock(self, phone):
        self.compare_state(self.store.unlock(phone), phone)
        self.model.unlock(phone)
        self.pass_time()
        self.compare(phone)

    # What must be so after each of them

    def compare(self, *phones):
        for phone in phones:
            self.compare_state(self.store.lookup(phone), phone)
            for held in self.model.held:
                if held.phone == phone:
                    self.compare_read(held)

    def compare_state(self, state, phone):
        model = self.model
        locked = model.locked_for(phone)
        assert state.locked_for == (None if locked == inf else locked) or (
            0 <= state.locked_for - locked <= 1
        )
        failures = model.failures_of(phone)
        assert (state.failures, state.failures_in_all, state.sends_left) == (
            model.run_of(phone),
            failures.total,
            model.sends_left(phone),
        )
        latest = [held for owner in OWNERS if (held := model.latest(owner, phone))]
        assert set(state.verifications) == {
            (held.id, held.owner.app, held.owner.purpose, model.status(held)) for held in latest
        }

    def compare_read(self, held):
        seen = self.store.read(held.owner.app, held.id)
        status = self.model.status(held)
        assert (seen.status, seen.purpose, seen.phone, seen.attempts_left, seen.sends_left) == (
            status,
            held.owner.purpose,
            held.phone,
            self.model.attempts_left(held),
            self.model.sends_left(held.phone),
        )
        assert self.approvals[held.id] == (status is Status.APPROVED)
        assert (seen.approved_at is not None) == (status is Status.APPROVED)
        if seen.approved_at:
            self.assert_at(seen.approved_at, held.ended_at)
        if held.newest is None:
            assert self.moment(held.born) <= seen.expires_at <= self.moment(self.model.now + 1)
        else:
            self.assert_at(seen.expires_at, held.newest + self.policy.code_ttl)
            if status not in {Status.APPROVED, Status.FAILED}:
                self.assert_at(seen.resend_at, held.newest + self.policy.resend_after)

    def compare_reservation(self, held, reservation):
        assert reservation.attempts_left == self.model.attempts_left(held)
        assert reservation.sends_left == self.model.sends_left(held.phone)
        self.assert_at(reservation.expires_at, held.newest + self.policy.code_ttl)
        self.assert_at(reservation.resend_at, held.newest + self.policy.resend_after)

    def moment(self, seconds):
        return datetime.fromtimestamp(seconds, UTC)

    def assert_at(self, found, seconds):
        assert 0 <= (found - self.moment(seconds)).total_seconds() <= 1

    def everything(self):
        """All that Redis holds."""
        keys = sorted(self.redis.keys())
        pipeline = self.redis.pipeline(transaction=False)
        for key in keys:
            pipeline.dump(key)
        return keys, pipeline.execute()

    def teardown(self):
        if self.late or not hasattr(self, "model"):
            return
        self.compare(*PHONES)
        self.check_no_window_holds_more_than_its_quota()
        for key in self.redis.scan_iter(count=1000):
            assert self.redis.ttl(key) > 0

    def check_no_window_holds_more_than_its_quota(self):
        """Counted by itself, beside store and model."""
        quotas = {
            "phone": (self.policy.phone_quota, lambda request: request.phone),
            "address": (self.policy.address_quota, lambda request: request.address),
            "prefix": (self.policy.prefix_quota, lambda request: request.phone.e164[:-3]),
            "app": (self.model.app_quota, lambda request: request.owner.app),
        }
        for name, (windows, subject_of) in quotas.items():
            times = defaultdict(list)
            for sent_at, request in self.sms.values():
                if subject_of(request) is not None and name not in self.policy.record_only:
                    times[subject_of(request)].append(sent_at)
            for sent in times.values():
                for quota in windows:
                    later = sorted(sent)[quota.amount :]
                    pairs = zip(sorted(sent), later, strict=False)
                    assert all(last - first >= quota.window for first, last in pairs)


@pytest.mark.parametrize(("kind", "share"), [("fakeredis", 0.4), ("valkey", 1.4)])
def test_the_store_does_what_the_model_does(kind, share, request, caplog):
    caplog.set_level(logging.ERROR)  # quotas that only record warn thousands of times
    redis = FakeRedis() if kind == "fakeredis" else request.getfixturevalue("valkey")
    run_state_machine_as_test(
        lambda: StoreMachine(redis),
        settings=settings(
            max_examples=int(share * settings.default.max_examples),
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# Milliseconds until the next SMS; or it comes at the moment a window of one before it ends: which
# SMS and which window, counted round. All is drawn first: what was sent depends on the real clock.
EDGES = st.tuples(st.integers(0, 39), st.integers(0, 2))
GAPS = st.lists(st.integers(0, 3000) | EDGES, min_size=1, max_size=40)
QUOTAS = st.lists(st.builds(Quota, st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=3)


@pytest.mark.parametrize("kind", ["phone", "shared"])
@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(gaps=GAPS, quotas=QUOTAS)
def test_windows_slide_exactly_to_the_millisecond(valkey, kind, gaps, quotas):
    """No window ever holds more, whoever is refused had a full one, and told when it is not.

    What is told of an SMS is when the phone's script counted it; a shared quota's counted it just
    before, and not before it was asked.
    """
    valkey.flushall()
    phone_quota, app_quota = (quotas, ()) if kind == "phone" else ((), quotas)
    policy = Policy(resend_after=0, phone_quota=tuple(phone_quota), prefix_quota=())
    store = RedisStore(valkey, Digester([SECRET]), policy)
    request = SendRequest(OWNERS[0], PHONES[0], app_quota=tuple(app_quota))
    sent, earliest = [], []
    for number, gap in enumerate(gaps):
        if isinstance(gap, int):
            store.clock_offset += gap
        elif sent:
            before, window = gap
            edge = sent[before % len(sent)] + quotas[window % len(quotas)].window * 1000
            store.clock_offset = max(store.clock_offset, ceil(edge - time.time() * 1000))
        asked = time.time() * 1000 + store.clock_offset
        refusal = refused(lambda n=number: sent.append(reserved_at(store, request, n)))
        if refusal:
            assert is_full(sent, refusal, asked)
            store.clock_offset += refusal.retry_after * 1000
            store.preview_send(request)
        else:
            earliest.append(sent[-1] if kind == "phone" else int(asked))
    for quota in quotas:
        for first, last in zip(earliest, sent[quota.amount :], strict=False):
            assert last - first >= quota.window * 1000


def reserved_at(store, request, number):
    """Reserve an SMS; returns the server's time of it, in milliseconds."""
    reservation = store.reserve_send(request, f"send-{number}")
    return round(reservation.expires_at.timestamp() * 1000) - Policy().code_ttl * 1000


def is_full(sent, refusal, asked):
    """Whether the window that refused could not take one more at that time."""
    return sum(moment > int(asked) - refusal.window * 1000 for moment in sent) >= refusal.amount
