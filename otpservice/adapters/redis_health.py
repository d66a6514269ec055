"""What the state of Redis or Valkey is, for the operator."""

from time import perf_counter
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from otpservice.verification.errors import StoreUnavailable

_ROLES = {"master": "primary", "slave": "replica"}


def redis_details(redis: Redis) -> dict[str, Any]:
    """How it answers and what INFO tells, which managed servers allow more often than CONFIG.

    Returns:
        ``latency_ms`` of one PING; ``server``, ``version``, ``role``, ``maxmemory_policy`` and
        ``aof`` (whether it is on), None where it does not tell.

    Raises:
        StoreUnavailable: it does not answer.
    """
    try:
        began = perf_counter()
        redis.ping()
        latency = perf_counter() - began
        info = _info(redis)
    except RedisError as error:
        raise StoreUnavailable(down=["redis"]) from error
    server = "Valkey" if "valkey_version" in info else "Redis"
    return {
        "latency_ms": round(latency * 1000, 2),
        "server": server if info else None,
        "version": info.get("valkey_version") or info.get("redis_version"),
        "role": _ROLES.get(info.get("role", "")),
        "maxmemory_policy": info.get("maxmemory_policy"),
        "aof": bool(info["aof_enabled"]) if "aof_enabled" in info else None,
    }


def _info(redis: Redis) -> dict[str, Any]:
    try:
        info: dict[str, Any] = redis.info()
    except ResponseError:  # not allowed
        return {}
    return info
