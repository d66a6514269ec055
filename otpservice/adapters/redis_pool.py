"""The connections to one server: a bounded number of them, lent to one thread at a time."""

from queue import Empty, Full, LifoQueue
from time import monotonic
from typing import Any

from redis import BlockingConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from otpservice.turns import came_at

# Seconds after which a connection is looked at before it is used: servers close what is idle.
_IDLE = 0.5


class Pool(BlockingConnectionPool):
    """redis-py's pool without what it counts for telemetry.

    Who finds no connection free waits for a turn, ``timeout`` seconds at the most.
    """

    def get_connection(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401 - redis-py's
        """A connection that is open, as far as is known.

        Raises:
            RedisError: none was free in time, or the server is away.
        """
        self._checkpid()
        try:
            connection = self.pool.get(timeout=self.timeout)
        except Empty:
            raise RedisConnectionError("no connection was free in time") from None
        if connection is None:
            connection = self.make_connection()  # type: ignore[no-untyped-call]
        try:
            _make_ready(connection)
        except BaseException:
            self.release(connection)
            raise
        return connection

    def release(self, connection: Any) -> None:  # noqa: ANN401 - redis-py's
        """Take it back."""
        self._checkpid()
        if not self.owns_connection(connection):  # made before a fork
            connection.disconnect()
            connection = None
        else:
            connection.idle_since = monotonic()
        self.pool.put_nowait(connection)


class Turns(LifoQueue[Any]):
    """The free connections of a pool, and the turns of those who wait for one.

    While Redis is silent each connection comes back only after a timeout, and a long queue would
    wait one after another. So all who wait give up with the first who was not answered, unless
    somebody else was answered since they came: those as well that still wait for a turn at all.
    """

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._answered = self._in_vain = 0.0

    def put_nowait(self, item: Any) -> None:  # noqa: ANN401
        """Take a connection back, or the place of one that was never made (None)."""
        with self.mutex:
            if len(self.queue) >= self.maxsize:
                raise Full
            self.queue.append(item)
            if item is None or item.is_connected:
                self._answered = monotonic()
                self.not_empty.notify()
            else:
                self._in_vain = monotonic()
                self.not_empty.notify_all()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401, ARG002
        """Wait for a connection.

        Raises:
            Empty: there was none in time, or it would be in vain.
        """
        came, until = came_at(), monotonic() + (timeout or 0)
        with self.mutex:
            while not self._answered < came < self._in_vain:
                if self.queue:
                    return self.queue.pop()
                left = until - monotonic()
                if left <= 0 or not self.not_empty.wait(left):
                    break
        raise Empty


def _make_ready(connection: Any) -> None:  # noqa: ANN401
    idle = monotonic() - getattr(connection, "idle_since", 0.0)
    if connection.is_connected and idle > _IDLE and _is_closed(connection):
        connection.disconnect()
    if not connection.is_connected:
        connection.connect()


def _is_closed(connection: Any) -> bool:  # noqa: ANN401
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True
