"""Turns: so many at a time, in order, and never lost."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock, Thread

import pytest

from otpservice.turns import Turnstile, aside
from tests.redis_servers import until


class Inside:
    """Counts who has a turn, and the most that ever had one at the same time."""

    def __init__(self):
        self.now = self.most = self.visits = 0
        self._lock = Lock()

    def visit(self, turnstile, seconds=0.0):
        turnstile.enter()
        with self._lock:
            self.now, self.visits = self.now + 1, self.visits + 1
            self.most = max(self.most, self.now)
        time.sleep(seconds)
        with self._lock:
            self.now -= 1
        turnstile.leave()


def waiting(turnstile):
    return len(turnstile._line)


@pytest.fixture
def in_line():
    """Starts a thread that takes a turn, and returns when it stands in line."""
    threads = []

    def start(turnstile, act):
        def take_turn():
            turnstile.enter()
            act()
            turnstile.leave()

        before = waiting(turnstile)
        threads.append(Thread(target=take_turn))
        threads[-1].start()
        until(lambda: waiting(turnstile) == before + 1)

    yield start
    for thread in threads:
        thread.join(10)


def test_never_more_than_its_places_run_and_none_is_lost():
    turnstile, inside = Turnstile(3), Inside()
    with ThreadPoolExecutor(50) as pool:
        list(pool.map(lambda n: inside.visit(turnstile, n % 3 / 1000), range(1000)))
    assert (inside.most, inside.visits, turnstile._free) == (3, 1000, 3)


def test_turns_come_in_the_order_of_arrival(in_line):
    turnstile, order = Turnstile(1), []
    turnstile.enter()
    for n in range(5):
        in_line(turnstile, lambda n=n: order.append(n))
    turnstile.leave()
    until(lambda: len(order) == 5)
    assert order == [0, 1, 2, 3, 4]


def test_who_steps_aside_lets_the_next_run_and_then_goes_before_who_has_not_begun(in_line):
    turnstile, order, may_end = Turnstile(1), [], Event()
    turnstile.enter()
    in_line(turnstile, lambda: (order.append("next"), may_end.wait(10)))
    in_line(turnstile, lambda: order.append("last"))
    with aside():
        until(lambda: order == ["next"])
        ends = Thread(target=lambda: (until(lambda: waiting(turnstile) == 2), may_end.set()))
        ends.start()
    order.append("back")
    turnstile.leave()
    ends.join(10)
    until(lambda: len(order) == 3)
    assert order == ["next", "back", "last"]


def fail_aside(turnstile):
    with aside():
        assert turnstile._free == 1
        raise OSError("gone")


def test_who_stepped_aside_has_its_turn_again_when_what_it_waited_for_failed():
    turnstile = Turnstile(1)
    turnstile.enter()
    with pytest.raises(OSError, match="gone"):
        fail_aside(turnstile)
    assert turnstile._free == 0
    turnstile.leave()
    assert turnstile._free == 1


def test_who_waited_too_long_goes_on_and_has_no_turn_to_give():
    turnstile, inside = Turnstile(1, patience=0.05), Inside()
    turnstile.enter()
    thread = Thread(target=lambda: inside.visit(turnstile))
    thread.start()
    thread.join(10)
    assert (inside.visits, turnstile._free, waiting(turnstile)) == (1, 0, 0)
    turnstile.leave()
    assert turnstile._free == 1


def test_without_a_turn_nothing_is_given_back_and_nobody_steps_aside():
    turnstile = Turnstile(1)
    turnstile.leave()
    with aside():
        assert turnstile._free == 1
