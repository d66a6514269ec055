"""How the service talks to Redis: short timeouts, no blind retries, a bounded number at a time."""

from functools import partial
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import UnixDomainSocketConnection, parse_url
from redis.retry import Retry

from otpservice.adapters.redis_cluster import Cluster
from otpservice.adapters.redis_connections import TcpConnection, UnixConnection
from otpservice.adapters.redis_direct import DirectClient
from otpservice.adapters.redis_pool import FreeConnections, Pool
from otpservice.adapters.redis_sentinel import PrimaryConnection, Sentinels
from otpservice.verification.errors import InvalidSettings

# A script that timed out may have run: whoever waits longer gains nothing, and whoever asks again
# counts twice. Redis answers in well under a millisecond, so a quarter of a second is "away".
TIMEOUT = 0.25

# A burst of requests waits for connections here. Sent all at once it would queue in Redis, where
# whoever waits longer than TIMEOUT counts as unanswered, though the script runs: 1,000 logins at
# once lost more than half that way. A connection is lent for well under a millisecond; where cores
# are slow, the last of 1,000 logins at once may wait for seconds.
_CONNECTIONS = 16
_FREE_WITHIN = 5.0

# Sentinels are asked only when a connection is made.
_SENTINEL_CONNECTIONS = 2


def connect(url: str) -> Redis:
    """A client for any form of ``OTPSERVICE_REDIS_URL``; connects on first use.

    Raises:
        InvalidSettings: the URL is of another form.
    """
    scheme, _, rest = url.partition("://")
    login, _, place = rest.rpartition("@")
    if scheme == "redis+sentinel":
        return _by_sentinels(place, _login(login))
    if scheme == "redis+cluster":
        return Cluster(_nodes(place.rstrip("/")), _client, **_login(login))
    if scheme not in {"redis", "rediss", "unix"}:
        raise InvalidSettings([f"OTPSERVICE_REDIS_URL cannot begin with {scheme}://"])
    options = parse_url(url)  # type: ignore[no-untyped-call]
    if options.get("connection_class") is UnixDomainSocketConnection:
        options["connection_class"] = UnixConnection
    return _client(**options)


def _client(**options: Any) -> DirectClient:  # noqa: ANN401 - redis-py's
    discipline = {
        "max_connections": _CONNECTIONS,
        "timeout": _FREE_WITHIN,
        "queue_class": FreeConnections,
        "socket_timeout": TIMEOUT,
        "socket_connect_timeout": TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "connection_class": TcpConnection,
    }
    pool = Pool(**{**discipline, **options})  # type: ignore[no-untyped-call]
    return DirectClient.from_pool(pool)  # type: ignore[return-value]


def _by_sentinels(place: str, login: dict[str, str]) -> Redis:
    """The login is the primary's, and that of sentinels which want one."""
    nodes, name, *db = place.split("/")
    logins = [{}, login] if login else [{}]
    clients = [
        [
            _client(host=host, port=port, max_connections=_SENTINEL_CONNECTIONS, **own)
            for own in logins
        ]
        for host, port in _nodes(nodes)
    ]
    sentinels = Sentinels(clients, name)
    number = int(db[0]) if db else 0
    client = _client(connection_class=PrimaryConnection, find=sentinels.primary, db=number, **login)
    sentinels.when_replaced(partial(client.connection_pool.disconnect, inuse_connections=False))
    return client


def _nodes(text: str) -> list[tuple[str, int]]:
    """Hosts and ports of ``h:p,[::1]:p``."""
    pairs = (node.rpartition(":") for node in text.split(","))
    return [(host.strip("[]"), int(port)) for host, _, port in pairs]


def _login(text: str) -> dict[str, str]:
    """``user:password`` as redis-py takes it; read by the same function as in other URLs."""
    options = parse_url(f"redis://{text}@")  # type: ignore[no-untyped-call]
    return {name: options[name] for name in ("username", "password") if name in options}
