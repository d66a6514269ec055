"""A Redis Cluster behind redis-py's interface for one server, without its cluster client.

That one sends again what was not answered in time: its pipelines whatever they are set to, and a
counting script would run twice. It also connects when it is made, and while a node is away every
request of a thread asks all nodes for the slots. Here only a redirection is followed, for what is
redirected was not run.
"""

import random
from collections.abc import Callable, Sequence
from threading import Lock, Thread
from time import monotonic
from typing import Any

from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ClusterError,
    MovedError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from otpservice.adapters.redis_direct import Command, DirectClient

Address = tuple[str, int]

# More than a slot moves while a request is on its way.
_REDIRECTIONS = 5

# Seconds. For the first look at the slots: as long as for any other answer. Between two later
# ones: a failover takes seconds, and nobody should ask more often how far it is.
_PATIENCE = 0.25
_LOOK_EVERY = 0.1

_WITH_A_SCRIPT = frozenset({"EVAL", "EVALSHA"})
_WITHOUT_A_KEY = frozenset({"PING", "INFO", "TIME", "SCRIPT LOAD", "WAIT", "CONFIG GET"})
_EVERYWHERE = frozenset({"PING", "SCRIPT LOAD"})

_UNANSWERED = (RedisConnectionError, RedisTimeoutError)


