"""What every store must do, over fakeredis and over a real Valkey."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from otpservice.store.verifications import RedisStore
from otpservice.verification.code import Code
from otpservice.verification.digest import Digester
from otpservice.verification.errors import (
    AlreadyConfirmed,
    AttemptsExhausted,
    Canceled,
    DestinationBlocked,
    Expired,
    NotFound,
    OtpServiceError,
    PhoneLocked,
    PurposeConflict,
    QuotaExceeded,
    ResendTooSoon,
    WrongCode,
)
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.policy import Policy, Quota
from otpservice.verification.ports import (
    GIVEN_BACK,
    AttemptOutcome,
    Sending,
    SendOutcome,
    SendRequest,
    Status,
)
from tests.conftest import SECRET

OWNER = Owner("portal", "login")
OTHER_PURPOSE = Owner("portal", "two-factor")
OTHER_APP = Owner("shop", "login")
CODE = Code("123456")
NEWER = b"a newer secret key, of more than 32 bytes"
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


@pytest.fixture
def make_store(redis):
    return lambda **policy: RedisStore(redis, Digester([SECRET]), Policy(**policy))


@pytest.fixture
def store(make_store):
    return make_store()


BY_OTP = Sending(SendOutcome.SENT, "vavasms-otp", hosted=True)
PERHAPS_BY_OTP = Sending(SendOutcome.UNKNOWN, "vavasms-otp", hosted=True)
BY_TEXT = Sending(SendOutcome.SENT, "vavasms-text")


def send(store, phone, owner=OWNER, send_id="send-1", sending=BY_OTP, **more):
    """Send by the hosted route, or ``sending`` BY_TEXT a code of ours: ``CODE``."""
    code = None if sending.hosted else CODE
    request = SendRequest(owner, phone, hosted=sending is not BY_TEXT, code=code, **more)
    reservation = store.reserve_send(request, send_id)
    if sending:
        store.settle_send(reservation, sending)
    return reservation


def fail(store, subject, times, owner=OWNER):
    for n in range(times):
        attempt = store.reserve_attempt(owner, subject, f"fail-{n}", Code("654321"))
        left = store.settle_attempt(attempt, AttemptOutcome.NO)
    return left


def approve(store, subject, owner=OWNER, attempt_id="yes-1", code=CODE):
    attempt = store.reserve_attempt(owner, subject, attempt_id, code)
    return store.approve(attempt, code)


def test_a_started_verification_is_pending_with_its_times_and_limits(store, phone):
    sent = send(store, phone)
    held = store.read("portal", sent.id)
    assert held.status is Status.PENDING
    assert held.phone == phone
    assert held.expires_at - held.resend_at == timedelta(seconds=240)
    assert (sent.expires_at, sent.resend_at) == (held.expires_at, held.resend_at)
    assert (sent.attempts_left, sent.sends_left) == (5, 4)


def test_an_unsettled_send_can_be_confirmed(store, phone):
    reserved = store.reserve_send(SendRequest(OWNER, phone), "lost")
    assert approve(store, reserved.id)


def test_a_resend_keeps_the_id_and_the_attempts_used(store, phone):
    first = send(store, phone)
    fail(store, first.id, 2)
    store.clock_offset = 61 * SECOND
    second = send(store, phone, send_id="send-2")
    assert second.id == first.id
    assert second.attempts_left == 3
    assert second.expires_at > first.expires_at + timedelta(seconds=60)


def test_no_second_sms_inside_the_cooldown(store, phone):
    first = send(store, phone)
    with pytest.raises(ResendTooSoon) as refused:
        send(store, phone, send_id="send-2")
    assert 59 <= refused.value.retry_after <= 60
    assert refused.value.id == first.id


def test_the_cooldown_outlives_a_cancel_and_ends_with_approval(store, phone):
    first = send(store, phone)
    store.cancel("portal", first.id)
    with pytest.raises(ResendTooSoon) as refused:
        send(store, phone, send_id="send-2", sending=BY_TEXT)
    assert 59 <= refused.value.retry_after <= 60
    store.clock_offset = 61 * SECOND
    second = send(store, phone, send_id="send-3", sending=BY_TEXT)
    assert second.id != first.id
    assert store.reserve_attempt(OWNER, second.id, "yes", CODE).approved_at
    assert send(store, phone, send_id="send-4", sending=BY_TEXT).id != second.id


def test_a_send_that_did_not_leave_starts_no_cooldown(store, phone):
    first = send(store, phone)
    store.clock_offset = 400 * SECOND
    failed = send(store, phone, send_id="send-2", sending=GIVEN_BACK)
    assert store.read("portal", failed.id).status is Status.FAILED
    assert send(store, phone, send_id="send-3").id not in {first.id, failed.id}


def test_a_first_send_that_did_not_leave_fails_the_verification_and_takes_nothing(store, phone):
    failed = send(store, phone, sending=GIVEN_BACK)
    assert store.read("portal", failed.id).status is Status.FAILED
    with pytest.raises(NotFound):
        approve(store, failed.id)
    with pytest.raises(NotFound):
        approve(store, phone)
    again = send(store, phone, send_id="send-2")
    assert again.id != failed.id
    assert again.sends_left == 4


def test_a_resend_that_did_not_leave_changes_nothing(store, phone):
    first = send(store, phone)
    store.clock_offset = 61 * SECOND
    resent = send(store, phone, send_id="send-2", sending=GIVEN_BACK)
    held = store.read("portal", first.id)
    assert (held.status, held.expires_at, held.resend_at) == (
        Status.PENDING,
        first.expires_at,
        first.resend_at,
    )
    assert send(store, phone, send_id="send-3").sends_left == 3
    assert resent.id == first.id


def test_of_two_sends_at_once_the_one_that_left_counts(make_store, phone):
    store = make_store(resend_after=0)
    first = store.reserve_send(SendRequest(OWNER, phone), "a")
    store.clock_offset = 10 * SECOND
    second = store.reserve_send(SendRequest(OWNER, phone), "b")
    store.settle_send(second, Sending(SendOutcome.SENT, "vavasms-otp", hosted=True))
    store.settle_send(first, GIVEN_BACK)
    held = store.read("portal", first.id)
    assert held.status is Status.PENDING
    assert held.expires_at == second.expires_at


def test_giving_back_twice_gives_back_once(store, phone):
    send(store, phone)
    store.clock_offset = 61 * SECOND
    reservation = store.reserve_send(SendRequest(OWNER, phone), "send-2")
    for _ in range(3):
        store.settle_send(reservation, GIVEN_BACK)
    assert send(store, phone, send_id="send-3").sends_left == 3


def test_the_same_send_reserved_twice_is_one(store, phone):
    first = store.reserve_send(SendRequest(OWNER, phone), "same")
    second = store.reserve_send(SendRequest(OWNER, phone), "same")
    assert second.id == first.id
    assert second.sends_left == first.sends_left == 4


def test_the_quota_slides(make_store, phone):
    store = make_store(resend_after=0, phone_quota=(Quota(2, 3600), Quota(3, 86_400)))
    send(store, phone, send_id="1")
    store.clock_offset = 59 * MINUTE
    send(store, phone, send_id="2")
    with pytest.raises(QuotaExceeded) as refused:
        send(store, phone, send_id="3")
    assert (refused.value.quota, refused.value.amount, refused.value.window) == ("phone", 2, 3600)
    assert 59 <= refused.value.retry_after <= 60
    store.clock_offset = 61 * MINUTE
    assert send(store, phone, send_id="4").sends_left == 0
    store.clock_offset = 3 * HOUR
    with pytest.raises(QuotaExceeded) as refused:
        send(store, phone, send_id="5")
    assert refused.value.window == 86_400


def test_the_longest_wait_is_told_when_two_windows_refuse(make_store, phone):
    store = make_store(resend_after=0, phone_quota=(Quota(1, 60), Quota(1, 86_400)))
    send(store, phone, send_id="1")
    with pytest.raises(QuotaExceeded) as refused:
        send(store, phone, send_id="2")
    assert refused.value.retry_after > 86_000


def test_without_a_quota_sends_are_not_counted(make_store, phone):
    store = make_store(resend_after=0, phone_quota=())
    assert [send(store, phone, send_id=str(n)).sends_left for n in range(20)] == [None] * 20


def test_wrong_guesses_run_out(store, phone):
    sent = send(store, phone)
    assert fail(store, sent.id, 5) == 0
    with pytest.raises(AttemptsExhausted):
        approve(store, sent.id)
    assert store.read("portal", sent.id).status is Status.ATTEMPTS_EXHAUSTED


def test_a_guess_given_back_is_there_again_once(store, phone):
    sent = send(store, phone)
    attempt = store.reserve_attempt(OWNER, sent.id, "a", CODE)
    for _ in range(3):
        store.settle_attempt(attempt, AttemptOutcome.GIVEN_BACK)
    assert store.read("portal", sent.id).attempts_left == 5


def test_a_lost_guess_stays_counted_and_is_remembered(store, phone):
    sent = send(store, phone)
    attempt = store.reserve_attempt(OWNER, sent.id, "a", CODE)
    assert store.settle_attempt(attempt, AttemptOutcome.UNKNOWN) == 4
    after = store.reserve_attempt(OWNER, sent.id, "b", CODE)
    assert after.previous_unknown
    store.settle_attempt(after, AttemptOutcome.NO)
    assert not store.reserve_attempt(OWNER, sent.id, "c", CODE).previous_unknown


def test_the_same_guess_reserved_twice_counts_once(store, phone):
    sent = send(store, phone)
    first = store.reserve_attempt(OWNER, sent.id, "same", CODE)
    assert store.reserve_attempt(OWNER, sent.id, "same", CODE) == first
    assert store.read("portal", sent.id).attempts_left == 4


def test_one_yes_wins(store, phone):
    sent = send(store, phone)
    first = store.reserve_attempt(OWNER, sent.id, "a", CODE)
    second = store.reserve_attempt(OWNER, sent.id, "b", CODE)
    approved_at = store.approve(first, CODE)
    with pytest.raises(AlreadyConfirmed):
        store.approve(second, CODE)
    assert store.approve(first, CODE) == approved_at
    with pytest.raises(AlreadyConfirmed):
        store.reserve_attempt(OWNER, phone, "c", CODE)


def test_a_cancel_wins_over_a_later_yes(store, phone):
    sent = send(store, phone)
    attempt = store.reserve_attempt(OWNER, sent.id, "a", CODE)
    assert store.cancel("portal", sent.id).status is Status.PENDING
    with pytest.raises(Canceled):
        store.approve(attempt, CODE)
    with pytest.raises(Canceled):
        store.reserve_attempt(OWNER, sent.id, "b", CODE)


def test_a_canceled_verification_whose_send_did_not_leave_has_sane_times(store, phone):
    reservation = store.reserve_send(SendRequest(OWNER, phone), "send-1")
    store.cancel("portal", reservation.id)
    store.settle_send(reservation, GIVEN_BACK)
    held = store.read("portal", reservation.id)
    assert held.status is Status.CANCELED
    assert held.resend_at == held.expires_at > reservation.expires_at - timedelta(minutes=6)


def test_a_guess_counted_in_time_may_still_approve(store, phone):
    sent = send(store, phone)
    attempt = store.reserve_attempt(OWNER, sent.id, "a", CODE)
    store.clock_offset = 301 * SECOND
    with pytest.raises(Expired):
        store.reserve_attempt(OWNER, sent.id, "b", CODE)
    assert store.approve(attempt, CODE)


def test_expiry_hides_exhaustion_and_the_lock(make_store, phone):
    store = make_store(lockout_failures=5)
    sent = send(store, phone)
    fail(store, sent.id, 5)
    with pytest.raises(PhoneLocked):
        approve(store, sent.id)
    store.clock_offset = 301 * SECOND
    with pytest.raises(Expired):
        approve(store, sent.id)


def test_by_phone_the_owners_latest_is_meant(store, phone):
    first = send(store, phone)
    store.clock_offset = 311 * SECOND
    second = send(store, phone, send_id="send-2")
    assert store.reserve_attempt(OWNER, phone, "a", CODE).id == second.id != first.id


@pytest.mark.parametrize("stranger", [OTHER_APP, OTHER_PURPOSE])
def test_by_phone_nobody_elses_is_found(store, phone, stranger):
    send(store, phone)
    with pytest.raises(NotFound):
        approve(store, phone, owner=stranger)


def test_another_apps_id_does_not_exist(store, phone):
    sent = send(store, phone)
    with pytest.raises(NotFound):
        approve(store, sent.id, owner=OTHER_APP)
    with pytest.raises(NotFound):
        store.read("shop", sent.id)
    with pytest.raises(NotFound):
        store.cancel("shop", sent.id)


@pytest.mark.parametrize("id", ["", "ver_", "ver_" + "0" * 36, "ver_" + "g" * 36, "x" * 40, "*"])
def test_an_id_of_any_other_form_does_not_exist(store, id):
    with pytest.raises(NotFound):
        store.read("portal", id)


# Milliseconds in which a hosted code may be alive by the defaults: five minutes at the provider,
# which may make it at the end of a call of ten seconds.
LIFE = 310 * SECOND


def refused_hosted(store, phone, owner):
    """The refusal of another send by the hosted route; a local one may leave instead."""
    with pytest.raises((PurposeConflict, ResendTooSoon)) as refused:
        store.preview_send(SendRequest(owner, phone))
    assert store.preview_send(SendRequest(owner, phone, code=CODE)) is False
    return refused.value


def exhaust(store, id):
    fail(store, id, 5)


def cancel(store, id):
    store.cancel("portal", id)


@pytest.mark.parametrize("sending", [BY_OTP, PERHAPS_BY_OTP, None])
@pytest.mark.parametrize("end", [lambda *_: None, exhaust, cancel])
@pytest.mark.parametrize("stranger", [OTHER_APP, OTHER_PURPOSE])
def test_the_hosted_route_serves_one_verification_until_its_code_has_died(
    store, phone, stranger, end, sending
):
    request = SendRequest(OWNER, phone)
    reservation = store.reserve_send(request, "send-1")
    if sending:
        store.settle_send(reservation, sending)
    end(store, reservation.id)
    store.clock_offset = 61 * SECOND
    refused = refused_hosted(store, phone, stranger)
    assert (type(refused), refused.retry_after) == (PurposeConflict, 249)
    store.clock_offset = LIFE - SECOND
    refused_hosted(store, phone, stranger)
    store.clock_offset = LIFE
    assert send(store, phone, owner=stranger, send_id="send-2").hosted


@pytest.mark.parametrize("end", [exhaust, cancel])
def test_a_later_verification_of_the_same_owner_waits_as_long(store, phone, end):
    first = send(store, phone)
    end(store, first.id)
    store.clock_offset = 61 * SECOND
    refused = refused_hosted(store, phone, OWNER)
    assert (type(refused), refused.retry_after, refused.id) == (ResendTooSoon, 249, first.id)
    store.clock_offset = LIFE
    assert send(store, phone, send_id="send-2").id != first.id


def test_the_wait_that_is_told_of_cooldown_and_code_is_the_longer(make_store, phone):
    store = make_store(code_ttl=60, resend_after=600)
    cancel(store, send(store, phone).id)
    assert refused_wait(store, phone) == 600
    store = make_store(resend_after=0)
    assert refused_wait(store, phone) == 70


def refused_wait(store, phone):
    with pytest.raises(ResendTooSoon) as refused:
        store.preview_send(SendRequest(OWNER, phone))
    return refused.value.retry_after


def test_an_approval_frees_the_phone_if_one_hosted_code_was_sent(store, phone):
    approve(store, send(store, phone).id)
    assert send(store, phone, owner=OTHER_PURPOSE, send_id="send-2").hosted


@pytest.mark.parametrize("sending", [BY_OTP, PERHAPS_BY_OTP, None])
def test_after_an_approval_the_other_codes_of_the_verification_hold_the_phone(
    store, phone, sending
):
    first = send(store, phone)
    store.clock_offset = 61 * SECOND
    resend = store.reserve_send(SendRequest(OWNER, phone), "send-2")
    approve(store, first.id)
    if sending:
        store.settle_send(resend, sending)
    for owner in (OWNER, OTHER_PURPOSE, OTHER_APP):
        assert refused_hosted(store, phone, owner).retry_after == 310
    store.clock_offset = 61 * SECOND + LIFE
    assert send(store, phone, owner=OTHER_PURPOSE, send_id="send-3").hosted


def test_a_resend_given_back_after_the_approval_frees_the_phone(store, phone):
    first = send(store, phone)
    store.clock_offset = 61 * SECOND
    resend = store.reserve_send(SendRequest(OWNER, phone), "send-2")
    approve(store, first.id)
    store.settle_send(resend, GIVEN_BACK)
    assert send(store, phone, owner=OTHER_PURPOSE, send_id="send-3").hosted


def test_a_code_that_died_before_the_approved_guess_is_none_of_several(store, phone):
    first = send(store, phone)
    store.clock_offset = 299 * SECOND
    send(store, phone, send_id="send-2")
    store.clock_offset = LIFE
    approve(store, first.id)
    assert send(store, phone, owner=OTHER_PURPOSE, send_id="send-3").hosted


def test_of_two_codes_alive_at_the_guess_both_hold_though_one_has_died_since(store, phone):
    first = send(store, phone)
    store.clock_offset = 299 * SECOND
    send(store, phone, send_id="send-2")
    store.clock_offset = LIFE - SECOND
    attempt = store.reserve_attempt(OWNER, first.id, "a", CODE)
    store.clock_offset = LIFE + SECOND
    store.approve(attempt, CODE)
    assert refused_hosted(store, phone, OTHER_PURPOSE).retry_after == 298


def test_an_approval_by_a_code_of_ours_leaves_the_hosted_ones_alive(store, phone):
    first = send(store, phone)
    store.clock_offset = 61 * SECOND
    send(store, phone, send_id="send-2", sending=BY_TEXT)
    assert store.reserve_attempt(OWNER, first.id, "a", CODE).approved_at
    assert refused_hosted(store, phone, OTHER_PURPOSE).retry_after == 249


def test_a_guess_on_its_way_to_the_provider_holds_the_phone_too(store, phone):
    first = send(store, phone)
    late = store.reserve_attempt(OWNER, first.id, "late", Code("654321"))
    approve(store, first.id)
    assert refused_hosted(store, phone, OTHER_PURPOSE).retry_after == 15
    store.settle_attempt(late, AttemptOutcome.NO)
    assert send(store, phone, owner=OTHER_PURPOSE, send_id="send-2").hosted


def test_a_guess_whose_answer_was_lost_may_still_be_on_its_way(store, phone):
    first = send(store, phone)
    lost = store.reserve_attempt(OWNER, first.id, "lost", Code("654321"))
    store.settle_attempt(lost, AttemptOutcome.UNKNOWN)
    approve(store, first.id)
    assert refused_hosted(store, phone, OTHER_PURPOSE).retry_after == 15
    store.clock_offset = 15 * SECOND
    assert send(store, phone, owner=OTHER_PURPOSE, send_id="send-2").hosted


def test_a_guess_whose_worker_died_holds_the_phone_while_it_may_be_asked_about(store, phone):
    first = send(store, phone)
    store.reserve_attempt(OWNER, first.id, "lost", Code("654321"))
    approve(store, first.id)
    store.clock_offset = 15 * SECOND
    assert send(store, phone, owner=OTHER_PURPOSE, send_id="send-2").hosted


def test_the_provider_is_not_asked_once_its_codes_have_died(store, phone):
    first = send(store, phone)
    store.clock_offset = 299 * SECOND
    perhaps = Sending(SendOutcome.UNKNOWN, "vavasms-text")
    request = SendRequest(OWNER, phone, hosted=False, code=Code("222222"))
    store.settle_send(store.reserve_send(request, "send-2"), perhaps)
    asked = store.reserve_attempt(OWNER, first.id, "a", CODE)
    store.settle_attempt(asked, AttemptOutcome.NO)
    store.clock_offset = LIFE
    assert send(store, phone, owner=OTHER_APP, send_id="send-3").hosted
    with pytest.raises(WrongCode):
        store.reserve_attempt(OWNER, first.id, "b", CODE)


def test_a_slow_provider_keeps_neither_hold_nor_used_code_too_short(make_store, phone):
    store = make_store(provider_timeout=30, resend_after=0)
    approve(store, send(store, phone).id)
    store.clock_offset = 200 * SECOND
    again = send(store, phone, owner=OTHER_PURPOSE, send_id="send-2")
    store.clock_offset = 329 * SECOND
    assert refused_hosted(store, phone, OTHER_APP)
    with pytest.raises(WrongCode):
        store.reserve_attempt(OTHER_PURPOSE, again.id, "a", CODE)
    store.clock_offset = 330 * SECOND
    assert store.reserve_attempt(OTHER_PURPOSE, again.id, "b", CODE).approved_at is None


def test_failures_that_are_forgotten_are_not_shown(store, phone):
    fail(store, send(store, phone).id, 1)
    assert store.lookup(phone).failures == 1
    store.clock_offset = 31 * DAY
    assert (store.lookup(phone).failures, store.lookup(phone).failures_in_all) == (0, 1)


def test_a_send_given_back_frees_the_phone(store, phone):
    send(store, phone, sending=GIVEN_BACK)
    assert send(store, phone, owner=OTHER_PURPOSE, send_id="send-2")


def test_an_approved_code_is_refused_unasked_until_the_provider_forgot_it(store, phone):
    approve(store, send(store, phone).id)
    again = send(store, phone, owner=OTHER_PURPOSE, send_id="send-2")
    with pytest.raises(WrongCode) as refused:
        store.reserve_attempt(OTHER_PURPOSE, again.id, "b", CODE)
    assert refused.value.attempts_left == 4
    assert store.reserve_attempt(OTHER_PURPOSE, again.id, "c", Code("123457"))


def test_an_approved_code_is_refused_by_instances_that_know_one_secret_of_two(redis, phone):
    old, both = (
        RedisStore(redis, Digester(keys), Policy()) for keys in ([SECRET], [NEWER, SECRET])
    )
    sent = send(old, phone)
    both.approve(both.reserve_attempt(OWNER, sent.id, "yes", CODE), CODE)
    again = send(old, phone, owner=OTHER_PURPOSE, send_id="send-2")
    with pytest.raises(WrongCode):
        old.reserve_attempt(OTHER_PURPOSE, again.id, "b", CODE)


@pytest.mark.parametrize("first", [0, 1])
def test_instances_with_both_secrets_in_either_order_see_each_others_codes(redis, phone, first):
    pairs = ([SECRET, NEWER], [NEWER, SECRET])
    stores = [RedisStore(redis, Digester(secrets), Policy()) for secrets in pairs]
    send(stores[first], phone)
    refused_hosted(stores[1 - first], phone, OTHER_APP)


def test_failures_in_a_row_lock_the_phone_for_longer_each_time(make_store, phone):
    store = make_store(max_attempts=10, lockout_failures=2, lockout_seconds=60, resend_after=0)
    for n, length in enumerate([60, 120, 240]):
        sent = send(store, phone, send_id=f"send-{n}")
        fail(store, sent.id, 2)
        for call in (approve, lambda s, _: send(s, phone, send_id="no")):
            with pytest.raises(PhoneLocked) as refused:
                call(store, sent.id)
            assert length - 1 <= refused.value.retry_after <= length
        store.clock_offset += length * SECOND


def test_a_lock_lasts_a_day_at_the_most(make_store, phone):
    store = make_store(lockout_failures=1, lockout_seconds=86_400, resend_after=0)
    for n in range(3):
        fail(store, send(store, phone, send_id=f"send-{n}").id, 1)
        with pytest.raises(PhoneLocked) as refused:
            send(store, phone, send_id="no")
        assert refused.value.retry_after <= 86_400
        store.clock_offset += DAY


def test_a_success_forgets_the_failures(make_store, phone):
    store = make_store(lockout_failures=3, resend_after=0)
    for n in range(4):
        sent = send(store, phone, send_id=f"send-{n}")
        fail(store, sent.id, 2)
        approve(store, sent.id, code=Code(f"00000{n}"))
        assert store.lookup(phone).failures_in_all == 0


def test_thirty_days_without_a_failure_forget_the_last_lock(make_store, phone):
    store = make_store(lockout_failures=1, lockout_seconds=60, resend_after=0)
    for n in range(2):
        fail(store, send(store, phone, send_id=f"send-{n}").id, 1)
        with pytest.raises(PhoneLocked) as refused:
            send(store, phone, send_id="no")
        assert refused.value.retry_after <= 60
        store.clock_offset += 30 * DAY


def test_too_many_failures_in_all_lock_the_phone_for_good(make_store, phone):
    store = make_store(lockout_failures=1, lockout_seconds=1, lockout_total=3, resend_after=0)
    for n in range(3):
        fail(store, send(store, phone, send_id=f"send-{n}").id, 1)
        store.clock_offset += 40 * DAY
    with pytest.raises(PhoneLocked) as refused:
        send(store, phone, send_id="no")
    assert refused.value.retry_after is None


@pytest.mark.parametrize("outcome", [AttemptOutcome.GIVEN_BACK, AttemptOutcome.UNKNOWN])
def test_a_guess_that_was_no_failure_lifts_the_lock_it_started(make_store, phone, outcome):
    store = make_store(lockout_failures=2)
    sent = send(store, phone)
    fail(store, sent.id, 1)
    attempt = store.reserve_attempt(OWNER, sent.id, "a", CODE)
    with pytest.raises(PhoneLocked):
        store.reserve_attempt(OWNER, sent.id, "b", CODE)
    store.settle_attempt(attempt, outcome)
    assert store.reserve_attempt(OWNER, sent.id, "c", CODE)


def test_a_guess_from_before_a_success_takes_no_later_failure_out(make_store, phone):
    store = make_store(lockout_failures=3, resend_after=0)
    sent = send(store, phone)
    late = store.reserve_attempt(OWNER, sent.id, "late", CODE)
    approve(store, sent.id)
    store.clock_offset = 16 * SECOND
    again = send(store, phone, send_id="send-2")
    fail(store, again.id, 2)
    store.settle_attempt(late, AttemptOutcome.GIVEN_BACK)
    fail(store, again.id, 1)
    with pytest.raises(PhoneLocked):
        approve(store, again.id)


def test_after_the_cancel_of_an_exhausted_verification_no_late_yes_approves_it(store, phone):
    sent = send(store, phone)
    late = store.reserve_attempt(OWNER, sent.id, "late", CODE)
    other = store.reserve_attempt(OWNER, sent.id, "other", Code("654321"))
    fail(store, sent.id, 3)
    assert store.cancel("portal", sent.id).status is Status.ATTEMPTS_EXHAUSTED
    store.settle_attempt(other, AttemptOutcome.GIVEN_BACK)
    assert store.read("portal", sent.id).status is Status.ATTEMPTS_EXHAUSTED
    with pytest.raises(AttemptsExhausted):
        store.approve(late, CODE)


def test_fifty_yes_at_once_approve_once(store, phone):
    sent = send(store, phone)
    attempts = [store.reserve_attempt(OWNER, sent.id, f"a-{n}", CODE) for n in range(5)]

    def race(n):
        try:
            store.approve(attempts[n % 5], CODE)
        except OtpServiceError as error:
            return type(error)
        return n % 5

    with ThreadPoolExecutor(50) as pool:
        outcomes = list(pool.map(race, range(50)))
    winners = {outcome for outcome in outcomes if isinstance(outcome, int)}
    assert len(winners) == 1
    assert outcomes.count(AlreadyConfirmed) == 40


def test_two_hundred_guesses_at_once_reserve_exactly_the_limit(store, phone):
    sent = send(store, phone)

    def race(n):
        try:
            return store.reserve_attempt(OWNER, sent.id, f"a-{n}", CODE)
        except AttemptsExhausted:
            return None

    with ThreadPoolExecutor(50) as pool:
        reserved = [attempt for attempt in pool.map(race, range(200)) if attempt]
    assert len(reserved) == 5


def test_a_hundred_sends_at_once_reserve_exactly_the_quota(make_store, phone):
    store = make_store(resend_after=0)

    def race(n):
        try:
            return store.reserve_send(SendRequest(OWNER, phone), f"s-{n}")
        except QuotaExceeded:
            return None

    with ThreadPoolExecutor(50) as pool:
        reserved = [sent for sent in pool.map(race, range(100)) if sent]
    assert len(reserved) == 5
    assert len({sent.id for sent in reserved}) == 1


def test_every_key_expires_and_none_names_the_phone(store, redis, phone):
    sent = send(store, phone)
    fail(store, sent.id, 2)
    approve(store, sent.id)
    send(store, phone, send_id="send-2")
    for key in redis.scan_iter():
        assert 0 < redis.ttl(key) <= 180 * 86_400
        assert phone.digits[3:] not in key.decode()
    of_phones = [key.split(b":") for key in redis.scan_iter()]
    tags = {tag for _, tag, kind, _ in of_phones if kind in {b"p", b"s", b"v"}}
    assert tags == {f"{{{sent.id[4:8]}}}".encode()}


def test_a_finished_record_is_kept_for_an_hour(store, redis, phone):
    sent = send(store, phone)
    key = f"otp:{{{sent.id[4:8]}}}:v:{sent.id[8:]}"
    assert 3890 <= redis.ttl(key) <= 3900
    approve(store, sent.id)
    assert 3590 <= redis.ttl(key) <= 3600


def test_what_stands_under_an_older_secret_is_still_found(redis, phone):
    old = RedisStore(redis, Digester([SECRET]), Policy())
    sent = send(old, phone)
    both = RedisStore(redis, Digester([b"n" * 32, SECRET]), Policy())
    assert both.reserve_attempt(OWNER, phone, "a", CODE).id == sent.id
    with pytest.raises(ResendTooSoon):
        send(both, phone, send_id="send-2")
    stranger = replace(phone, e164="+2250709000002")
    new = RedisStore(redis, Digester([b"n" * 32]), Policy())
    sent = send(both, stranger, send_id="send-3")
    assert new.reserve_attempt(OWNER, stranger, "a", CODE).id == sent.id


def test_an_opt_out_under_an_older_secret_still_holds(redis, phone):
    (old,) = Digester([SECRET]).phones(phone)
    redis.set(f"otp:{{{old.tag}}}:o:{old.name}", "1", ex=1000)
    both = RedisStore(redis, Digester([b"n" * 32, SECRET]), Policy())
    with pytest.raises(DestinationBlocked):
        send(both, phone)
    assert redis.ttl(f"otp:{{{old.tag}}}:o:{old.name}") > 399 * 86_400


def test_a_store_that_lost_everything_knows_nothing_and_goes_on(store, redis, phone):
    sent = send(store, phone)
    attempt = store.reserve_attempt(OWNER, sent.id, "a", CODE)
    redis.flushall()
    with pytest.raises(NotFound):
        store.approve(attempt, CODE)
    with pytest.raises(NotFound):
        store.reserve_attempt(OWNER, phone, "b", CODE)
    assert send(store, phone, send_id="send-2").id != sent.id


def test_phones_are_not_confused(store, phone):
    other = PhoneNumber("+2250709000002")
    sent = send(store, phone)
    assert send(store, other, send_id="send-2").id != sent.id
    with pytest.raises(NotFound):
        approve(store, PhoneNumber("+2250709000003"))
