"""How the service talks to Redis: short timeouts and no blind retries."""

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from otpservice.verification.errors import InvalidSettings

# A script that timed out may have run: whoever waits longer gains nothing, and whoever asks again
# counts twice. Redis answers in well under a millisecond, so a quarter of a second is "away".
TIMEOUT = 0.25

# Never the limit: a worker handles fewer requests at once than that.
_MAX_CONNECTIONS = 4096


def connect(url: str) -> Redis:
    """A client for ``redis://``, ``rediss://`` and ``unix://`` URLs; connects on first use.

    Raises:
        InvalidSettings: the URL is of another form.
    """
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise InvalidSettings(
            ["OTPSERVICE_REDIS_URL must be redis://, rediss:// or unix:// in this release"]
        )
    return Redis.from_url(
        url,
        socket_timeout=TIMEOUT,
        socket_connect_timeout=TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
        max_connections=_MAX_CONNECTIONS,
        protocol=2,
    )
