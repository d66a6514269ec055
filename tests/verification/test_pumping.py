"""The rule of the pumping guard, in Python alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.pumping_tally import Tally, thresholds
from otpservice.verification.pumping import DAY_MS, HOUR_MS, Budget

BUDGET = Budget()
MINUTE_MS = 60_000
MIDNIGHT = 20_000 * DAY_MS


@pytest.fixture
def tally():
    return Tally(BUDGET)


def send(tally, times, at, confirmed=0):
    for n in range(times):
        tally.send(at)
        if n < confirmed:
            tally.confirm(at)


def test_without_confirmations_the_floors_hold():
    allowed = thresholds(BUDGET, 0, 0, 0)
    assert (allowed.day, allowed.hour) == (20, 3)


@pytest.mark.parametrize(
    ("confirmed", "day", "hour"),
    [
        ((66, 66, 15), 20, 3),
        ((1000, 0, 0), 300, 1000 / 6 / 5),
        ((1000, 2000, 0), 600, 1000 / 6 / 5),
        ((1000, 2000, 400), 600, 80),
        ((0, 300, 300), 90, 60),
    ],
)
def test_thresholds_follow_what_was_confirmed(confirmed, day, hour):
    allowed = thresholds(BUDGET, *confirmed)
    assert allowed.day == pytest.approx(day)
    assert allowed.hour == pytest.approx(hour)


def test_the_fourth_unconfirmed_sms_in_an_hour_is_too_many(tally):
    send(tally, 2, MIDNIGHT)
    assert tally.excess(MIDNIGHT) is None
    send(tally, 1, MIDNIGHT)
    excess = tally.excess(MIDNIGHT)
    assert (excess.unconfirmed, excess.threshold, excess.window) == (3, 3, HOUR_MS)


def test_a_confirmation_and_a_give_back_make_room(tally):
    send(tally, 3, MIDNIGHT)
    tally.confirm(MIDNIGHT)
    assert tally.excess(MIDNIGHT) is None
    send(tally, 1, MIDNIGHT)
    assert tally.excess(MIDNIGHT)
    tally.give_back(MIDNIGHT)
    assert tally.excess(MIDNIGHT) is None


def test_an_hour_fades_evenly_once_it_is_over(tally):
    send(tally, 3, MIDNIGHT)
    assert tally.excess(MIDNIGHT + HOUR_MS).wait == 20 * MINUTE_MS
    assert tally.excess(MIDNIGHT + HOUR_MS + 20 * MINUTE_MS - 1)
    assert tally.excess(MIDNIGHT + HOUR_MS + 20 * MINUTE_MS) is None


def test_the_oldest_hour_of_a_day_fades_evenly(tally):
    for hour in range(10):
        send(tally, 2, MIDNIGHT + hour * HOUR_MS)
    assert tally.excess(MIDNIGHT + DAY_MS).window == DAY_MS
    assert tally.excess(MIDNIGHT + DAY_MS + 30 * MINUTE_MS) is None


def test_the_highest_day_is_remembered_for_fourteen_days(tally):
    send(tally, 1000, MIDNIGHT, confirmed=1000)
    last = MIDNIGHT + 15 * DAY_MS - 1
    send(tally, 20, last)
    assert tally.excess(last) is None
    assert tally.excess(last + 1).threshold == 20


def test_history_is_a_day_after_the_first_sms(tally):
    assert not tally.enforceable(MIDNIGHT)
    send(tally, 1, MIDNIGHT)
    send(tally, 1, MIDNIGHT + HOUR_MS)
    assert not tally.enforceable(MIDNIGHT + DAY_MS - 1)
    assert tally.enforceable(MIDNIGHT + DAY_MS)


@given(
    st.lists(st.tuples(st.integers(0, 30 * HOUR_MS), st.booleans()), max_size=60),
    st.integers(30 * HOUR_MS, 31 * HOUR_MS),
)
def test_after_the_wait_there_is_room_and_not_before(events, offset):
    tally, now = Tally(BUDGET), MIDNIGHT + offset
    for at, confirmed in events:
        send(tally, 1, MIDNIGHT + at, confirmed=confirmed)
    excess = tally.excess(now)
    if excess:
        assert tally.excess(now + excess.wait) is None
        assert excess.unconfirmed >= excess.threshold >= 3
        if sum(confirmed for _, confirmed in events) <= 15:  # only the floors are left
            assert tally.excess(now + excess.wait - 1)


@given(st.lists(st.integers(0, 49 * HOUR_MS), max_size=80), st.integers(0, HOUR_MS))
def test_an_sms_counts_whole_for_23_hours_and_not_at_all_after_25(ages, offset):
    tally = Tally(Budget(day_floor=1, hour_floor=1000))
    now = MIDNIGHT + 49 * HOUR_MS + offset
    for age in ages:
        tally.send(now - age)
    excess = tally.excess(now)
    counted = excess.unconfirmed if excess else 0
    assert counted <= sum(age < 25 * HOUR_MS for age in ages)
    assert counted >= sum(age <= 23 * HOUR_MS for age in ages)
