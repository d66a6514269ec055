"""redis-py's client and its pipeline without what this service never asks of them.

Theirs repeat, count for telemetry and look up options on the way of every command: a script by them
takes two to three times the instructions. Here commands are packed, sent in one write and read one
by one; nothing is ever sent again.
"""

from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

# Their answers are as they are; redis-py looks for what to make of all others'.
_SCRIPTS = frozenset({"EVAL", "EVALSHA"})

Command = tuple[Any, ...]
"""The words of one command: str, bytes, int or float."""


class DirectClient(Redis):
    """One server; threads may share it."""

    def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """Run one command."""
        (answer,) = self.send([args])
        if isinstance(answer, RedisError):
            raise answer
        if args[0] in _SCRIPTS:
            return answer
        options.pop("keys", None)  # for a cache that is not used here
        understand = self.response_callbacks.get(args[0])  # type: ignore[no-untyped-call]
        return understand(answer, **options) if understand else answer

    def pipeline(self, *_: Any, **__: Any) -> Pipeline:  # noqa: ANN401
        """Several commands, one round trip; there are no transactions here."""
        return _DirectPipeline(self)

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands in one round trip.

        Returns:
            Their answers as the server gives them; those that are errors, too.

        Raises:
            RedisError: the server did not answer them all; any of them may have run.
        """
        packed = b"".join(map(_packed, commands))
        return self._exchange(packed, len(commands))

    def _exchange(self, packed: bytes, count: int) -> list[Any]:
        connection: Any = self.connection_pool.get_connection()
        try:
            connection.send_packed_command((packed,))
            return [_answer(connection) for _ in range(count)]
        except BaseException:
            connection.disconnect()  # an answer may still be on its way to it
            raise
        finally:
            self.connection_pool.release(connection)


class _DirectPipeline(Pipeline):
    """Collects commands as redis-py's does; their answers are left as the server gives them."""

    def __init__(self, client: DirectClient) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, False, None)
        self._client = client

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Their answers, in their order."""
        commands = [args for args, _ in self.command_stack]
        self.reset()
        answers = self._client.send(commands) if commands else []
        for answer in answers:
            if raise_on_error and isinstance(answer, RedisError):
                raise answer
        return answers


def _packed(command: Command) -> bytes:
    if " " in command[0]:  # CLUSTER SLOTS
        command = (*command[0].split(), *command[1:])
    packed: bytes = pack_command(command)
    return packed


def _answer(connection: Any) -> Any:  # noqa: ANN401
    try:
        return connection.read_response()
    except ReadOnlyError as error:
        # Made anew the connection may lead elsewhere: to the primary that the sentinels name, or to
        # what a host name means by then.
        raise RedisConnectionError("the server is a read-only replica") from error
    except ResponseError as error:
        return error
