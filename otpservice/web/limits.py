"""The rate limits at the door: requests per phone and per app, counted by Flask-Limiter."""

from time import perf_counter
from typing import Any

from flask import Flask
from flask_limiter import Limiter
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.storage.base import Storage
from redis.exceptions import ClusterCrossSlotError, RedisError

from otpservice.meter import NO_METER, Meter
from otpservice.web.current import caller
from otpservice.web.requests import RateLimited

_CALL = "rate_limits"

_Hit = tuple[RateLimitItem, str, str]
"""One limit, whom it counts, and its scope: ``phone`` or ``app``."""

# limits' own script for one limit, run for each in turn until one refuses: a request that the
# phone's limit refuses must cost the app nothing.
_IN_TURN = f"""
local function acquire(KEYS, ARGV)
{RedisStorage.SCRIPT_ACQUIRE_SLIDING_WINDOW.decode()}
end
for n = 1, #KEYS, 2 do
  if not acquire({{ KEYS[n], KEYS[n + 1] }}, {{ ARGV[n], ARGV[n + 1], 1 }}) then
    return n
  end
end
return 0
"""


class _Counters(RedisStorage):
    """The storage of ``limits`` on the service's own client, for several limits in one trip."""

    STORAGE_SCHEME = ["otpservice"]  # noqa: RUF012 - as limits declares it

    def __init__(self, uri: str, client: Any) -> None:  # noqa: ANN401 - of redis-py's kinds
        # As RedisClusterStorage does it: the next class's would make a client of its own.
        self.key_prefix = self.PREFIX
        self.target_server = "redis"
        self.dependency = self.dependencies["redis"].module
        self.storage = client
        Storage.__init__(self, uri, wrap_exceptions=True)
        self.initialize_storage(uri)
        self._in_turn = client.register_script(_IN_TURN.encode())
        self._apart = False  # a cluster says so when it is first asked

    def first_refusing(self, hits: list[_Hit]) -> _Hit | None:
        """Count one on each in turn, up to the one that refuses.

        Raises:
            StorageError: they could not be counted.
        """
        if self._apart:
            return self._one_by_one(hits)
        keys: list[str] = []
        args: list[int] = []
        for item, *whom in hits:
            name = item.key_for(*whom)
            windows = (self._previous_window_key(name), self._current_window_key(name))
            keys += map(self.prefixed_key, windows)
            args += [item.amount, item.get_expiry()]
        try:
            refusing = self._in_turn(keys, args)
        except ClusterCrossSlotError:  # nothing was counted
            self._apart = True
            return self._one_by_one(hits)
        except RedisError as error:
            raise StorageError(error) from error
        return hits[refusing // 2] if refusing else None

    def _one_by_one(self, hits: list[_Hit]) -> _Hit | None:
        """The same where the counters may be on several servers."""
        for hit in hits:
            item, *whom = hit
            name = item.key_for(*whom)
            if not self.acquire_sliding_window_entry(name, item.amount, item.get_expiry()):
                return hit
        return None


class Door:
    """Lets a request in, or raises ``RateLimited``; without Redis it stays shut.

    Args:
        app: the Flask application to guard.
        redis: the client to count with.
        phone_limit: requests per phone, such as ``30/minute``.
        app_limit: requests per app.
        meter: told of every look at the limits.
    """

    def __init__(
        self,
        app: Flask,
        redis: Any,  # noqa: ANN401
        *,
        phone_limit: str,
        app_limit: str,
        meter: Meter = NO_METER,
    ) -> None:
        self._meter = meter
        limiter = Limiter(
            key_func=lambda: "",
            storage_uri="otpservice://",
            storage_options={"client": redis},
            # Neither lets twice the limit through where two windows meet, as fixed-window does,
            # nor trusts this machine's clock, as moving-window does.
            strategy="sliding-window-counter",
            headers_enabled=False,  # a round trip each
        )
        # As if it had its hooks in the app already: for every request these look for limits of its
        # view, and there are none.
        app.extensions.setdefault("limiter", set()).add(limiter)
        limiter.init_app(app)
        # Past Flask-Limiter's decorators, which ask for the limits one by one.
        self._counters: Any = limiter.storage
        self._by_phone, self._by_app = parse_many(phone_limit), parse_many(app_limit)

    def admit(self, bucket: str) -> None:
        """Count one request of ``g.app`` on the phone or verification that ``bucket`` stands for.

        Raises:
            RateLimited: one too many.
            StorageError: the limits could not be counted.
        """
        hits = [(item, bucket, "phone") for item in self._by_phone]
        hits += [(item, caller().name, "app") for item in self._by_app]
        began = perf_counter()
        try:
            refusing = self._counters.first_refusing(hits)
            if refusing:
                raise self._refusal(*refusing)
        except StorageError:
            self._meter.redis_failed(_CALL)
            raise
        finally:
            self._meter.redis_called(_CALL, perf_counter() - began)

    def _refusal(self, item: RateLimitItem, whom: str, scope: str) -> RateLimited:
        counted = self._counters.get_sliding_window(item.key_for(whom, scope), item.get_expiry())
        wait = _seconds_until_room(item, *counted)
        return RateLimited(scope, item.amount, item.get_expiry(), wait)


def _seconds_until_room(
    limit: RateLimitItem, before: int, before_left: float, current: int, current_left: float
) -> int:
    """How long until one more request is let in, if nobody else comes.

    The counter weighs the window before by the part of it that is still in sight.
    """
    window = limit.get_expiry()
    rolls_over = current_left - window
    if current < limit.amount:  # once enough of the window before is out of sight
        out_of_sight = before_left - window * (limit.amount - current) / max(before, 1)
        wait = min(out_of_sight, rolls_over)
    else:  # once this window is the one before, and enough of it out of sight
        wait = rolls_over + window * (1 - limit.amount / current)
    return max(0, int(wait)) + 1
