"""Since when the store has had its state, and who notices that it lost it."""

import logging
import time

import pytest

from otpservice.store.generation import Epoch, epoch_keys, epoch_known
from otpservice.store.scripts import Scripts


@pytest.fixture
def epoch_of(redis):
    """Makes what one process remembers."""
    return lambda **more: Epoch(Scripts(redis, **more), epoch_keys(redis))


def losses(caplog):
    return [record for record in caplog.records if record.msg == "store_came_back_empty"]


def test_it_begins_with_the_first_look_and_stays_for_everybody(epoch_of, redis, caplog):
    assert epoch_known(redis) is None
    began = epoch_of().look()
    assert epoch_of(clock_offset=60_000).look() == began == epoch_known(redis)
    assert losses(caplog) == []


def test_every_look_keeps_it_for_two_weeks_more(epoch_of, redis):
    (key,) = epoch_keys(redis)
    for _ in range(2):
        epoch_of().look()
        assert 14 * 86_400_000 < redis.pttl(key) <= 15 * 86_400_000
        redis.pexpire(key, 1000)


def test_each_process_says_once_that_the_store_came_back_empty(epoch_of, redis, caplog):
    processes = [epoch_of(), epoch_of(clock_offset=5), epoch_of(clock_offset=9)]
    before = processes[0].look()
    processes[1].look()
    time.sleep(0.002)  # no state can be lost in the millisecond in which it began
    redis.flushall()
    for process in [*processes, *processes]:
        process.look()
    first, second = losses(caplog)  # the third had seen nothing before
    assert first.levelno == logging.ERROR
    assert first.state_was_since == second.state_was_since == before.isoformat()


def test_a_second_loss_is_told_again(redis, caplog):
    scripts = Scripts(redis)
    process = Epoch(scripts, epoch_keys(redis))
    for scripts.clock_offset in (0, 10, 20):
        process.look()
        redis.flushall()
    assert len(losses(caplog)) == 2
