"""The Redis client: redis-py with short timeouts, no retries and pools whose callers wait."""

from collections.abc import Sequence
from functools import partial
from queue import Empty, LifoQueue
from random import sample
from time import monotonic
from typing import Any

from redis import BlockingConnectionPool, Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.connection import SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from otpservice.store.cluster import Cluster, Unit, pipelined
from otpservice.verification.errors import InvalidSettings

# Seconds. Redis answers in well under a millisecond: after a quarter of a second it is away.
TIMEOUT = 0.25

# A burst of requests waits for connections here rather than in Redis, where a script that waits
# longer than TIMEOUT counts as unanswered although it runs: of 1,000 logins at once more than half
# were lost that way. A connection is lent for about a millisecond; on slow cores the last of 1,000
# requests may wait for seconds.
_CONNECTIONS = 16
_FREE_WITHIN = 5.0

# Nodes to ask at the first look at a cluster: a silent one costs TIMEOUT.
_SEEDS = 3

_SCHEMES = {
    f"{base}{kind}" for base in ("redis", "rediss") for kind in ("", "+sentinel", "+cluster")
} | {"unix"}


class FreeConnections(LifoQueue[Any]):
    """The free connections of a pool.

    While Redis is silent each connection is lent for a whole timeout, so a long queue would wait
    for several timeouts in turn. Callers in the queue therefore give up when a connection comes
    back broken, unless another one was answered since they came.
    """

    answered_at = failed_at = 0.0

    def put_nowait(self, item: Any) -> None:  # noqa: ANN401 - a connection, or None for a new one
        """Take a connection back."""
        if item is None or item.is_connected:
            self.answered_at = monotonic()
        else:
            self.failed_at = monotonic()
        super().put_nowait(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401
        """Wait for a connection.

        Raises:
            Empty: no connection was free in time, or Redis has stopped answering.
        """
        began = monotonic()
        item = super().get(block, timeout)
        if self.answered_at < began < self.failed_at:
            super().put_nowait(item)
            raise Empty
        return item


class _PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary that sentinels name; callers wait when all are lent."""

    def owns_connection(self, connection: Any) -> bool:  # noqa: ANN401 - redis-py's
        """Whether a connection may be used again, which one that found no primary may.

        redis-py would replace that one and keep it as well: while no sentinel answers, every
        request would leave a connection in memory.
        """
        return not connection.is_connected or super().owns_connection(connection)  # type: ignore[no-untyped-call]


Client = Redis | Cluster
"""What ``connect`` returns."""


def connect(url: str) -> Client:
    """A client for any form of ``OTPSERVICE_REDIS_URL``; it connects at the first command.

    Raises:
        InvalidSettings: the URL is of another form.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        raise InvalidSettings([f"OTPSERVICE_REDIS_URL cannot begin with {scheme}://"])
    base, _, kind = scheme.partition("+")
    place, _, query = rest.partition("?")
    login, _, place = place.rpartition("@")
    if kind == "sentinel":
        return _primary(parse_url(f"{base}://{login}@?{query}"), place)
    if kind == "cluster":
        return Cluster(partial(_cluster, f"{base}://{login}@", place, query))
    pool = BlockingConnectionPool.from_url(url, retry=_NO_RETRY, **_TIMEOUTS, **_POOL)
    return Redis.from_pool(pool)


def send(redis: Client, units: Sequence[Unit]) -> list[list[Any]]:
    """Run units in one round trip.

    Returns:
        The answers to each unit's commands; an error answers a command that failed.

    Raises:
        RedisError: the server did not answer all of them; any of them may have run.
    """
    return redis.send(units) if isinstance(redis, Cluster) else pipelined(redis, units)


def find_primary(redis: Client) -> None:
    """Have the next commands find out where the primary is, which may be another server by now."""
    if isinstance(redis, Cluster):
        redis.look_again()
    else:  # a new connection asks the sentinels, or for the address behind a host name
        redis.connection_pool.disconnect(inuse_connections=False)


_NO_RETRY = Retry(NoBackoff(), 0)  # a script that timed out may have run

_TIMEOUTS: dict[str, Any] = {
    "socket_timeout": TIMEOUT,
    "socket_connect_timeout": TIMEOUT,
    "protocol": 2,  # RESP3 needs a round trip more for each new connection
}
_POOL: dict[str, Any] = {
    "max_connections": _CONNECTIONS,
    "timeout": _FREE_WITHIN,
    "queue_class": FreeConnections,
}


def _primary(options: dict[str, Any], place: str) -> Redis:
    """A client of the primary that the sentinels at ``H:P,H:P/MASTER[/DB]`` name."""
    nodes, name, *db = place.split("/")
    login, watchers_login = (
        {word: options.pop(f"{of}{word}", None) for word in ("username", "password")}
        for of in ("", "sentinel_")
    )
    tls = options.pop("connection_class", None) is SSLConnection
    shared = {**options, **_TIMEOUTS, "ssl": tls, "retry": _NO_RETRY}
    sentinel = Sentinel(_nodes(nodes), sentinel_kwargs={**shared, **watchers_login}, **shared)
    where = {"connection_pool_class": _PrimaryPool, "db": int(db[0]) if db else 0}
    primary: Redis = sentinel.master_for(name, **where, **login, **_POOL)
    return primary


def _cluster(head: str, place: str, query: str) -> RedisCluster:
    """A client of the cluster of which ``H:P,H:P`` are some nodes; connects."""
    nodes = place.rstrip("/").split(",")
    first, *others = sample(nodes, min(len(nodes), _SEEDS))
    return RedisCluster(
        url=f"{head}{first}?{query}",
        startup_nodes=[ClusterNode(*node) for node in _nodes(",".join(others))],
        connection_pool_class=BlockingConnectionPool,
        require_full_coverage=False,
        # RedisCluster itself only reads, so it may send a command again, to another node.
        retry=Retry(NoBackoff(), 1),
        **_TIMEOUTS,
        **_POOL,
    )


def _nodes(text: str) -> list[tuple[str, int]]:
    """Hosts and ports of ``h:p,[::1]:p``."""
    pairs = (node.rpartition(":") for node in text.split(",") if node)
    return [(host.strip("[]"), int(port)) for host, _, port in pairs]
