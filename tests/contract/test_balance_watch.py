"""The balance all workers share, over fakeredis and over a real Valkey."""

import logging
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex
from threading import Event

import pytest

from otpservice.store.balance import BalanceWatch
from otpservice.store.client import connect
from otpservice.store.scripts import Scripts
from otpservice.vavasms import Balance, InvalidCredentials, Unavailable
from otpservice.verification.balance import BalanceReport, Prices, Traffic
from otpservice.verification.errors import StoreUnavailable

SECOND, DAY = 1000, 86_400_000


class Provider:
    """An account that answers as it is told, and counts how often it was asked."""

    def __init__(self):
        self.answer = Balance(25540, "XOF")
        self.asked = 0

    def balance(self):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
def scripts(redis):
    return Scripts(redis)


@pytest.fixture
def watch(scripts, provider):
    return BalanceWatch(scripts, provider.balance, Prices(sms=25, low=1000))


@pytest.fixture
def other_worker(redis, provider):
    return BalanceWatch(Scripts(redis), provider.balance, Prices(sms=25, low=1000))


def send(watch, scripts, times=1):
    for _ in range(times):
        (answer,) = scripts.run([watch.count(token_hex(8))])
        watch.counted(answer)


def test_the_balance_is_asked_for_and_told(watch, provider):
    told = watch.now()
    assert (told.amount, told.currency, told.age, told.problem) == (25540, "XOF", 0, None)
    assert (told.sends_left, told.days_left, told.low) == (1021, None, False)
    assert provider.asked == 1


def test_one_call_a_minute_over_all_workers(watch, other_worker, scripts, provider):
    first = watch.now()
    provider.answer = Balance(20000, "XOF")
    assert other_worker.now().amount == first.amount
    scripts.clock_offset = 59 * SECOND
    assert (watch.now().amount, provider.asked) == (25540, 1)
    assert watch.now().age == 59
    scripts.clock_offset = 61 * SECOND
    assert (watch.now().amount, provider.asked) == (20000, 2)


def test_of_many_who_look_at_once_one_asks_and_none_of_the_others_waits(valkey):
    answered, others = Event(), 15

    def slow():
        assert answered.wait(10)
        return Balance(7, "XOF")

    watch = BalanceWatch(Scripts(valkey), slow)
    with ThreadPoolExecutor(others + 1) as pool:
        reports = [pool.submit(watch.now) for _ in range(others + 1)]
        while sum(report.done() for report in reports) < others:
            assert not all(report.done() for report in reports)
        answered.set()
    amounts = [report.result().amount for report in reports]
    assert sorted(amounts, key=str) == [7] + [None] * others


def test_a_minute_begins_when_a_slow_answer_has_come(scripts):
    def slow():
        scripts.clock_offset += 20 * SECOND
        return Balance(7, "XOF")

    watch = BalanceWatch(scripts, slow)
    watch.now()
    scripts.clock_offset = 70 * SECOND
    assert watch.now().age == 50
    scripts.clock_offset = 81 * SECOND
    assert watch.now().age == 0


def test_a_failed_call_waits_out_its_minute_and_the_last_balance_stands(watch, scripts, provider):
    watch.now()
    provider.answer = Unavailable("check/balance")
    scripts.clock_offset = 90 * SECOND
    told = watch.now()
    assert (told.amount, told.age, told.problem) == (25540, 90, "Unavailable")
    scripts.clock_offset = 120 * SECOND
    assert watch.now() == BalanceReport(25540, "XOF", 120, 1021, None, False, "Unavailable")
    assert provider.asked == 2
    provider.answer = Balance(5, "XOF")
    scripts.clock_offset = 151 * SECOND
    assert (watch.now().amount, watch.now().problem) == (5, None)


def test_a_first_call_that_fails_leaves_nothing_but_its_reason(watch, other_worker, provider):
    provider.answer = InvalidCredentials("check/balance", code=901)
    assert watch.now() == BalanceReport(problem="InvalidCredentials")
    assert other_worker.now() == BalanceReport(problem="InvalidCredentials")
    assert provider.asked == 1


