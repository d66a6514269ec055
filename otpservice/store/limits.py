"""Where Flask-Limiter counts: on the connections of our own Redis client."""

from typing import Any

from limits.storage import RedisStorage

from otpservice.store.client import Client
from otpservice.store.cluster import Cluster


class _ClusterStorage(RedisStorage):
    """Counts on a given cluster client; RedisClusterStorage connects when it is made."""

    STORAGE_SCHEME = ["otpservice+cluster"]  # noqa: RUF012 - as limits declares it

    def __init__(self, _uri: str, cluster: Any, **options: Any) -> None:  # noqa: ANN401
        self._cluster = cluster
        super().__init__("redis://", **options)

    def get_connection(self, readonly: bool = False) -> Any:  # noqa: ANN401, ARG002
        """The client that runs all commands and scripts."""
        return self._cluster


def limiter_storage(redis: Client) -> dict[str, Any]:
    """The arguments with which a ``Limiter`` counts on ``redis`` and raises StorageError."""
    options: dict[str, Any] = {"wrap_exceptions": True}
    if isinstance(redis, Cluster):
        options |= {"cluster": redis}
        return {"storage_uri": "otpservice+cluster://", "storage_options": options}
    options |= {"connection_pool": redis.connection_pool}
    return {"storage_uri": "redis://", "storage_options": options}
