"""The pumping guard's scripts, over fakeredis and over a real Valkey."""

import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.pumping_tally import Tally
from otpservice.store.pumping import PumpingGuard, Subject
from otpservice.store.scripts import Scripts
from otpservice.verification.digest import Digester
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.pumping import DAY_MS, HOUR_MS, Budget
from tests.conftest import SECRET

MINUTE_MS = 60_000


class Door:
    """Runs the guard's calls one by one; the clock stands where a test puts it."""

    def __init__(self, redis, guard):
        self.guard = guard
        self.scripts = Scripts(redis)

    @property
    def clock_offset(self):
        return self.scripts.clock_offset

    @clock_offset.setter
    def clock_offset(self, milliseconds):
        self.scripts.clock_offset = milliseconds

    def run(self, call):
        (answer,) = self.scripts.run([call])
        return answer

    def send(self, subject):
        return self.guard.verdict(subject, self.run(self.guard.send(subject, secrets.token_hex(8))))

    def preview(self, subject):
        return self.guard.verdict(subject, self.run(self.guard.preview(subject)))

    def confirm(self, subject, at):
        return self.run(self.guard.confirm(subject, secrets.token_hex(8), at))

    def give_back(self, subject, at):
        return self.run(self.guard.give_back(subject, secrets.token_hex(8), at))


@pytest.fixture
def make_door(redis):
    def make(budget=None, *, enforce=True):
        return Door(redis, PumpingGuard(Digester([SECRET]), budget, enforce=enforce))

    return make


@pytest.fixture
def door(make_door):
    return make_door()


@pytest.fixture
def country(door, phone):
    return door.guard.subjects(phone)[0]


@pytest.fixture
def block(door, phone):
    return door.guard.subjects(phone)[1]


def begin_history(door, subject):
    door.clock_offset -= 26 * HOUR_MS
    door.send(subject)
    door.clock_offset += 26 * HOUR_MS


def counted(redis, subject, kind):
    held = redis.hgetall(subject.key)
    return sum(int(n) for field, n in held.items() if field[:1] == kind and field != b"since")


def test_numbers_share_a_country_and_a_thousand_of_them_a_block(door, phone):
    country, block = door.guard.subjects(phone)
    assert (country.name, block.name) == ("country", "block")
    near, far, abroad = map(PhoneNumber, ("+2250709000999", "+2250709001000", "+22377000010"))
    assert door.guard.subjects(near) == (country, block)
    assert door.guard.subjects(far)[0] == country
    assert door.guard.subjects(far)[1] != block
    assert door.guard.subjects(abroad)[0] != country


def test_keys_look_alike_and_name_nobody(country, block):
    for key in (country.key, block.key):
        tag, digest = key.removeprefix("otp:{").split("}:g:")
        assert (len(tag), len(digest)) == (4, 20)
        assert re.fullmatch(r"[A-Za-z0-9_-]{20}", digest)


def test_without_history_nothing_is_refused_and_all_is_counted(door, redis, country):
    verdicts = [door.send(country) for _ in range(10)]
    assert [bool(verdict.excess) for verdict in verdicts] == [False] * 3 + [True] * 7
    assert not any(verdict.refused or verdict.enforceable for verdict in verdicts)
    assert counted(redis, country, b"s") == 10


def test_with_a_day_of_history_the_fourth_unconfirmed_sms_is_refused_and_not_counted(
    door, redis, country
):
    begin_history(door, country)
    verdicts = [door.send(country) for _ in range(5)]
    assert [verdict.refused for verdict in verdicts] == [False] * 3 + [True] * 2
    excess = verdicts[-1].excess
    assert (excess.unconfirmed, excess.threshold, excess.window) == (3, 3, HOUR_MS)
    assert 0 < excess.wait <= 2 * HOUR_MS
    assert counted(redis, country, b"s") == 3


def test_history_is_a_day_to_the_minute(door, country):
    for _ in range(4):
        door.send(country)
    door.clock_offset = DAY_MS - MINUTE_MS
    for _ in range(4):
        assert not door.send(country).refused
    door.clock_offset = DAY_MS + MINUTE_MS
    assert door.send(country).refused


