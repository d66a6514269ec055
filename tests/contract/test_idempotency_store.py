"""What a store of calls with an Idempotency-Key must do, over fakeredis and a real Valkey."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpservice.store.client import connect
from otpservice.store.idempotency import RedisIdempotency
from otpservice.store.scripts import Scripts
from otpservice.verification.errors import StoreUnavailable
from otpservice.verification.idempotency import (
    Claim,
    Finished,
    IdempotencyInProgress,
    IdempotencyMismatch,
    KeyedCall,
)
from tests.conftest import SECRET

CALL = KeyedCall("portal", "/login-code", "order-4711", {"phone": "+2250709000001"})
OTHER_BODY = replace(CALL, fields={"phone": "+2250709000002"})
SENT = Finished(201, "ver_" + "0" * 36)
DAY = 86_400_000


@pytest.fixture
def make_store(redis):
    return lambda secrets=(SECRET,), lease=15: RedisIdempotency(
        Scripts(redis), secrets, lease=lease
    )


@pytest.fixture
def store(make_store):
    return make_store()


def dump(redis):
    """Everything a reader of the database sees, as one text."""
    held = [(key, redis.hgetall(key)) for key in redis.scan_iter()]
    assert held
    return repr(held)


def test_a_new_call_is_claimed_and_then_in_progress(store):
    assert isinstance(store.begin(CALL, "a"), Claim)
    with pytest.raises(IdempotencyInProgress) as refused:
        store.begin(CALL, "b")
    assert 14 <= refused.value.retry_after <= 15


def test_the_wait_is_never_less_than_a_second(make_store):
    store = make_store(lease=0.5)
    store.begin(CALL, "a")
    with pytest.raises(IdempotencyInProgress) as refused:
        store.begin(CALL, "b")
    assert refused.value.retry_after == 1


def test_a_finished_call_says_how_it_came_out_every_time(store):
    store.finish(store.begin(CALL, "a"), SENT)
    assert [store.begin(CALL, token) for token in ("a", "b", "c")] == [SENT] * 3


def test_a_key_stands_for_one_body_while_in_progress_and_after(store):
    claim = store.begin(CALL, "a")
    with pytest.raises(IdempotencyMismatch):
        store.begin(OTHER_BODY, "b")
    store.finish(claim, SENT)
    with pytest.raises(IdempotencyMismatch):
        store.begin(OTHER_BODY, "b")
    assert store.begin(CALL, "c") == SENT


def test_a_mismatch_leaves_the_claim_to_its_owner(store):
    store.begin(CALL, "a")
    with pytest.raises(IdempotencyMismatch):
        store.begin(OTHER_BODY, "a")
    with pytest.raises(IdempotencyInProgress):
        store.begin(CALL, "b")


def test_a_released_key_is_new_for_any_body(store):
    store.release(store.begin(CALL, "a"))
    assert isinstance(store.begin(OTHER_BODY, "b"), Claim)


def test_only_its_owner_finishes_or_releases_a_call(store):
    claim = store.begin(CALL, "a")
    stranger = replace(claim, token="b")
    store.finish(stranger, SENT)
    store.release(stranger)
    with pytest.raises(IdempotencyInProgress):
        store.begin(CALL, "c")


def test_a_lease_that_ran_out_makes_the_call_new_and_its_first_owner_a_stranger(make_store):
    first = make_store(lease=0.2).begin(CALL, "a")
    time.sleep(0.3)
    store = make_store()
    second = store.begin(CALL, "b")
    assert isinstance(second, Claim)
    store.finish(first, SENT)
    store.release(first)
    with pytest.raises(IdempotencyInProgress):
        store.begin(CALL, "c")
    store.finish(second, Finished(504, "ver_2"))
    assert store.begin(CALL, "c") == Finished(504, "ver_2")


def test_a_claim_that_ran_out_keeps_nothing(make_store, redis):
    store = make_store(lease=0.1)
    claim = store.begin(CALL, "a")
    time.sleep(0.2)
    store.finish(claim, SENT)
    assert list(redis.scan_iter()) == []


def test_each_step_may_be_done_twice(store, redis):
    assert store.begin(CALL, "a") == store.begin(CALL, "a")
    claim = store.begin(CALL, "a")
    store.finish(claim, SENT)
    store.finish(claim, Finished(504, "another"))
    store.release(claim)
    assert store.begin(CALL, "b") == SENT
    other = store.begin(replace(CALL, key="other"), "a")
    store.release(other)
    store.release(other)
    assert len(list(redis.scan_iter())) == 1


def test_claiming_twice_does_not_lengthen_the_lease(make_store, redis):
    claim = make_store(lease=5).begin(CALL, "a")
    make_store(lease=500).begin(CALL, "a")
    assert redis.pttl(claim.place) <= 5000


@pytest.mark.parametrize(
    "other", [{"app": "shop"}, {"endpoint": "/confirm"}, {"key": "order-4712"}]
)
def test_apps_and_endpoints_see_nothing_of_each_others_keys(store, other):
    store.finish(store.begin(CALL, "a"), SENT)
    stranger = replace(OTHER_BODY, **other)
    assert isinstance(store.begin(stranger, "b"), Claim)
    assert store.begin(CALL, "c") == SENT


def test_names_that_join_to_one_text_are_two(store):
    first = KeyedCall("portal", "/confirm", '", "x', {})
    second = KeyedCall("portal", '/confirm", "', "x", {})
    assert store.begin(first, "a").place != store.begin(second, "b").place


def test_the_order_of_the_fields_does_not_matter(store):
    store.finish(store.begin(replace(CALL, fields={"a": "1", "b": None}), "a"), SENT)
    assert store.begin(replace(CALL, fields={"b": None, "a": "1"}), "b") == SENT


json_values = st.none() | st.booleans() | st.integers() | st.text()


@given(st.dictionaries(st.text(), json_values), st.dictionaries(st.text(), json_values))
def test_bodies_are_one_text_exactly_if_they_are_equal(some, others):
    # Python holds True and 1 for equal; JSON does not.
    equal = {k: repr(v) for k, v in some.items()} == {k: repr(v) for k, v in others.items()}
    assert (replace(CALL, fields=some).body == replace(CALL, fields=others).body) == equal


def test_a_hundred_at_once_make_one_claim(store):
    def race(n):
        try:
            return store.begin(CALL, f"token-{n}")
        except IdempotencyInProgress:
            return None

    with ThreadPoolExecutor(50) as pool:
        outcomes = list(pool.map(race, range(100)))
    (winner,) = [outcome for outcome in outcomes if outcome]
    store.finish(winner, SENT)
    assert store.begin(CALL, "later") == SENT


def test_neither_the_key_nor_the_body_stands_in_the_database(store, redis):
    call = replace(CALL, fields={"phone": "+2250709000001", "code": "918273"})
    claim = store.begin(call, "a")
    running = dump(redis)
    store.finish(claim, Finished(422, "ver_1"))
    for text in (running, dump(redis)):
        for secret in ("4711", "0709000001", "918273", "portal", "login-code"):
            assert secret not in text


def test_only_fingerprint_status_and_id_are_kept(store, redis):
    claim = store.begin(CALL, "a")
    assert set(redis.hgetall(claim.place)) == {b"fingerprint", b"token"}
    store.finish(claim, SENT)
    held = redis.hgetall(claim.place)
    assert re.fullmatch(rb"[A-Za-z0-9_-]{24}", held.pop(b"fingerprint"))
    assert held == {b"status": b"201", b"id": SENT.id.encode()}


def test_equal_bodies_under_two_keys_do_not_look_alike(store, redis):
    places = [store.begin(replace(CALL, key=key), "a").place for key in ("1", "2")]
    assert len({redis.hget(place, "fingerprint") for place in places}) == 2


def test_every_key_expires_and_is_named_by_a_digest_and_its_tag(store, redis):
    claim = store.begin(CALL, "a")
    assert 14_000 < redis.pttl(claim.place) <= 15_000
    store.finish(claim, SENT)
    assert DAY - 5000 < redis.pttl(claim.place) <= DAY
    assert list(redis.scan_iter()) == [claim.place.encode()]
    tag, digest = re.fullmatch(
        r"otp:\{([A-Za-z0-9_-]{4})\}:i:([A-Za-z0-9_-]{24})", claim.place
    ).groups()
    assert digest.startswith(tag)


def test_what_began_under_an_older_secret_is_still_found(make_store):
    old = make_store([SECRET])
    old.finish(old.begin(CALL, "a"), SENT)
    running = replace(CALL, key="running")
    claim = old.begin(running, "a")
    both = make_store([b"n" * 32, SECRET])
    assert both.begin(CALL, "b") == SENT
    with pytest.raises(IdempotencyMismatch):
        both.begin(OTHER_BODY, "b")
    with pytest.raises(IdempotencyInProgress):
        both.begin(running, "b")
    both.release(claim)
    both.finish(both.begin(running, "c"), SENT)
    assert make_store([b"n" * 32]).begin(running, "d") == SENT


def test_a_call_shows_neither_its_key_nor_its_body():
    assert "4711" not in repr(CALL)
    assert "0709" not in repr(CALL)


def test_without_redis_no_step_can_be_done():
    store = RedisIdempotency(Scripts(connect("redis://127.0.0.1:1/0")), [SECRET], lease=15)
    claim = Claim("otp:{0000}:i:0", "a")
    for step in (
        lambda: store.begin(CALL, "a"),
        lambda: store.finish(claim, SENT),
        lambda: store.release(claim),
    ):
        with pytest.raises(StoreUnavailable):
            step()


def test_a_full_database_keeps_the_claim_whole(valkey):
    store = RedisIdempotency(Scripts(valkey), [SECRET], lease=15)
    claim = store.begin(CALL, "a")
    valkey.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            store.finish(claim, SENT)
    finally:
        valkey.config_set("maxmemory", 0)
    with pytest.raises(IdempotencyInProgress):
        store.begin(CALL, "b")
    store.finish(claim, SENT)
    assert store.begin(CALL, "c") == SENT
