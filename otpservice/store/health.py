"""What the state of Redis or Valkey is, for the operator."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from otpservice.store.client import Client
from otpservice.store.cluster import Cluster
from otpservice.store.generation import Epoch
from otpservice.verification.errors import StoreUnavailable

_ROLES = {"master": "primary", "slave": "replica"}


def redis_details(redis: Client, epoch: Epoch) -> dict[str, Any]:
    """How it answers and what INFO tells, which managed servers allow more often than CONFIG.

    Returns:
        ``latency_ms`` of one PING, in a cluster of one to every primary; ``server``, ``version``,
        ``role``, ``maxmemory_policy`` and ``aof`` (whether it is on), None where it does not tell,
        of a cluster those of the first primary and of all the worse; ``since`` when it has had its
        state, in UTC.

    Raises:
        StoreUnavailable: it does not answer.
    """
    try:
        began = perf_counter()
        for node in servers(redis):
            node.ping()
        latency = perf_counter() - began
        infos = [_info(server) for server in servers(redis)]
    except RedisError as error:
        raise StoreUnavailable(down=["redis"]) from error
    info = infos[0]
    policies = [info.get("maxmemory_policy") for info in infos]
    aof = [bool(info["aof_enabled"]) for info in infos if "aof_enabled" in info]
    server = "Valkey" if "valkey_version" in info else "Redis"
    return {
        "latency_ms": round(latency * 1000, 2),
        "server": server if info else None,
        "version": info.get("valkey_version") or info.get("redis_version"),
        "role": _ROLES.get(info.get("role", "")),
        "maxmemory_policy": next((p for p in policies if p != "noeviction"), policies[0]),
        "aof": all(aof) if aof else None,
        "since": epoch.look(),
    }


def servers(redis: Client) -> Sequence[Redis]:
    """A client for each server that holds a part of the state.

    Raises:
        RedisError: a cluster does not tell which they are.
    """
    return redis.primaries() if isinstance(redis, Cluster) else [redis]


def _info(redis: Redis) -> dict[str, Any]:
    try:
        info: dict[str, Any] = redis.info()
    except ResponseError:  # not allowed
        return {}
    return info
