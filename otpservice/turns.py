"""Turns at running: of many requests in flight only some compete for the interpreter at a time.

Python runs one thread at a time. Were all that can run to compete, each would have its turn after
all others, over and over: a probe would wait behind hundreds, and a burst would end all at once at
its very end. So they stand in a line for a turn, keep it while they work and ask Redis, which
answers at once or is away, and step aside while they wait for a provider.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, local
from time import monotonic


class Turnstile:
    """Lets so many threads run at a time, in the order in which they came.

    Args:
        places: how many.
        patience: seconds after which a thread goes on without a turn: it is a courtesy, no lock.
    """

    def __init__(self, places: int, patience: float = 5.0) -> None:
        self._free = places
        self._patience = patience
        self._line: deque[Lock] = deque()
        self._mutex = Lock()

    def enter(self) -> None:
        """Wait for a turn."""
        _thread.came_at = monotonic()
        _thread.turn_at = self if self._wait() else None

    def leave(self) -> None:
        """Give it to the next in line, if this thread has one."""
        if _thread.turn_at is self:
            _thread.turn_at = None
            with self._mutex:
                if self._line:
                    self._line.popleft().release()
                else:
                    self._free += 1

    def _wait(self) -> bool:
        with self._mutex:
            if self._free:
                self._free -= 1
                return True
            ticket = Lock()
            ticket.acquire()
            self._line.append(ticket)
        return ticket.acquire(timeout=self._patience) or not self._gave_up(ticket)

    def _gave_up(self, ticket: Lock) -> bool:
        with self._mutex:
            if ticket in self._line:
                self._line.remove(ticket)
                return True
        return False  # its turn came that very moment


class _Thread(local):
    came_at: float | None = None
    turn_at: Turnstile | None = None


_thread = _Thread()


def came_at() -> float:
    """When this thread began to wait for the turn it has, by ``monotonic``; now if it has none."""
    return monotonic() if _thread.turn_at is None else _thread.came_at or monotonic()


@contextmanager
def aside() -> Iterator[None]:
    """Let others run while this thread waits for somebody who may take long."""
    if (turnstile := _thread.turn_at) is None:
        yield
        return
    turnstile.leave()
    try:
        yield
    finally:
        turnstile.enter()