def test_record_counts_and_says_what_enforce_would_refuse(make_door, redis, country):
    door = make_door(enforce=False)
    begin_history(door, country)
    verdicts = [door.send(country) for _ in range(5)]
    assert [verdict.enforceable for verdict in verdicts] == [False] * 3 + [True] * 2
    assert not any(verdict.refused for verdict in verdicts)
    assert counted(redis, country, b"s") == 5


def test_a_block_is_judged_by_its_countrys_history(door, country, block):
    begin_history(door, country)
    assert [door.send(block).refused for _ in range(5)] == [False] * 3 + [True] * 2


def test_a_block_of_a_country_without_history_is_only_recorded(door, country, block):
    begin_history(door, block)
    assert not any(door.send(block).refused for _ in range(5))
    door.send(country)
    assert not door.send(block).refused


def test_a_store_that_lost_everything_only_records_again(door, redis, country, block):
    begin_history(door, country)
    redis.flushall()
    door.send(country)
    assert not any(door.send(block).refused for _ in range(5))


def test_a_preview_says_the_same_and_writes_nothing(door, redis, country):
    assert door.preview(country).excess is None
    assert door.run(door.guard.preview(country))[-1] == 0
    assert not redis.exists(country.key)
    begin_history(door, country)
    for _ in range(3):
        door.send(country)
    before = redis.hgetall(country.key)
    previewed, refused = door.preview(country), door.send(country)
    assert previewed.refused
    assert refused.refused
    assert replace(previewed.excess, wait=0) == replace(refused.excess, wait=0)
    assert redis.hgetall(country.key) == before


@pytest.mark.parametrize("settle", ["confirm", "give_back"])
def test_what_was_confirmed_or_given_back_makes_room(door, country, settle):
    begin_history(door, country)
    sent = [door.send(country) for _ in range(3)]
    assert door.preview(country).refused
    assert getattr(door, settle)(country, sent[0].at)[0] == "ok"
    assert not door.send(country).refused
    assert door.preview(country).refused


def test_nothing_goes_below_zero_or_beyond_what_was_sent(door, redis, country):
    sent = door.send(country)
    assert [door.confirm(country, sent.at)[0] for _ in range(3)] == ["ok", "gone", "gone"]
    assert door.give_back(country, sent.at)[0] == "gone"
    assert {int(n) for field, n in redis.hgetall(country.key).items() if field != b"since"} == {1}


@pytest.mark.parametrize("settle", ["confirm", "give_back"])
@pytest.mark.parametrize("beside", [0, 1])
def test_an_hour_out_of_sight_is_left_alone(door, redis, country, settle, beside):
    sent = door.send(country)
    door.clock_offset = HOUR_MS
    for _ in range(1 - beside):
        door.send(country)
    door.clock_offset = 25 * HOUR_MS
    before = redis.hgetall(country.key)
    assert getattr(door, settle)(country, sent.at + beside * HOUR_MS)[0] == "gone"
    assert redis.hgetall(country.key) == before


def test_an_sms_is_confirmed_in_its_own_hour(door, redis, country):
    hours = []
    for _ in range(3):
        hours.append(door.send(country).at)
        door.clock_offset += HOUR_MS
    door.confirm(country, hours[1])
    assert redis.hget(country.key, f"c{hours[1] // HOUR_MS}") == b"1"
    assert counted(redis, country, b"c") == 1


def test_the_highest_day_counts_for_fourteen_days_after_it(make_door, country):
    door = make_door(Budget(day_floor=1, hour_floor=1, hour_percent=99, busy_hours=1))
    door.clock_offset = DAY_MS // 2 - door.preview(country).at % DAY_MS
    for _ in range(20):
        door.confirm(country, door.send(country).at)
    door.clock_offset += 14 * DAY_MS
    assert [bool(door.send(country).excess) for _ in range(7)] == [False] * 6 + [True]
    door.clock_offset += DAY_MS
    assert door.preview(country).excess.threshold == 1


@pytest.mark.parametrize("settle", ["confirm", "give_back"])
def test_settling_what_is_not_there_makes_no_key(door, redis, country, settle):
    assert getattr(door, settle)(country, door.preview(country).at)[0] == "gone"
    assert not redis.exists(country.key)


