"""Since when Redis has had its state: who remembers another time knows that it came back empty."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from threading import Lock

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from otpservice.store.answers import time
from otpservice.store.client import Client
from otpservice.store.cluster import Cluster
from otpservice.store.scripts import Call, Scripts

log = logging.getLogger(__name__)

# 15 days: longer than any pause of the readiness probe, which renews it.
_KEPT = 15 * 86_400_000

# In a cluster, so many keys lie evenly over all slots that each of up to as many primaries has one.
_IN_A_CLUSTER = 16


class Epoch:
    """When the state in Redis began; threads may share it.

    Args:
        scripts: runs the scripts.
        keys: as ``epoch_keys`` has them.
    """

    def __init__(self, scripts: Scripts, keys: Sequence[str]) -> None:
        self._scripts = scripts
        self._keys = tuple(keys)
        self._known: Mapping[str, int] = {}
        self._comparing = Lock()

    def look(self) -> datetime:
        """Since when; of a cluster, the primary that has it for the shortest time.

        Begins it where there is none, and notes in the log if there was one before.

        Raises:
            StoreUnavailable: Redis does not answer, or is not to be written to.
        """
        answers = self._scripts.run([Call("epoch", [key], [_KEPT]) for key in self._keys])
        told = {key: int(since) for key, (_, since) in zip(self._keys, answers, strict=True)}
        with self._comparing:
            # Answers may overtake each other, and an epoch never becomes an earlier one.
            lost = [key for key, since in self._known.items() if told[key] > since]
            before = dict(self._known)
            self._known = {key: max(since, before.get(key, 0)) for key, since in told.items()}
        if lost:
            since, ended = min(told[key] for key in lost), max(before[key] for key in lost)
            facts = {"since": time(since).isoformat(), "state_was_since": time(ended).isoformat()}
            log.error("store_came_back_empty", extra=facts)
        return time(max(told.values()))


def epoch_keys(redis: Client) -> tuple[str, ...]:
    """The keys an epoch stands under: one, and in a cluster some on every primary."""
    if not isinstance(redis, Cluster):
        return ("otp:{epoch}:since",)
    width = REDIS_CLUSTER_HASH_SLOTS // _IN_A_CLUSTER
    return tuple(
        next(key for key in map(_key, count()) if key_slot(key.encode()) // width == band)
        for band in range(_IN_A_CLUSTER)
    )


def epoch_known(redis: Client) -> datetime | None:
    """Since when, without beginning it; None if there is none, or not on every primary.

    Raises:
        RedisError: Redis does not answer.
    """
    held = [redis.execute_command("GET", key) for key in epoch_keys(redis)]  # type: ignore[no-untyped-call]
    return time(max(int(since) for since in held if since)) if all(held) else None


def _key(number: int) -> str:
    return f"otp:{{epoch{number}}}:since"
