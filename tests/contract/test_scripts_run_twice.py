"""Every script may run twice: the second run with the same arguments changes nothing.

A command that was not answered in time may be sent again, by a library or by hand. Each story here
goes through a client that runs every script twice and compares the whole database after each run.
"""

import time

import pytest

from otpservice.store.balance import BalanceWatch
from otpservice.store.generation import Epoch
from otpservice.store.idempotency import RedisIdempotency
from otpservice.store.inbound import RedisInbound
from otpservice.store.pumping import PumpingGuard
from otpservice.store.scripts import Scripts
from otpservice.store.verifications import RedisStore
from otpservice.vavasms import Balance
from otpservice.verification.balance import Prices
from otpservice.verification.code import Code
from otpservice.verification.digest import Digester
from otpservice.verification.errors import (
    AlreadyConfirmed,
    BudgetExhausted,
    DestinationBlocked,
    PhoneLocked,
    QuotaExceeded,
    WrongCode,
)
from otpservice.verification.idempotency import Finished, KeyedCall
from otpservice.verification.inbound import InboundSms, Wish
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.policy import Policy, Quota
from otpservice.verification.ports import (
    GIVEN_BACK,
    AttemptOutcome,
    Sending,
    SendOutcome,
    SendRequest,
)
from tests.conftest import SECRET
from tests.contract.runs_twice import RunsTwice, answers, databases

PORTAL, SHOP = Owner("portal", "login"), Owner("shop", "login")
RIGHT, WRONG = Code("123456"), Code("654321")
ADDRESS = "192.0.2.1"
HOSTED = Sending(SendOutcome.SENT, "vavasms-otp", hosted=True)
LOCAL = Sending(SendOutcome.SENT, "vavasms-text", message_id="m-1")
UNKNOWN = Sending(SendOutcome.UNKNOWN, "vavasms-otp", hosted=True)

POLICY = Policy(
    resend_after=0,
    lockout_failures=3,
    phone_quota=(Quota(9, 3600),),
    address_quota=(Quota(9, 3600),),
    address_failure_quota=(Quota(9, 3600),),
    prefix_quota=(Quota(9, 3600),),
    daily_budget=9,
)


class World:
    """All that runs scripts, on one client."""

    def __init__(self, redis):
        self.redis = redis
        self.scripts = Scripts(redis)
        self.digester = Digester([SECRET])
        self.watch = BalanceWatch(
            self.scripts,
            lambda: Balance(900, "XOF"),
            Prices(sms=25, low=1000),
            routes=("vavasms-otp", "vavasms-text"),
        )
        self.store = self.make_store()
        self.phone = PhoneNumber("+2250709000001")

    def make_store(self, policy=POLICY, **guard):
        return RedisStore(
            self.redis,
            self.digester,
            policy,
            guard=PumpingGuard(self.digester, **guard),
            watch=self.watch,
            epoch=Epoch(self.scripts, ("otp:{epoch}:since",)),
        )

    def reserve(self, name="send", *, owner=PORTAL, hosted=True):
        request = SendRequest(
            owner,
            self.phone,
            address=ADDRESS,
            hosted=hosted,
            code=None if hosted else RIGHT,
            app_quota=(Quota(9, 3600),),
            app_budget=9,
        )
        return self.store.reserve_send(request, name)

    def send(self, name="send", **how):
        reservation = self.reserve(name, **how)
        self.store.settle_send(reservation, HOSTED if how.get("hosted", True) else LOCAL)
        return reservation.id

    def guess(self, id, name="guess", code=RIGHT, owner=PORTAL):
        return self.store.reserve_attempt(owner, id, name, code, ADDRESS)


def a_hosted_login(world):
    id = world.send()
    world.store.settle_attempt(world.guess(id, "wrong", WRONG), AttemptOutcome.NO)
    assert world.store.approve(world.guess(id), RIGHT)
    with pytest.raises(AlreadyConfirmed):
        world.guess(id, "late")


def a_local_login(world):
    id = world.send(hosted=False)
    with pytest.raises(WrongCode):
        world.guess(id, "wrong", WRONG)
    assert world.guess(id).approved_at


def guesses_that_were_not_asked_or_not_answered(world):
    id = world.send()
    world.store.settle_attempt(world.guess(id, "back"), AttemptOutcome.GIVEN_BACK)
    world.store.settle_attempt(world.guess(id, "unknown"), AttemptOutcome.UNKNOWN)


def a_guess_that_came_too_late(world):
    id = world.send()
    first, late = world.guess(id, "first"), world.guess(id, "late")
    world.store.approve(first, RIGHT)
    with pytest.raises(AlreadyConfirmed):
        world.store.approve(late, RIGHT)


def a_lock_and_a_look_at_it(world):
    id = world.send()
    for name in ("first", "second", "third"):
        world.store.settle_attempt(world.guess(id, name, WRONG), AttemptOutcome.NO)
    with pytest.raises(PhoneLocked):
        world.guess(id, "fourth")
    assert world.store.lookup(world.phone).locked_for


