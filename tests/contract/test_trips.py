"""Round trips of the store, and what rides along with a decision."""

import pytest

from otpservice.store.pumping import PumpingGuard
from otpservice.store.scripts import script_texts
from otpservice.store.verifications import RedisStore
from otpservice.telemetry.metrics import REDIS_CALL_SECONDS
from otpservice.verification.code import Code
from otpservice.verification.digest import Digester
from otpservice.verification.errors import AlreadyConfirmed, Canceled, WrongCode
from otpservice.verification.owner import Owner
from otpservice.verification.policy import Policy, Quota
from otpservice.verification.ports import AttemptOutcome, Sending, SendOutcome, SendRequest
from tests.conftest import SECRET

OWNER = Owner("portal", "login")
CODE, OTHER = Code("123456"), Code("000000")
ADDRESS = "192.0.2.1"


def trips():
    """Calls to Redis so far, as the metrics count them."""
    (family,) = REDIS_CALL_SECONDS.collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_count"))


@pytest.fixture
def guard():
    return PumpingGuard(Digester([SECRET]))


@pytest.fixture
def store(redis, guard):
    for text in script_texts().values():  # loading one for the first time is a trip more
        redis.script_load(text)
    policy = Policy(address_failure_quota=(Quota(1, 3600),))
    return RedisStore(redis, Digester([SECRET]), policy, guard=guard)


@pytest.fixture
def hosted(store, phone):
    request = SendRequest(OWNER, phone, address=ADDRESS, app_budget=9, hosted=True)
    sent = store.reserve_send(request, "send")
    store.settle_send(sent, Sending(SendOutcome.SENT, "vavasms-otp", hosted=True))
    return sent.id


def confirmed_in(redis, guard, phone):
    """SMS that the guard counts as confirmed: by country, by block."""
    held = [redis.hgetall(subject.key).items() for subject in guard.subjects(phone)]
    return [sum(int(n) for name, n in counts if name[:1] == b"c") for counts in held]


def test_a_send_takes_three_trips_of_the_store(hosted):
    assert trips() == 3


def test_a_guess_from_an_address_takes_three_trips_and_its_yes_is_told_in_the_last(
    store, redis, guard, phone, hosted
):
    store.settle_attempt(
        store.reserve_attempt(OWNER, hosted, "no", OTHER, None), AttemptOutcome.UNKNOWN
    )
    before = trips()
    guess = store.reserve_attempt(OWNER, hosted, "yes", CODE, ADDRESS)
    store.approve(guess, CODE)
    assert trips() - before == 3
    assert confirmed_in(redis, guard, phone) == [1, 1]


def test_of_two_yeses_one_confirms_the_sms(store, redis, guard, phone, hosted):
    first = store.reserve_attempt(OWNER, hosted, "first", CODE)
    second = store.reserve_attempt(OWNER, hosted, "second", CODE)
    store.approve(first, CODE)
    with pytest.raises(AlreadyConfirmed):
        store.approve(second, CODE)
    assert store.approve(first, CODE)  # asked again, because the answer was lost
    assert confirmed_in(redis, guard, phone) == [1, 1]


def test_a_yes_after_a_cancel_confirms_no_sms_and_is_no_failure_of_its_address(
    store, redis, guard, phone, hosted
):
    guess = store.reserve_attempt(OWNER, hosted, "guess", CODE, ADDRESS)
    store.cancel("portal", hosted)
    with pytest.raises(Canceled):
        store.approve(guess, CODE)
    assert confirmed_in(redis, guard, phone) == [0, 0]
    with pytest.raises(Canceled):  # by the verification, not by the address's quota of one
        store.reserve_attempt(OWNER, hosted, "again", CODE, ADDRESS)


@pytest.mark.parametrize("outcome", [AttemptOutcome.UNKNOWN, AttemptOutcome.GIVEN_BACK])
def test_what_came_to_no_answer_is_no_failure_of_its_address(store, hosted, outcome):
    for n in range(2):
        guess = store.reserve_attempt(OWNER, hosted, f"guess-{n}", CODE, ADDRESS)
        assert guess.previous_unknown == (n > 0 and outcome is AttemptOutcome.UNKNOWN)
        store.settle_attempt(guess, outcome)


def test_a_local_right_guess_is_decided_and_told_in_three_trips(store, redis, guard, phone):
    sent = store.reserve_send(SendRequest(OWNER, phone, hosted=False, code=CODE), "send")
    store.settle_send(sent, Sending(SendOutcome.SENT, "vavasms-text", hosted=False))
    with pytest.raises(WrongCode):
        store.reserve_attempt(OWNER, sent.id, "wrong", OTHER)
    before = trips()
    assert store.reserve_attempt(OWNER, sent.id, "right", CODE, ADDRESS).approved_at
    assert trips() - before == 3
    assert confirmed_in(redis, guard, phone) == [1, 1]