@pytest.mark.parametrize(("off", "found"), [(-1, "ok"), (1, "ok"), (-2, "gone"), (2, "gone")])
def test_an_sms_sent_at_the_stroke_of_an_hour_is_found_in_the_hour_beside(
    door, country, off, found
):
    sent = door.send(country)
    assert door.confirm(country, sent.at + off * HOUR_MS)[0] == found


def test_every_key_expires_fifteen_days_after_the_last_sms(door, redis, country):
    for hours in (0, 20, 40):
        door.clock_offset = hours * HOUR_MS
        door.confirm(country, door.send(country).at)
        assert 15 * DAY_MS - 10_000 < redis.pttl(country.key) <= 15 * DAY_MS


def test_a_month_of_traffic_takes_no_more_than_fifteen_days_and_a_day_of_hours(valkey, country):
    door = Door(valkey, PumpingGuard(Digester([SECRET])))
    for hours in range(30 * 24):
        door.clock_offset = hours * HOUR_MS
        for _ in range(2):
            door.confirm(country, door.send(country).at)
    assert valkey.hlen(country.key) == 25 + 25 + 15 + 1
    assert valkey.memory_usage(country.key) < 2000


def test_a_hundred_sms_at_once_are_counted_exactly_to_the_threshold(door, redis, country):
    begin_history(door, country)
    with ThreadPoolExecutor(30) as pool:
        verdicts = list(pool.map(lambda _: door.send(country), range(100)))
    assert sum(not verdict.refused for verdict in verdicts) == 3
    assert counted(redis, country, b"s") == 3


def test_settled_at_once_each_sms_counts_once(make_door, redis, country):
    door = make_door(enforce=False)
    sent = [door.send(country).at for _ in range(60)]
    settle = [door.confirm, door.give_back] * 30
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda n: settle[n](country, sent[n]), range(60)))
    assert {answer[0] for answer in answers} == {"ok"}
    assert [counted(redis, country, kind) for kind in (b"s", b"c", b"d")] == [30, 30, 30]


STEPS = st.one_of(
    st.tuples(st.just("advance"), st.integers(1, 20 * MINUTE_MS)),
    st.tuples(st.just("advance"), st.integers(HOUR_MS // 2, 30 * HOUR_MS)),
    st.tuples(st.just("advance"), st.integers(DAY_MS, 16 * DAY_MS)),
    st.tuples(st.just("send"), st.integers(1, 8)),
    st.tuples(st.just("confirm"), st.integers(1, 8)),
    st.tuples(st.just("back"), st.integers(1, 3)),
)
BUDGETS = st.builds(
    Budget,
    day_floor=st.integers(1, 8),
    hour_floor=st.integers(1, 3),
    day_percent=st.integers(1, 99),
    hour_percent=st.integers(1, 99),
    busy_hours=st.integers(1, 24),
    peak_days=st.integers(1, 14),
    history_ms=st.integers(HOUR_MS, 2 * DAY_MS),
)


@pytest.mark.parametrize("enforce", [True, False])
@settings(
    deadline=None,
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(BUDGETS, st.integers(0, DAY_MS), st.lists(STEPS, min_size=5, max_size=25))
def test_the_scripts_agree_with_the_rule_in_python(make_door, enforce, budget, start, steps):
    door, tally = make_door(budget, enforce=enforce), Tally(budget)
    door.clock_offset = start
    key = f"otp:{{0000}}:g:{secrets.token_hex(16)}"
    subject, waiting = Subject("country", key, key), []

    def send():
        verdict = door.send(subject)
        assert verdict.excess == tally.excess(verdict.at)
        assert verdict.enforceable == (bool(verdict.excess) and tally.enforceable(verdict.at))
        assert verdict.refused == (enforce and verdict.enforceable)
        if not verdict.refused:
            tally.send(verdict.at)
            waiting.append(verdict.at)

    def settle(name):
        at = waiting.pop()
        word, now, *_ = getattr(door, "confirm" if name == "confirm" else "give_back")(subject, at)
        assert word == ("ok" if now // HOUR_MS - at // HOUR_MS <= 24 else "gone")
        if word == "ok":
            (tally.confirm if name == "confirm" else tally.give_back)(at)

    for name, amount in steps:
        if name == "advance":
            door.clock_offset += amount
        for _ in range(amount if name == "send" else 0):
            send()
        for _ in range(min(amount, len(waiting)) if name in {"confirm", "back"} else 0):
            settle(name)
