"""redis-py's client and its pipeline without what this service never asks of them.

Theirs repeat, count for telemetry and look up options on the way of every command: a script by them
takes three times the CPU. Here commands are packed, sent in one write and read one by one; nothing
is ever sent again.
"""

from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

Command = tuple[tuple[Any, ...], dict[str, Any]]
"""One command: its words, and redis-py's options about its answer."""


class DirectClient(Redis):
    """One server; threads may share it."""

    def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """Run one command."""
        (answer,) = self.send([(args, options)])
        if isinstance(answer, RedisError):
            raise answer
        return answer

    def pipeline(self, *_: Any, **__: Any) -> Pipeline:  # noqa: ANN401
        """Several commands, one round trip; there are no transactions here."""
        return _DirectPipeline(self)

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one round trip.

        Returns:
            Their answers; those that are errors, too.

        Raises:
            RedisError: the server did not answer them all; any of them may have run.
        """
        pool = self.connection_pool
        connection: Any = pool.get_connection()
        try:
            packed = b"".join(_packed(args) for args, _ in commands)
            connection.send_packed_command((packed,))
            return [self._answer(connection, *command) for command in commands]
        except BaseException:
            connection.disconnect()  # an answer may still be on its way to it
            raise
        finally:
            pool.release(connection)

    def _answer(self, connection: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:  # noqa: ANN401
        try:
            answer = connection.read_response()
        except ReadOnlyError as error:
            # Made anew the connection may lead elsewhere: to the primary that the sentinels name,
            # or to what a host name means by then.
            raise RedisConnectionError("the server is a read-only replica") from error
        except ResponseError as error:
            return error
        callback = self.response_callbacks.get(args[0])  # type: ignore[no-untyped-call]
        return callback(answer, **options) if callback else answer


class _DirectPipeline(Pipeline):
    """Collects commands as redis-py's does."""

    def __init__(self, client: DirectClient) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, False, None)
        self._client = client

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Their answers, in their order."""
        commands: list[Command] = self.command_stack
        self.reset()
        answers = self._client.send(commands) if commands else []
        for answer in answers:
            if raise_on_error and isinstance(answer, RedisError):
                raise answer
        return answers


def _packed(args: tuple[Any, ...]) -> bytes:
    name, *rest = args
    packed: bytes = pack_command((*name.split(), *rest))
    return packed
