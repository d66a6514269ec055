"""A Redis Cluster, by redis-py's RedisCluster and the clients of its nodes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock, Thread
from time import monotonic
from typing import Any

from redis import Redis, RedisCluster
from redis.cluster import ClusterNode
from redis.commands.core import Script
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    SlotNotCoveredError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException as NoClusterError

# More than a slot moves while a command is on its way.
_REDIRECTIONS = 5

# Seconds between two looks at a cluster's slots: a failover takes seconds.
_LOOK_EVERY = 0.1

_SCRIPTS = frozenset({"EVAL", "EVALSHA"})

Command = tuple[Any, ...]
"""The words of one command."""

Unit = Sequence[Command]
"""A command with a key, and commands without one that follow it on the same connection."""


def pipelined(redis: Redis, units: Sequence[Unit]) -> list[list[Any]]:
    """Run units on one server, in one round trip.

    Returns:
        The answers to each unit's commands; an error answers a command that failed.

    Raises:
        RedisError: the server did not answer all of them; any of them may have run.
    """
    pipeline = redis.pipeline(transaction=False)
    for command in (command for unit in units for command in unit):
        pipeline.execute_command(*command)
    answers = pipeline.execute(raise_on_error=False)
    if any(isinstance(answer, ReadOnlyError) for answer in answers):
        # A new connection leads to the server that the host name stands for by now.
        redis.connection_pool.disconnect(inuse_connections=False)
    left = iter(answers)
    return [[next(left) for _ in unit] for unit in units]


class Cluster:
    """A Redis Cluster: RedisCluster knows its slots, and its nodes' own clients run the commands.

    RedisCluster's own pipeline repeats what was not answered, and while a node is away each of its
    callers in turn asks all nodes for the slots. Here one thread asks, and only a command that was
    redirected, and so has not run, is sent again. Threads may share a cluster.

    Args:
        make: makes the RedisCluster, which connects: it is called at the first command.
    """

    def __init__(self, make: Callable[[], RedisCluster]) -> None:
        self._make = make
        self._made: RedisCluster | None = None
        self._making, self._looking = Lock(), Lock()
        self._failed_at = self._looked_at = 0.0

    def execute_command(self, *args: Any, **_options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """Run one command where its key is; one without a key, where RedisCluster has it run."""
        if args[0] in RedisCluster.COMMAND_FLAGS:
            with _redis_errors():
                return self._cluster().execute_command(*args)
        ((answer,),) = self.send([[args]])
        if isinstance(answer, RedisError):
            raise answer
        return answer

    def register_script(self, script: bytes) -> Script:
        """As redis-py's; this and the next two are what limits calls."""
        return Script(self, script)  # type: ignore[arg-type]

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: Any) -> Any:  # noqa: ANN401
        """Run a script by its digest."""
        return self.execute_command("EVALSHA", sha, numkeys, *keys_and_args)

    def script_load(self, script: bytes) -> Any:  # noqa: ANN401
        """Have all primaries know a script."""
        return self.execute_command("SCRIPT LOAD", script)

    def send(self, units: Sequence[Unit]) -> list[list[Any]]:
        """Run units with keys of any tags, in one round trip to each node.

        Returns:
            As ``pipelined``; where a node does not answer, the error answers all it was sent.
        """
        by_node: dict[ClusterNode, list[int]] = {}
        for number, unit in enumerate(units):
            by_node.setdefault(self._node(unit), []).append(number)
        answers: list[list[Any]] = [[]] * len(units)
        for node, numbers in by_node.items():
            answered = self._ask(node, [units[number] for number in numbers])
            for number, answer in zip(numbers, answered, strict=True):
                answers[number] = answer
        return list(map(self._follow, units, answers))

    def primaries(self) -> list[Redis]:
        """A client for each primary.

        Raises:
            RedisError: no node answers.
        """
        cluster = self._cluster()
        return [cluster.get_redis_connection(node) for node in cluster.get_primaries()]

    def look_again(self) -> None:
        """Have a thread ask for the slots, unless one does or just did."""
        if monotonic() - self._looked_at > _LOOK_EVERY and self._looking.acquire(blocking=False):
            Thread(target=self._look, name="cluster-slots", daemon=True).start()

    def close(self) -> None:
        """Close all connections."""
        if self._made:
            self._made.disconnect_connection_pools()
            self._made.close()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _cluster(self) -> RedisCluster:
        return self._made or self._connect(monotonic())

    def _connect(self, began: float) -> RedisCluster:
        with self._making, _redis_errors():
            if self._failed_at > began:
                raise RedisConnectionError("no node of the cluster answered another caller")
            try:
                self._made = self._made or self._make()
            except (RedisError, NoClusterError):
                self._failed_at = monotonic()
                raise
        return self._made

    def _node(self, unit: Unit) -> ClusterNode:
        name, *words = unit[0]
        key = words[2 if name in _SCRIPTS else 0]
        try:
            node: ClusterNode = self._cluster().get_node_from_key(key)
        except SlotNotCoveredError as error:
            self.look_again()
            raise ClusterDownError(error) from error
        return node

    def _ask(self, node: ClusterNode, units: Sequence[Unit]) -> list[list[Any]]:
        try:
            answers = pipelined(self._cluster().get_redis_connection(node), units)
        except RedisError as error:
            self.look_again()
            return [[error] * len(unit) for unit in units]
        if any(isinstance(answer, ClusterDownError) for answer, *_ in answers):
            self.look_again()
        return answers

    def _follow(self, unit: Unit, answers: list[Any]) -> list[Any]:
        for _ in range(_REDIRECTIONS):
            match answers[0]:
                case MovedError() as moved:
                    self._cluster().nodes_manager.move_slot(moved)
                    (answers,) = self._ask(self._node(unit), [unit])
                case AskError() as ask:
                    node = self._cluster().get_node(ask.host, ask.port)
                    node = node or ClusterNode(ask.host, ask.port)
                    ((_, *answers),) = self._ask(node, [[("ASKING",), *unit]])
        return answers

    def _look(self) -> None:
        try:
            self._cluster().nodes_manager.initialize(disconnect_startup_nodes_pools=False)
        except (RedisError, NoClusterError):
            pass  # the next command that needs a node which is away has another look
        finally:
            self._looked_at = monotonic()
            self._looking.release()


@contextmanager
def _redis_errors() -> Iterator[None]:
    """Raise the errors of RedisCluster as RedisError, which they are not."""
    try:
        yield
    except NoClusterError as error:
        cause = error.__cause__
        raise cause if isinstance(cause, RedisError) else RedisConnectionError(error) from error