def an_unlocked_phone(world):
    id = world.send()
    world.store.settle_attempt(world.guess(id, "wrong", WRONG), AttemptOutcome.NO)
    world.store.unlock(world.phone)


def sends_that_did_not_leave_or_may_have(world):
    world.store.settle_send(world.reserve("unknown"), UNKNOWN)
    world.store.settle_send(world.reserve("back"), GIVEN_BACK)
    world.phone = PhoneNumber("+2250709000002")
    world.store.settle_send(world.reserve("only"), GIVEN_BACK)


def sends_of_several_owners(world):
    world.send("hosted")
    world.send("local", owner=SHOP, hosted=False)
    world.send("again", owner=SHOP, hosted=False)


def a_quota_that_is_used_up(world):
    world.store = world.make_store(Policy(resend_after=0, phone_quota=(Quota(1, 3600),)))
    world.send()
    with pytest.raises(QuotaExceeded):
        world.reserve("second")
    world.store = world.make_store(Policy(resend_after=0, address_quota=(Quota(1, 3600),)))
    with pytest.raises(QuotaExceeded):
        world.reserve("third")


def a_quota_that_only_records(world):
    quotas = {"phone_quota": (Quota(1, 3600),), "address_quota": (Quota(1, 3600),)}
    policy = Policy(resend_after=0, **quotas, record_only=("phone", "address"))
    world.store = world.make_store(policy)
    world.send()
    world.send("second")


def a_budget_that_is_used_up(world):
    world.store = world.make_store(Policy(resend_after=0, daily_budget=1))
    world.store.settle_send(world.reserve("back"), GIVEN_BACK)
    world.send()
    with pytest.raises(BudgetExhausted):
        world.reserve("second")


def a_block_that_looks_pumped(world):
    world.store = world.make_store(enforce=True)
    world.scripts.clock_offset = world.store.clock_offset = -26 * 3_600_000
    world.send("long-ago")
    world.scripts.clock_offset = world.store.clock_offset = 0
    for n in range(3):
        world.send(f"send-{n}")
    with pytest.raises(QuotaExceeded):
        world.send("too-many")


def a_verification_that_is_read_and_canceled(world):
    id = world.send()
    world.store.read("portal", id)
    world.store.cancel("portal", id)


def a_delivery_that_is_asked_for(world):
    id = world.send(hosted=False)
    verification = world.store.read("portal", id)
    world.store.keep_delivery(verification, "sent")
    world.store.keep_delivery(verification, "delivered")
    time.sleep(0.1)
    assert world.store.read("portal", id).delivery == "delivered"


def the_balance(world):
    world.send()
    world.watch.now()
    time.sleep(0.1)
    assert world.watch.last().low


def a_balance_that_cannot_be_asked_for(world):
    world.watch.now()
    world.scripts.clock_offset = 120_000
    world.watch.now()


def calls_with_a_key(world):
    idempotency = RedisIdempotency(world.scripts, [SECRET, SECRET + b"older"], lease=15)
    call = KeyedCall("portal", "login-code", "key-1", {"phone": "1"})
    idempotency.finish(idempotency.begin(call, "token"), Finished(201, "ver_1"))
    assert idempotency.begin(call, "other") == Finished(201, "ver_1")
    call = KeyedCall("portal", "login-code", "key-2", {"phone": "1"})
    idempotency.release(idempotency.begin(call, "token"))


def incoming_sms(world):
    inbound = RedisInbound(world.scripts, world.digester)
    for n, wish in enumerate((None, Wish.STOP, Wish.START, Wish.STOP)):
        sms = InboundSms(f"id-{n}", "+225…01", str(wish), "2026-01-01", wish)
        assert inbound.keep(sms, world.phone)
    assert inbound.opted_out(world.phone)
    assert len(inbound.recent(10)) == 4


def an_opted_out_phone(world):
    incoming_sms(world)
    with pytest.raises(DestinationBlocked):
        world.reserve()


def the_readiness_probe(world):
    world.store.ping()
    world.store.ping()


STORIES = [
    a_hosted_login,
    a_local_login,
    guesses_that_were_not_asked_or_not_answered,
    a_guess_that_came_too_late,
    a_lock_and_a_look_at_it,
    an_unlocked_phone,
    sends_that_did_not_leave_or_may_have,
    sends_of_several_owners,
    a_quota_that_is_used_up,
    a_quota_that_only_records,
    a_budget_that_is_used_up,
    a_block_that_looks_pumped,
    a_verification_that_is_read_and_canceled,
    a_delivery_that_is_asked_for,
    the_balance,
    a_balance_that_cannot_be_asked_for,
    calls_with_a_key,
    incoming_sms,
    an_opted_out_phone,
    the_readiness_probe,
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_second_run_changes_nothing(story, valkey):
    story(World(RunsTwice(valkey, databases)))


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_second_run_answers_as_the_first(story, valkey):
    story(World(RunsTwice(valkey, answers)))


def test_every_script_is_in_a_story(valkey):
    redis = RunsTwice(valkey, lambda *_: None)
    for story in STORIES:
        valkey.flushall()
        story(World(redis))
    assert set(redis.names.values()) - redis.seen == set()
