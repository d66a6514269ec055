"""The primary by its name: asked of the sentinels whenever a connection is made."""

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from otpservice.adapters.redis_connections import TcpConnection

# Seconds. A silent sentinel uses all of it up and is asked last the next time; those that refuse
# connections cost nothing.
_PATIENCE = 0.25

Address = tuple[str, int]


class Sentinels:
    """Some sentinels that watch the same primary; threads may share it.

    Args:
        clients: of each sentinel, those to try in turn: without a login first, for most have none.
        name: the primary's.
    """

    def __init__(self, clients: Sequence[Sequence[Redis]], name: str) -> None:
        self._clients = [tuple(of_one) for of_one in clients]
        self._name = name
        self._last: Address | None = None
        self._left: Callable[[], object] = lambda: None

    def when_replaced(self, leave: Callable[[], object]) -> None:
        """Have ``leave`` called whenever the primary is another one than before.

        A primary that was away for a while does not know for some seconds that it is none any more:
        what is written to it by a connection of old is lost.
        """
        self._left = leave

    def primary(self) -> Address:
        """Where it is, by the first sentinel that answers.

        Raises:
            RedisError: none does, or none knows the name.
        """
        until = monotonic() + _PATIENCE
        problem: RedisError = RedisConnectionError("no sentinel answers")
        for clients in tuple(self._clients):
            try:
                return self._noted(self._ask(clients))
            except RedisError as error:
                problem = error
                self._ask_last(clients)
            if monotonic() > until:
                break
        raise problem

    def _noted(self, address: Address) -> Address:
        before, self._last = self._last, address
        if before not in {None, address}:
            self._left()
        return address

    def _ask(self, clients: tuple[Redis, ...]) -> Address:
        *anonymous, last = clients
        for client in anonymous:
            try:
                return self._told(client)
            except AuthenticationError:
                continue
        return self._told(last)

    def _told(self, client: Redis) -> Address:
        address: Any = client.sentinel_get_master_addr_by_name(self._name)
        if address is None:
            raise RedisConnectionError(f"the sentinel knows no primary named {self._name}")
        host, port = address
        return host.decode() if isinstance(host, bytes) else host, port

    def _ask_last(self, clients: tuple[Redis, ...]) -> None:
        # A new list: another thread may be walking over the old one.
        self._clients = [*(held for held in self._clients if held is not clients), clients]


class PrimaryConnection(TcpConnection):
    """A connection to wherever the primary is when it is made.

    Args:
        find: tells where.
        kwargs: as redis-py has them.
    """

    def __init__(self, *, find: Callable[[], Address], **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._find = find

    def _connect(self) -> Any:  # noqa: ANN401 - redis-py's
        self.host, self.port = self._find()
        return super()._connect()
