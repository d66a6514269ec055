"""How the service talks to Redis: short timeouts and no blind retries."""

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from otpservice.verification.errors import InvalidSettings

# A script that timed out may have run: whoever waits longer gains nothing, and whoever asks again
# counts twice. Redis answers in well under a millisecond, so a quarter of a second is "away".
TIMEOUT = 0.25

# A burst of requests waits its turn here. Sent all at once it would queue in Redis, where whoever
# waits longer than TIMEOUT counts as unanswered, though the script runs: 1,000 logins at once lost
# more than half that way. A free connection has a turn in well under a millisecond; of 1,000 logins
# at once in one worker the last has its first turn after two or three seconds on slow cores.
_CONNECTIONS = 16
_TURN_WITHIN = 5.0


def connect(url: str) -> Redis:
    """A client for ``redis://``, ``rediss://`` and ``unix://`` URLs; connects on first use.

    Raises:
        InvalidSettings: the URL is of another form.
    """
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise InvalidSettings(
            ["OTPSERVICE_REDIS_URL must be redis://, rediss:// or unix:// in this release"]
        )
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=_TURN_WITHIN,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
        protocol=2,
    )
    return Redis.from_pool(pool)
