"""Connections to Redis that notice when their server is no primary any more, or answers nobody."""

from queue import Empty, LifoQueue
from time import monotonic
from typing import Any

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError


class _Wary:
    """A connection that is given up when its server turns out to be a read-only replica.

    Made anew it may lead elsewhere: to the primary that the sentinels name, or to what a host name
    means by then.
    """

    def read_response(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - redis-py's
        """As redis-py has it."""
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]
        except ReadOnlyError as error:
            self.disconnect()  # type: ignore[attr-defined]
            raise RedisConnectionError("the server is a read-only replica") from error


class WaryConnection(_Wary, Connection):
    """By TCP."""


class WarySSLConnection(_Wary, SSLConnection):
    """By TLS."""


class WaryUnixConnection(_Wary, UnixDomainSocketConnection):
    """By a socket of this machine."""


class Turns(LifoQueue[Any]):
    """The free connections of a pool, and the turns of those who wait for one.

    While Redis is silent each connection comes back only after a timeout, and a long queue would
    wait one after another. So all who wait give up with the first who was not answered, unless
    somebody else was answered since they came.
    """

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._answered = self._in_vain = 0.0

    def put_nowait(self, item: Any) -> None:  # noqa: ANN401
        """Take a connection back, or the place of one that was never made (None)."""
        super().put_nowait(item)
        if item is not None and item.is_connected:
            self._answered = monotonic()
        elif item is not None:
            with self.not_empty:
                self._in_vain = monotonic()
                self.not_empty.notify_all()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401, ARG002
        """Wait for a connection.

        Raises:
            Empty: there was none in time, or it would be in vain.
        """
        began = monotonic()
        with self.not_empty:
            while not self._answered < began < self._in_vain:
                if self._qsize():
                    return self._get()
                left = (timeout or 0) - (monotonic() - began)
                if left <= 0 or not self.not_empty.wait(left):
                    break
        raise Empty
