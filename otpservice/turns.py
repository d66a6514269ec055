"""Turns at running: of many requests in flight only a few compete for the interpreter at a time.

Python runs one thread at a time. Were all that can run to compete, each would have its turn after
all others, over and over: a probe would wait behind hundreds. So they stand in a line for a turn,
and step aside while they wait for Redis or a provider.
"""

from collections import deque
from threading import Lock, local


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

    def enter(self, *, first: bool = False) -> None:
        """Wait for a turn, behind all others or, who had one before, ``first``."""
        _thread.turn_at = self if self._wait(first=first) else None

    def leave(self) -> None:
        """Give it to the next in line, if this thread has one."""
        if _thread.turn_at is self:
            _thread.turn_at = None
            with self._mutex:
                if self._line:
                    self._line.popleft().release()
                else:
                    self._free += 1

    def _wait(self, *, first: bool) -> bool:
        with self._mutex:
            if self._free:
                self._free -= 1
                return True
            ticket = Lock()
            ticket.acquire()
            (self._line.appendleft if first else self._line.append)(ticket)
        return ticket.acquire(timeout=self._patience) or not self._gave_up(ticket)

    def _gave_up(self, ticket: Lock) -> bool:
        with self._mutex:
            if ticket in self._line:
                self._line.remove(ticket)
                return True
        return False  # its turn came that very moment


class _Thread(local):
    turn_at: Turnstile | None = None


_thread = _Thread()


class aside:  # noqa: N801 - it is used as those of contextlib are
    """Let others run while this thread waits; who has begun then goes before who has not."""

    __slots__ = ("_turnstile",)

    def __enter__(self) -> None:
        self._turnstile = _thread.turn_at
        if self._turnstile:
            self._turnstile.leave()

    def __exit__(self, *_error: object) -> None:
        if self._turnstile:
            self._turnstile.enter(first=True)
