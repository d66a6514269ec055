"""Codes of our own: kept as digests, checked and counted in one step."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from otpservice.store.verifications import RedisStore
from otpservice.verification.code import Code
from otpservice.verification.digest import Digester
from otpservice.verification.errors import (
    AlreadyConfirmed,
    AttemptsExhausted,
    NotFound,
    OtpServiceError,
    PurposeConflict,
    WrongCode,
)
from otpservice.verification.owner import Owner
from otpservice.verification.policy import Policy
from otpservice.verification.ports import GIVEN_BACK, Sending, SendOutcome, SendRequest
from tests.conftest import SECRET

OWNER = Owner("portal", "login")
OTHER = Owner("shop", "login")
FIRST, SECOND, THIRD, FOURTH, WRONG = (Code(digit * 6) for digit in "12340")
BY_TEXT = Sending(SendOutcome.SENT, "vavasms-text")
PERHAPS_BY_TEXT = Sending(SendOutcome.UNKNOWN, "vavasms-text")
BY_OTP = Sending(SendOutcome.SENT, "vavasms-otp", hosted=True)
PERHAPS_BY_OTP = Sending(SendOutcome.UNKNOWN, "vavasms-otp", hosted=True)


@pytest.fixture
def make_store(redis):
    return lambda **policy: RedisStore(redis, Digester([SECRET]), Policy(resend_after=0, **policy))


@pytest.fixture
def store(make_store):
    return make_store()


@pytest.fixture
def send(store, phone):
    numbers = iter(range(1000))

    def send(code=FIRST, sending=BY_TEXT, *, hosted=False, owner=OWNER, store=store):
        request = SendRequest(owner, phone, hosted=hosted, code=code)
        reservation = store.reserve_send(request, f"send-{next(numbers)}")
        if sending:
            store.settle_send(reservation, sending)
        store.clock_offset += 1
        return reservation

    return send


@pytest.fixture
def guess(store):
    numbers = iter(range(1000))

    def guess(id, code, attempt_id=None, store=store):
        return store.reserve_attempt(OWNER, id, attempt_id or f"a-{next(numbers)}", code)

    return guess


def test_the_right_code_is_approved_at_once_and_only_once(send, guess):
    id = send().id
    approved = guess(id, FIRST)
    assert approved.approved_at
    with pytest.raises(AlreadyConfirmed):
        guess(id, FIRST)


def test_the_same_right_guess_again_is_the_same_approval(send, guess):
    id = send().id
    assert guess(id, FIRST, "same") == guess(id, FIRST, "same")


def test_a_wrong_code_is_decided_at_once_and_counted_once(send, guess, store):
    id = send().id
    for _ in range(3):
        with pytest.raises(WrongCode) as refused:
            guess(id, WRONG, "same")
        assert refused.value.attempts_left == 4
    assert store.lookup(store.read("portal", id).phone).failures == 1


def test_guesses_run_out(send, guess):
    id = send().id
    for left in (4, 3, 2, 1, 0):
        with pytest.raises(WrongCode) as refused:
            guess(id, WRONG)
        assert refused.value.attempts_left == left
    with pytest.raises(AttemptsExhausted):
        guess(id, FIRST)


def test_by_phone_it_is_the_same(send, store, phone):
    send()
    assert store.reserve_attempt(OWNER, phone, "a", FIRST).approved_at


def test_a_code_is_good_while_its_send_is_on_its_way(send, guess):
    id = send(sending=None).id
    assert guess(id, FIRST).approved_at


def test_a_resend_retires_the_code_before(send, guess):
    id = send().id
    send(SECOND)
    with pytest.raises(WrongCode):
        guess(id, FIRST)
    assert guess(id, SECOND).approved_at


@pytest.mark.parametrize("code", [FIRST, SECOND])
def test_after_a_resend_that_may_not_have_come_both_are_good(send, guess, code):
    id = send().id
    send(SECOND, PERHAPS_BY_TEXT)
    assert guess(id, code).approved_at


@pytest.mark.parametrize("sending", [PERHAPS_BY_TEXT, None])
def test_two_codes_are_good_at_the_most(send, guess, sending):
    id = send().id
    for code in (SECOND, THIRD, FOURTH):
        send(code, sending)
    for code in (SECOND, THIRD):
        with pytest.raises(WrongCode):
            guess(id, code)
    assert guess(id, FOURTH).approved_at


def test_the_one_that_certainly_left_is_the_other_of_the_two(send, guess):
    id = send().id
    for code in (SECOND, THIRD, FOURTH):
        send(code, PERHAPS_BY_TEXT)
    assert guess(id, FIRST).approved_at


def test_a_resend_that_did_not_leave_brings_the_unknown_one_before_it_back(send, guess, store):
    id = send().id
    send(SECOND, PERHAPS_BY_TEXT)
    last = send(THIRD, None)
    with pytest.raises(WrongCode):
        guess(id, SECOND)
    store.settle_send(last, GIVEN_BACK)
    assert guess(id, SECOND).approved_at


def test_the_next_resend_retires_both(send, guess):
    id = send().id
    send(SECOND, PERHAPS_BY_TEXT)
    send(THIRD)
    for code in (FIRST, SECOND):
        with pytest.raises(WrongCode):
            guess(id, code)
    assert guess(id, THIRD).approved_at


def test_a_resend_that_did_not_leave_leaves_the_code_before(send, guess):
    id = send().id
    send(SECOND, GIVEN_BACK)
    with pytest.raises(WrongCode):
        guess(id, SECOND)
    assert guess(id, FIRST).approved_at


def test_a_send_that_did_not_leave_leaves_no_code(send, guess):
    id = send(sending=GIVEN_BACK).id
    with pytest.raises(NotFound):
        guess(id, FIRST)


def test_a_code_that_went_by_a_hosted_route_is_not_ours(send, guess, store):
    id = send(sending=BY_OTP, hosted=True).id
    attempt = guess(id, FIRST)
    assert attempt.approved_at is None
    assert attempt.route == "vavasms-otp"


def test_the_route_that_sent_last_owns_the_verification(send, guess):
    id = send(sending=BY_OTP, hosted=True).id
    send(SECOND, hosted=True)
    with pytest.raises(WrongCode):
        guess(id, WRONG)
    assert guess(id, SECOND).approved_at


def test_a_hosted_resend_retires_our_code(send, guess):
    id = send(hosted=True).id
    send(SECOND, BY_OTP, hosted=True)
    assert guess(id, FIRST).approved_at is None


def test_a_hosted_resend_that_may_not_have_come_leaves_our_code_good(send, guess):
    id = send(hosted=True).id
    send(SECOND, PERHAPS_BY_OTP, hosted=True)
    assert guess(id, WRONG).approved_at is None
    assert guess(id, FIRST).approved_at


def test_while_a_hosted_route_may_be_sending_a_wrong_guess_is_asked_about(send, guess):
    id = send(sending=None, hosted=True).id
    assert guess(id, WRONG).approved_at is None


def reserve(store, phone, send_id, code, *, hosted=False):
    store.clock_offset += 1
    return store.reserve_send(SendRequest(OWNER, phone, hosted=hosted, code=code), send_id)


def test_of_two_on_their_way_an_earlier_that_surely_came_beats_a_later_that_may_not_have(
    store, phone, guess
):
    first, second = reserve(store, phone, "s1", FIRST), reserve(store, phone, "s2", SECOND)
    store.settle_send(second, PERHAPS_BY_TEXT)
    store.settle_send(first, BY_TEXT)
    assert guess(first.id, FIRST).approved_at


def test_the_same_for_a_hosted_one(store, phone, guess):
    first = reserve(store, phone, "s1", FIRST, hosted=True)
    second = reserve(store, phone, "s2", SECOND, hosted=True)
    store.settle_send(second, PERHAPS_BY_TEXT)
    store.settle_send(first, BY_OTP)
    asked = guess(first.id, WRONG)
    assert (asked.approved_at, asked.route) == (None, "vavasms-otp")
    assert guess(first.id, SECOND).approved_at


def test_a_resend_that_surely_left_retires_what_came_before_in_whatever_order_they_settle(
    store, phone, guess, send
):
    id = send().id
    second, third = reserve(store, phone, "s2", SECOND), reserve(store, phone, "s3", THIRD)
    store.settle_send(third, PERHAPS_BY_TEXT)
    store.settle_send(second, BY_TEXT)
    with pytest.raises(WrongCode):
        guess(id, FIRST)
    assert guess(id, THIRD).approved_at


def test_two_owners_may_have_codes_of_ours_on_one_phone(send, guess, store, phone):
    id = send().id
    other = send(SECOND, owner=OTHER)
    assert guess(id, FIRST).approved_at
    assert store.reserve_attempt(OTHER, other.id, "b", SECOND).approved_at


def test_where_another_owner_has_a_hosted_code_only_a_local_route_is_left(send, store):
    send(None, BY_OTP, hosted=True, owner=OTHER)
    with pytest.raises(PurposeConflict):
        send(None, hosted=True)
    assert not send(hosted=True).hosted


def test_a_local_send_does_not_hold_the_phone(send):
    send(hosted=True)
    assert send(SECOND, BY_OTP, hosted=True, owner=OTHER).hosted


def test_a_hosted_code_before_it_still_holds_the_phone(send):
    send(sending=BY_OTP, hosted=True)
    send(SECOND, hosted=True)
    assert not send(THIRD, hosted=True, owner=OTHER).hosted


def test_our_code_is_not_the_providers_to_refuse_later(send, guess):
    guess(send().id, FIRST)
    again = send(Code("111111"), sending=None)
    assert guess(again.id, FIRST).approved_at


def test_fifty_right_guesses_at_once_approve_once(send, guess):
    id = send().id

    def race(_):
        try:
            return bool(guess(id, FIRST).approved_at)
        except OtpServiceError as error:
            return type(error)

    with ThreadPoolExecutor(50) as pool:
        outcomes = list(pool.map(race, range(50)))
    assert outcomes.count(True) == 1
    assert outcomes.count(AlreadyConfirmed) == 49


def test_no_code_stands_in_redis(send, redis):
    send()
    for key in redis.scan_iter():
        kind = redis.type(key)
        held = redis.hgetall(key) if kind == b"hash" else redis.zrange(key, 0, -1)
        assert FIRST.digits not in str(held)


def test_a_failure_by_our_code_counts_on_the_lock(make_store, send, guess):
    store = make_store(lockout_failures=2)
    id = send(store=store).id
    for _ in range(2):
        with pytest.raises(WrongCode):
            guess(id, WRONG, store=store)
    assert store.lookup(store.read("portal", id).phone).locked_for > 3590
