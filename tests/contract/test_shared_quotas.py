"""Quotas that many phones share: taken together with the phone's, or not at all."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from otpservice.store.pumping import PumpingGuard
from otpservice.store.verifications import RedisStore
from otpservice.verification.code import Code
from otpservice.verification.digest import Digester
from otpservice.verification.errors import (
    BudgetExhausted,
    NotFound,
    PhoneLocked,
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
)
from tests.conftest import SECRET

OWNER = Owner("portal", "login")
CODE = Code("123456")
HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture
def make_store(redis):
    return lambda **policy: RedisStore(redis, Digester([SECRET]), Policy(**policy))


def phone(n):
    """The n-th number, each of another block of 1,000."""
    return PhoneNumber(f"+22507{n:05}000")


def ask(store, n, send_id=None, outcome=SendOutcome.SENT, **more):
    request = SendRequest(more.pop("owner", OWNER), more.pop("to", phone(n)), **more)
    reservation = store.reserve_send(request, send_id or f"send-{n}")
    store.settle_send(reservation, Sending(outcome, "vavasms-otp", hosted=True))
    return reservation


def test_an_address_gets_its_quota_over_all_phones(make_store):
    store = make_store(address_quota=(Quota(3, 3600),))
    for n in range(3):
        ask(store, n, address="192.0.2.1")
    with pytest.raises(QuotaExceeded) as refused:
        ask(store, 3, address="192.0.2.1")
    assert (refused.value.quota, refused.value.amount) == ("address", 3)
    assert ask(store, 3, address="192.0.2.2")
    assert ask(store, 4)


def test_a_block_of_a_thousand_numbers_gets_its_quota(make_store):
    store = make_store(prefix_quota=(Quota(3, 3600),))
    for n in range(3):
        ask(store, n, to=PhoneNumber(f"+2250709000{n:03}"))
    with pytest.raises(QuotaExceeded) as refused:
        ask(store, 3, to=PhoneNumber("+2250709000999"))
    assert refused.value.quota == "prefix"
    assert ask(store, 4, to=PhoneNumber("+2250709001000"))
    assert ask(store, 5, to=PhoneNumber("+2250709000998"), trusted=True)


def test_an_app_gets_its_quota_and_its_budget(make_store):
    store = make_store()
    ask(store, 0, app_quota=(Quota(1, 60),), app_budget=2)
    with pytest.raises(QuotaExceeded) as refused:
        ask(store, 1, app_quota=(Quota(1, 60),), app_budget=2)
    assert refused.value.quota == "app"
    ask(store, 2, app_budget=2)
    with pytest.raises(BudgetExhausted) as spent:
        ask(store, 3, app_budget=2)
    assert spent.value.scope == "app"
    assert ask(store, 4, owner=Owner("shop", "login"), app_budget=2)


def test_the_services_budget_is_for_the_utc_day(make_store):
    store = make_store(daily_budget=2)
    for n in range(2):
        ask(store, n)
    with pytest.raises(BudgetExhausted) as spent:
        ask(store, 2)
    assert spent.value.scope == "service"
    assert 0 < spent.value.retry_after <= 86_400
    store.clock_offset = spent.value.retry_after * 1000
    assert ask(store, 3)


def test_a_refusal_by_one_takes_nothing_from_the_others(make_store):
    store = make_store(address_quota=(Quota(2, 3600),), daily_budget=1)
    ask(store, 0, address="192.0.2.1")
    for n in range(5):
        with pytest.raises(BudgetExhausted):
            ask(store, 10 + n, address="192.0.2.1")
    store.clock_offset = DAY
    ask(store, 1, address="192.0.2.1")
    store.clock_offset += DAY
    assert ask(store, 2, address="192.0.2.1")


def test_a_refusal_by_the_phone_gives_the_others_back(make_store):
    store = make_store(address_quota=(Quota(2, 3600),), daily_budget=2)
    ask(store, 0, address="192.0.2.1")
    for n in range(5):
        with pytest.raises(ResendTooSoon):
            ask(store, 0, send_id=f"again-{n}", address="192.0.2.1")
    assert ask(store, 1, address="192.0.2.1")


def test_an_sms_that_surely_did_not_leave_is_given_back_everywhere_once(make_store):
    store = make_store(
        address_quota=(Quota(1, 3600),), prefix_quota=(Quota(1, 3600),), daily_budget=1
    )
    more = {"address": "192.0.2.1", "app_quota": (Quota(1, 3600),), "app_budget": 1}
    for n in range(3):
        lost = ask(store, 0, send_id=f"lost-{n}", outcome=SendOutcome.GIVEN_BACK, **more)
    store.settle_send(lost, GIVEN_BACK)
    ask(store, 0, **more)
    with pytest.raises(QuotaExceeded):
        ask(store, 1, send_id="one more", **more)


def test_a_quota_that_only_records_counts_and_does_not_refuse(make_store, caplog):
    store = make_store(
        address_quota=(Quota(1, 3600),),
        phone_quota=(Quota(1, 3600),),
        resend_after=0,
        record_only=frozenset({"address", "phone"}),
    )
    for n in range(3):
        ask(store, 0, send_id=f"send-{n}", address="192.0.2.1")
    would = [record.quota for record in caplog.records if record.msg == "quota_would_refuse"]
    assert would == ["address", "phone"] * 2


@pytest.mark.parametrize("enforce", [False, True])
def test_an_enforcing_guard_notes_what_it_cannot_refuse_yet(redis, caplog, enforce):
    guard = PumpingGuard(Digester([SECRET]), enforce=enforce)
    store = RedisStore(redis, Digester([SECRET]), Policy(prefix_quota=()), guard=guard)
    for n in range(4):  # 3 in an hour are within the budget of a country without history
        ask(store, n)
    would = [record.quota for record in caplog.records if record.msg == "quota_would_refuse"]
    assert would == ["pumping"]


def test_a_preview_takes_nothing_and_says_what_comes_first(make_store):
    store = make_store(phone_quota=(Quota(1, 3600),), daily_budget=1)
    request = SendRequest(OWNER, phone(0), address="192.0.2.1")
    for _ in range(5):
        store.preview_send(request)
    ask(store, 0)
    with pytest.raises(ResendTooSoon):
        store.preview_send(request)
    store.clock_offset = 61_000
    with pytest.raises(QuotaExceeded):
        store.preview_send(request)
    with pytest.raises(BudgetExhausted):
        store.preview_send(SendRequest(OWNER, phone(1)))


def test_of_several_reasons_to_refuse_the_same_is_told_as_by_a_preview(make_store):
    store = make_store(address_quota=(Quota(1, 3600),))
    ask(store, 0, address="192.0.2.1")
    request = SendRequest(OWNER, phone(0), address="192.0.2.1")
    for call in (store.preview_send, lambda request: store.reserve_send(request, "again")):
        with pytest.raises(ResendTooSoon):
            call(request)


def test_a_preview_knows_which_quotas_only_record(make_store):
    store = make_store(
        phone_quota=(Quota(1, 60),), resend_after=0, record_only=frozenset({"phone"})
    )
    ask(store, 0)
    store.preview_send(SendRequest(OWNER, phone(0)))
    assert ask(store, 0, send_id="again")


def test_a_send_reserved_twice_is_taken_once_everywhere(make_store):
    store = make_store(daily_budget=2, address_quota=(Quota(2, 3600),))
    request = SendRequest(OWNER, phone(0), address="192.0.2.1")
    first = store.reserve_send(request, "same")
    assert store.reserve_send(request, "same").id == first.id
    assert ask(store, 1, address="192.0.2.1")
    with pytest.raises(QuotaExceeded):
        ask(store, 2, address="192.0.2.1")


def test_wrong_guesses_of_one_address_are_bounded_over_all_phones(make_store):
    store = make_store(address_failure_quota=(Quota(3, 3600),))
    ids = [ask(store, n).id for n in range(5)]

    def guess(n):
        attempt = store.reserve_attempt(OWNER, ids[n], f"guess-{n}", CODE, "192.0.2.1")
        store.settle_attempt(attempt, AttemptOutcome.NO)

    for n in range(3):
        guess(n)
    with pytest.raises(QuotaExceeded) as refused:
        guess(3)
    assert refused.value.quota == "address_failure"
    assert store.read("portal", ids[3]).attempts_left == 5
    assert store.reserve_attempt(OWNER, ids[3], "else", CODE, "192.0.2.2")


@pytest.mark.parametrize("outcome", [AttemptOutcome.GIVEN_BACK, AttemptOutcome.UNKNOWN, None])
def test_what_was_no_wrong_guess_does_not_count_on_the_address(make_store, outcome):
    store = make_store(address_failure_quota=(Quota(1, 3600),), resend_after=0)
    for n in range(3):
        id = ask(store, 0, send_id=f"send-{n}").id
        attempt = store.reserve_attempt(OWNER, id, f"guess-{n}", Code(f"12345{n}"), "192.0.2.1")
        if outcome is None:
            store.approve(attempt, Code(f"12345{n}"))
        else:
            store.settle_attempt(attempt, outcome)
    other = ask(store, 1).id
    assert store.reserve_attempt(OWNER, other, "one more", CODE, "192.0.2.1").id == other


def test_a_guess_at_nothing_does_not_count_on_the_address(make_store):
    store = make_store(address_failure_quota=(Quota(1, 3600),))
    for n in range(5):
        with pytest.raises(NotFound):
            store.reserve_attempt(OWNER, phone(9), f"guess-{n}", CODE, "192.0.2.1")
    id = ask(store, 0).id
    assert store.reserve_attempt(OWNER, id, "guess", CODE, "192.0.2.1")


def test_a_used_code_counts_on_the_address_like_any_wrong_one(make_store):
    store = make_store(address_failure_quota=(Quota(1, 3600),), resend_after=0)
    first = store.reserve_attempt(OWNER, ask(store, 0).id, "yes", CODE)
    store.approve(first, CODE)
    id = ask(store, 0, send_id="again").id
    with pytest.raises(WrongCode):
        store.reserve_attempt(OWNER, id, "used", CODE, "192.0.2.1")
    with pytest.raises(QuotaExceeded):
        store.reserve_attempt(OWNER, id, "next", Code("000000"), "192.0.2.1")


def test_a_hundred_sends_at_once_to_many_phones_are_exactly_the_budget(make_store):
    store = make_store(daily_budget=7)

    def race(n):
        try:
            return ask(store, n)
        except BudgetExhausted:
            return None

    with ThreadPoolExecutor(50) as pool:
        assert sum(1 for sent in pool.map(race, range(100)) if sent) == 7


def test_support_sees_what_is_held_and_lifts_the_lock(make_store):
    store = make_store(lockout_failures=2)
    assert store.lookup(phone(0)).verifications == ()
    id = ask(store, 0).id
    for n in range(2):
        attempt = store.reserve_attempt(OWNER, id, f"guess-{n}", CODE)
        store.settle_attempt(attempt, AttemptOutcome.NO)
    held = store.lookup(phone(0))
    assert 3590 <= held.locked_for <= 3600
    assert (held.failures, held.failures_in_all, held.sends_left) == (2, 2, 4)
    assert held.verifications == ((id, "portal", "login", "pending"),)
    with pytest.raises(PhoneLocked):
        store.reserve_attempt(OWNER, id, "locked", CODE)
    assert store.unlock(phone(0)) == held
    assert store.lookup(phone(0)).failures_in_all == 0
    assert store.reserve_attempt(OWNER, id, "free", CODE)


def test_no_key_names_an_address_a_block_or_a_phone(make_store, redis):
    store = make_store(daily_budget=9)
    ask(store, 0, address="192.0.2.1", app_quota=(Quota(5, 60),), app_budget=9)
    keys = [key.decode() for key in redis.scan_iter()]
    assert redis.ttl(next(key for key in keys if key.endswith(":send-0"))) <= 600
    assert {key.split(":")[2] for key in keys} == {"p", "s", "v", "q", "b"}
    for key in keys:
        assert redis.ttl(key) > 0
        assert not {"192.0.2.1", phone(0).digits, phone(0).digits[:-3]} & set(key.split(":"))
