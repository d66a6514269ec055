"""How the service stops: it says so first, drops nothing that it took, and obeys a second signal.

gunicorn alone closes its ears at SIGTERM: who connected and was not accepted yet is cut off, and a
load balancer learns from that. Here the workers go on for a while in which ``/health/ready`` is
503, then take in whatever has connected, and end when all of it is answered.
"""

import mmap
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

# Seconds in which a second SIGTERM is the first one: `timeout` and others signal a process and then
# its group, systemd all of a unit's processes in any order and the arbiter its workers again.
_SAME_SIGNAL = 0.5

_SOON = 0.001  # a timer of 0 would be none

# Shared with the workers, which are forked after it is made.
_stops = mmap.mmap(-1, 1)


def is_stopping() -> bool:
    """Whether the service, of which this process may be a worker, was told to stop."""
    return _stops[0] == 1


def announce_stop(arbiter: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """In the arbiter, when it takes signals: at SIGTERM tell the workers before it does anything.

    A second SIGTERM ends everything at once, as SIGINT and SIGQUIT do.
    """
    signal.signal(signal.SIGTERM, _on_term(arbiter))


def _on_term(arbiter: Any) -> Callable[[int, FrameType | None], None]:  # noqa: ANN401
    told_at = 0.0

    def on_term(number: int, frame: FrameType | None) -> None:
        nonlocal told_at
        if os.getpid() != arbiter.pid:  # a worker just forked, which takes no signals yet
            return
        if not is_stopping():
            _stops[0], told_at = 1, time.monotonic()
            arbiter.signal(number, frame)
        elif time.monotonic() - told_at > _SAME_SIGNAL:
            arbiter.signal(signal.SIGQUIT, frame)

    return on_term


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's threaded worker, with an end that callers do not notice.

    Attributes:
        drain_seconds: it goes on with new connections after SIGTERM, if the service stops. If it
            is only replaced, the others take them.
    """

    drain_seconds: float = 0.0
    _leaving = _drains = False

    def init_signals(self) -> None:
        """Take signals: SIGALRM is where gunicorn's own graceful end begins."""
        super().init_signals()
        signal.signal(signal.SIGALRM, super().handle_exit)

    def handle_exit(self, _sig: int, _frame: FrameType | None) -> None:
        """SIGTERM: go on, and set the time at which to stop."""
        if not self._leaving:
            # Perhaps the arbiter has been told as well and has had no time to say so.
            self._leave_in(_SAME_SIGNAL)
        if is_stopping() and not self._drains:
            self._drains = True
            self._leave_in(max(self.drain_seconds, _SOON))

    def handle_quit(self, _sig: int, _frame: FrameType | None) -> None:
        """SIGQUIT, SIGINT: end now; Python would first wait for threads that wait for others."""
        self.cfg.worker_int(self)
        os._exit(0)

    def handle_request(self, req: Any, conn: Any) -> bool:  # noqa: ANN401
        """Answer; who leaves keeps no connection open."""
        if self._leaving or is_stopping():
            req.force_close()
        keeps: bool = super().handle_request(req, conn)
        return keeps

    def set_accept_enabled(self, enabled: bool) -> None:
        """Take connections or none; at the very end those that wait, and then nobody can come."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            self._forget_the_silent()
            if self._drains:
                self._take_all_that_wait()

    def _leave_in(self, seconds: float) -> None:
        self._leaving = True
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _take_all_that_wait(self) -> None:
        for listener in self.sockets:
            with suppress(OSError):  # out of files: what was taken is still worth answering
                while select.select([listener], [], [], 0)[0]:
                    self.accept(listener)
            listener.close()

    def _forget_the_silent(self) -> None:
        """Close connections on which no request ever came as gunicorn closes those kept alive."""
        at_the_latest = time.monotonic() + STOP_KEEPALIVE_LINGER
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, at_the_latest)
