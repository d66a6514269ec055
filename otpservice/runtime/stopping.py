"""How the service stops: it says so first, drops nothing that it took, and obeys a second signal.

gunicorn alone closes its listener at SIGTERM: connections that it has not accepted yet are reset,
and load balancers learn of the stop from these. Here the workers go on for a while in which
``/health/ready`` is 503, then accept whatever has connected, and end when all of it is answered.
"""

import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from socket import SHUT_RD
from types import FrameType, SimpleNamespace
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker
from werkzeug.exceptions import RequestTimeout

BODY_SECONDS = 10.0
"""Seconds in which the whole body of a request has to come after its head. A body has 4 KiB at the
most; a caller who needs longer sends it slowly on purpose."""

LAST_REQUEST_SECONDS = 2.0
"""Seconds for a last request on a connection that is open and idle when the listener closes."""

# Seconds in which a second SIGTERM is the first one: `timeout` and others signal a process and then
# its group, systemd all of a unit's processes in any order and the arbiter its workers again.
_SAME_SIGNAL = 0.5

# Seconds between two looks at whether it is time to end.
_LOOK = 0.1

# Shared with the workers, which are forked after it is made.
_stops = mmap.mmap(-1, 1)


def is_stopping() -> bool:
    """Whether the service, of which this process may be a worker, got the signal to stop."""
    return _stops[0] == 1


def announce_stop(arbiter: Any) -> None:  # noqa: ANN401 - gunicorn has no types
    """In the arbiter, when it takes signals: tell the workers of SIGTERM before it does anything.

    A second SIGTERM ends everything at once, as SIGINT and SIGQUIT do.
    """
    signal.signal(signal.SIGTERM, _on_term(arbiter))


def _on_term(arbiter: Any) -> Callable[[int, FrameType | None], None]:  # noqa: ANN401
    first_at = 0.0

    def on_term(number: int, frame: FrameType | None) -> None:
        nonlocal first_at
        if os.getpid() != arbiter.pid:  # a worker just forked, which takes no signals yet
            return
        if not is_stopping():
            _stops[0], first_at = 1, time.monotonic()
            arbiter.signal(number, frame)
        elif time.monotonic() - first_at > _SAME_SIGNAL:
            arbiter.signal(signal.SIGQUIT, frame)

    return on_term


_request: ContextVar[Any] = ContextVar("gunicorn_request")


@contextmanager
def body_deadline(seconds: float = BODY_SECONDS) -> Iterator[None]:
    """Limit the time to read a body, of a request that a ``Worker`` handles.

    Raises:
        RequestTimeout: the time is over. The connection closes after the answer, for the rest of
            the body may still come.
    """
    try:
        with gevent.Timeout(seconds, RequestTimeout):
            yield
    except RequestTimeout:
        _request.get().force_close()
        raise


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's gevent worker with an end that callers do not notice.

    gunicorn documents its hooks and settings, but no way to accept what waits before a listener
    closes, and none to close idle connections. So this class has its own ``run``, and relies on
    ``handle``, ``handle_request``, ``handle_exit``, ``sockets``, ``alive`` and the request's
    ``force_close``, which are not documented. The end-to-end tests of stopping and of connections
    fail if one of them changes.

    Attributes:
        drain_seconds: how long it goes on with new connections after SIGTERM if the whole service
            stops. If only this worker is replaced, the others take them.
        keeps_alive: whether a connection stays open after an answer.
    """

    drain_seconds: float = 0.0
    keeps_alive: bool = True
    _leaving = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        # Open connections, each with the request that is being answered, or None.
        self._connections: dict[Any, Any] = {}

    def run(self) -> None:
        """Serve until it is time to end, then answer all that has connected."""
        pool = Pool(self.cfg.worker_connections)
        servers = [self._serve(listener, pool) for listener in self.sockets]
        while self.alive:
            self.notify()
            gevent.sleep(_LOOK)
        for listener, server in zip(self.sockets, servers, strict=True):
            if is_stopping():
                self._accept_all(listener, pool)
            server.close()
        self._finish(pool)

    def handle_exit(self, _sig: int, _frame: FrameType | None) -> None:
        """SIGTERM: go on, and end later. A signal handler must not wait, so a greenlet does."""
        if not self._leaving:
            self._leaving = True
            gevent.spawn(self._leave)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:  # noqa: ANN401
        """Serve one connection, which is idle until a request has come."""
        self._connections[client] = None
        try:
            super().handle(listener, client, addr)
        finally:
            del self._connections[client]

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:  # noqa: ANN401
        """Answer one request; a worker that leaves keeps no connection open."""
        self._connections[sock] = req
        if self._leaving or is_stopping() or not self.keeps_alive:
            req.force_close()
        _request.set(req)
        super().handle_request(listener_name, req, sock, addr)
        self._connections[sock] = None

    def _serve(self, listener: Any, pool: Pool) -> StreamServer:  # noqa: ANN401
        server = StreamServer(listener, partial(self.handle, _name_of(listener)), spawn=pool)
        server.max_accept = 1  # one at a time: the other workers wait for connections, too
        server.start()
        return server

    def _leave(self) -> None:
        for request in filter(None, self._connections.values()):
            request.force_close()
        if not is_stopping():
            # Perhaps the arbiter has the signal as well and had no time to say so.
            gevent.sleep(_SAME_SIGNAL)
        if is_stopping():
            gevent.sleep(self.drain_seconds)
        self.alive = False

    def _accept_all(self, listener: Any, pool: Pool) -> None:  # noqa: ANN401
        """Accept what waits. Nothing else runs between the last one and the listener's end."""
        listener.settimeout(0)
        with suppress(OSError):  # no more wait, or no more files can be opened
            while True:
                pool.spawn(self.handle, _name_of(listener), *listener.accept())

    def _finish(self, pool: Pool) -> None:
        gevent.spawn_later(LAST_REQUEST_SECONDS, self._hang_up)
        end = time.monotonic() + self.cfg.graceful_timeout
        while not pool.join(_LOOK):
            self.notify()
            if time.monotonic() > end:
                self.log.warning("Worker graceful timeout (pid:%s)", self.pid)
                return

    def _hang_up(self) -> None:
        """End idle connections. Requests that have arrived on them can still be read.

        gevent's ``shutdown`` makes a greenlet fail that waits to read from the same socket object;
        from a duplicate it is the system's, after which such a greenlet reads the end.
        """
        idle = [client for client, request in self._connections.items() if request is None]
        for client in idle:
            with suppress(OSError), client.dup() as connection:  # it may be closed already
                connection.shutdown(SHUT_RD)


def _name_of(listener: Any) -> SimpleNamespace:  # noqa: ANN401
    """All that ``handle`` asks of a listener, which may be closed before ``handle`` begins."""
    name = listener.getsockname()
    return SimpleNamespace(getsockname=lambda: name)