def test_looking_at_the_last_one_asks_nobody(watch, other_worker, provider):
    assert (watch.last(), provider.asked) == (BalanceReport(), 0)
    watch.now()
    assert (other_worker.last().amount, provider.asked) == (25540, 1)


def test_falling_below_the_threshold_is_told_once_over_all_workers(
    watch, other_worker, redis, scripts, provider, caplog
):
    workers = [watch, other_worker, watch]
    for n, amount in enumerate([999, 998, 1000, 999, 500]):
        provider.answer = Balance(amount, "XOF")
        scripts.clock_offset = n * 61 * SECOND
        with caplog.at_level(logging.WARNING):
            assert watch.now().low == (amount < 1000)
        assert workers[1].last().low == (amount < 1000)
    told = [record.amount for record in caplog.records if record.message == "balance_low"]
    assert told == [999, 999]


def test_a_worker_hears_of_a_low_balance_when_it_counts_an_sms(
    watch, other_worker, redis, provider
):
    provider.answer = Balance(10, "XOF")
    watch.now()
    assert (watch.low, other_worker.low) == (True, False)
    send(other_worker, Scripts(redis))
    assert other_worker.low


@pytest.mark.parametrize(
    ("prices", "money", "left"),
    [
        (Prices(), Balance(100, "XOF"), None),
        (Prices(sms=30), Balance(100, "XOF"), 3),
        (Prices(sms=30, parts=2), Balance(100, "XOF"), 1),
        (Prices(sms=30), Balance(-100, "XOF"), 0),
        (Prices(sms=30, low=500), Balance(100, "EUR"), None),
    ],
)
def test_sends_left_is_what_the_balance_pays_for(scripts, prices, money, left):
    told = BalanceWatch(scripts, lambda: money, prices).now()
    assert (told.sends_left, told.low) == (left, False)


def test_days_left_follows_the_complete_days_of_the_last_week(watch, scripts):
    send(watch, scripts, 50)  # the day counting began is not complete
    for day, sends in enumerate([10, 30], start=1):
        scripts.clock_offset = day * DAY
        assert day > 1 or watch.now().days_left is None
        send(watch, scripts, sends)
    scripts.clock_offset = 3 * DAY
    send(watch, scripts, 5)  # nor is the running one
    assert watch.now().days_left == pytest.approx(1021 / 20, abs=0.1)
    scripts.clock_offset = 9 * DAY
    assert watch.now().days_left == pytest.approx(1021 / ((30 + 5) / 7), abs=0.1)


@pytest.mark.parametrize(
    ("traffic", "mean"),
    [
        (Traffic(100, None, {}), None),
        (Traffic(100, 100, {100: 9}), None),
        (Traffic(100, 99, {99: 9, 100: 9}), None),
        (Traffic(100, 98, {98: 9, 99: 4}), 4),
        (Traffic(100, 50, {92: 700, 93: 7, 99: 7}), 2),
        (Traffic(100, 50, {}), 0),
    ],
)
def test_the_mean_is_over_complete_days_at_most_seven(traffic, mean):
    assert traffic.daily_mean == mean


def test_old_days_are_forgotten_and_every_key_expires(watch, scripts, redis):
    for day in (0, 1, 20):
        scripts.clock_offset = day * DAY
        send(watch, scripts)
    watch.now()
    assert redis.hlen("otp:{balance}:days") == 2  # the first day of all, and today
    keys = redis.keys()
    assert {b"otp:{balance}:days", b"otp:{balance}:account"} < set(keys)
    assert len(keys) == 2 + 3  # a mark of each SMS, for a minute
    assert all(0 < redis.pttl(key) <= 8 * DAY for key in redis.scan_iter())


def test_without_redis_nobody_is_asked(provider):
    watch = BalanceWatch(Scripts(connect("redis://127.0.0.1:1/0")), provider.balance)
    with pytest.raises(StoreUnavailable):
        watch.now()
    assert provider.asked == 0
