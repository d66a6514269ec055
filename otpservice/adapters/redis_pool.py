"""The connections to one server: a bounded number of them, lent to one thread at a time."""

from queue import Empty, Full, LifoQueue
from time import monotonic
from typing import Any

from redis import BlockingConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

# Seconds after which a connection is looked at before it is used: servers close what is idle. To
# look is a call of the system, for which the interpreter's lock is given away.
_IDLE = 0.5


class Pool(BlockingConnectionPool):
    """redis-py's pool without what it counts for telemetry.

    Who finds no connection free waits for one, ``timeout`` seconds at the most.
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
            self._make_ready(connection)
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

    def _make_ready(self, connection: Any) -> None:  # noqa: ANN401
        if connection.is_connected and self._is_doubtful(connection) and _is_closed(connection):
            connection.disconnect()
        if not connection.is_connected:
            connection.connect()

    def _is_doubtful(self, connection: Any) -> bool:  # noqa: ANN401
        """Whether it was idle for long, or another has failed since."""
        unused: float = connection.idle_since
        return monotonic() - unused > _IDLE or unused <= self.pool.in_vain


class FreeConnections(LifoQueue[Any]):
    """The free connections of a pool, and those who wait for one.

    While Redis is silent each connection comes back only after a timeout, and a long queue would
    wait one after another. So all who wait give up with the first who was not answered, unless
    somebody else was answered since they came.

    Attributes:
        in_vain: when a connection last came back without an answer, by ``monotonic``.
    """

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._answered = self.in_vain = 0.0

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
                self.in_vain = monotonic()
                self.not_empty.notify_all()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401, ARG002
        """Wait for a connection.

        Raises:
            Empty: there was none in time, or it would be in vain.
        """
        began = monotonic()
        with self.mutex:
            while not self._answered < began < self.in_vain:
                if self.queue:
                    return self.queue.pop()
                left = began + (timeout or 0) - monotonic()
                if left <= 0 or not self.not_empty.wait(left):
                    break
        raise Empty


def _is_closed(connection: Any) -> bool:  # noqa: ANN401
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True