class Cluster(DirectClient):
    """Sends each command to the primary that holds its key; threads may share it.

    What has no key goes to any primary, PING and SCRIPT LOAD to all. A node has a pool of its own.

    Args:
        nodes: some of the cluster's, to ask for the others.
        client: makes the client of one node.
        login: ``username`` and ``password``, the same on every node.
    """

    def __init__(
        self, nodes: Sequence[Address], client: Callable[..., DirectClient], **login: str
    ) -> None:
        self._make_client = client
        self._login = login
        self._seeds = list(nodes)
        self._clients: dict[Address, DirectClient] = {}
        self._primaries: tuple[Address, ...] = ()
        self._slots: list[Address | None] = []
        self._looking = Lock()
        self._looked_at = 0.0
        super().__init__(connection_pool=self._client(nodes[0]).connection_pool)

    def primaries(self) -> Sequence[Redis]:
        """A client for each primary; the same ones as long as the cluster stays as it is.

        Raises:
            RedisError: no node tells.
        """
        self._look_first()
        return [self._client(address) for address in self._primaries]

    def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - redis-py's
        """Run one command where it belongs."""
        if _key(args) is None:
            return self._anywhere(args, options)
        return super().execute_command(*args, **options)

    def send(self, commands: Sequence[Command]) -> list[Any]:
        """Run commands with keys of any tags, in one round trip to each node.

        One without a key goes where the one before it went.

        Returns:
            Their answers; those that are errors, too. Of a node that did not answer the error is
            the answer to each: what other nodes were sent beside it has run all the same.
        """
        units = _units(commands)
        answers: list[list[Any]] = [[]] * len(units)
        for address, numbers in self._by_address(units).items():
            together = [command for number in numbers for command in units[number]]
            told = iter(self._try(address, together))
            for number in numbers:
                answers[number] = [next(told) for _ in units[number]]
        for number, answer in enumerate(answers):
            if isinstance(answer[0], AskError):  # or a MovedError; it was not run
                answers[number] = self._redirected(units[number])
        return [word for answer in answers for word in answer]

    def close(self) -> None:
        """Close all connections."""
        for client in tuple(self._clients.values()):
            client.connection_pool.disconnect()

    def _by_address(self, units: Sequence[Sequence[Command]]) -> dict[Address, list[int]]:
        """Which of these belong to which node, by the key of the first command of each."""
        grouped: dict[Address, list[int]] = {}
        for number, unit in enumerate(units):
            grouped.setdefault(self._address(_slot(unit)), []).append(number)
        return grouped

    def _try(self, address: Address, commands: Sequence[Command]) -> list[Any]:
        try:
            return self._ask(address, commands)
        except RedisError as error:
            return [error] * len(commands)

    def _redirected(self, unit: Sequence[Command]) -> list[Any]:
        try:
            return self._follow(unit)
        except RedisError as error:
            return [error] * len(unit)

    def _follow(self, unit: Sequence[Command]) -> list[Any]:
        slot = _slot(unit)
        address, asking = self._address(slot), False
        for _ in range(_REDIRECTIONS):
            answers = self._ask(address, unit, asking=asking)
            match answers[0]:
                case MovedError() as moved:
                    address, asking = _target(moved, address), False
                    self._slots[slot] = address
                    self._look_again()
                case AskError() as ask:
                    address, asking = _target(ask, address), True
                case _:
                    return answers
        raise ClusterError("redirected too often")

    def _ask(
        self, address: Address, commands: Sequence[Command], *, asking: bool = False
    ) -> list[Any]:
        first: list[Command] = [("ASKING",)] if asking else []
        try:
            answers = self._client(address).send([*first, *commands])
        except _UNANSWERED:
            self._look_again()
            raise
        if any(isinstance(answer, ClusterDownError) for answer in answers):
            self._look_again()
        return answers[len(first) :]

    def _anywhere(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:  # noqa: ANN401
        clients = self.primaries()
        if str(args[0]).upper() not in _EVERYWHERE:
            clients = clients[:1]
        try:
            answers = [client.execute_command(*args, **options) for client in clients]  # type: ignore[no-untyped-call]
        except _UNANSWERED:
            self._look_again()
            raise
        return answers[0]

    def _client(self, address: Address) -> DirectClient:
        if (client := self._clients.get(address)) is None:
            host, port = address
            made = self._make_client(host=host, port=port, **self._login)
            client = self._clients.setdefault(address, made)
        return client

    def _address(self, slot: int) -> Address:
        self._look_first()
        if (address := self._slots[slot]) is None:
            self._look_again()
            raise ClusterDownError("a slot is nobody's")
        return address

    def _look_first(self) -> None:
        if self._slots:
            return
        began = monotonic()
        with self._looking:
            if self._looked_at > began and not self._slots:
                raise RedisConnectionError("no node of the cluster answered whoever asked before")
            if not self._slots:
                self._look(self._seeds)

    def _look_again(self) -> None:
        """Have a thread look at the slots anew, unless one does or just did; nobody waits."""
        if monotonic() - self._looked_at < _LOOK_EVERY or not self._looking.acquire(blocking=False):
            return
        Thread(target=self._look_beside, name="cluster-slots", daemon=True).start()

    def _look_beside(self) -> None:
        known = list({*self._clients, *self._seeds})
        random.shuffle(known)
        try:
            self._look(known)
        except RedisError:  # whoever needs a node that is away is told so
            pass
        finally:
            self._looking.release()

    def _look(self, nodes: list[Address]) -> None:
        """Ask the first of ``nodes`` that answers who holds which slots."""
        until = monotonic() + _PATIENCE
        problem: RedisError = RedisConnectionError("no node of the cluster answers")
        for address in tuple(nodes):
            try:
                ranges = self._client(address).execute_command("CLUSTER SLOTS")
                self._learn(ranges, address)
                return
            except RedisError as error:
                problem = error
                nodes.append(nodes.pop(0))  # a silent one is not asked first again
            finally:
                self._looked_at = monotonic()
            if monotonic() > until:
                break
        raise problem

    def _learn(self, ranges: Sequence[Sequence[Any]], asked: Address) -> None:
        slots: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        addresses: dict[Address, None] = {}
        for first, last, (host, port, *_), *_ in ranges:
            address = (host or b"").decode() or asked[0], int(port)
            addresses[address] = None
            slots[first : last + 1] = [address] * (last + 1 - first)
        if not addresses:
            raise ClusterDownError("the node knows of no slots")
        self._slots, self._primaries = slots, tuple(addresses)


def _units(commands: Sequence[Command]) -> list[list[Command]]:
    units: list[list[Command]] = []
    for command in commands:
        if units and _key(command) is None:
            units[-1].append(command)
        else:
            units.append([command])
    return units


def _key(args: Sequence[Any]) -> str | bytes | None:
    """The first key of a command; None if it has none."""
    command = str(args[0]).upper()
    if command in _WITHOUT_A_KEY:
        return None
    if command in _WITH_A_SCRIPT:
        return args[3] if int(args[2]) else None
    return args[1] if len(args) > 1 else None


def _encoded(key: str | bytes | None) -> bytes:
    if key is None:
        raise ResponseError("a cluster's pipeline cannot begin with a command without a key")
    return key.encode() if isinstance(key, str) else key


def _slot(unit: Sequence[Command]) -> int:
    return key_slot(_encoded(_key(unit[0])))


def _target(error: AskError, asked: Address) -> Address:
    """Where a redirection leads; without a host, to another port of the same one."""
    return error.host or asked[0], error.port
