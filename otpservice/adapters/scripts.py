"""Lua scripts, run one by one or several in one round trip."""

import logging
from collections.abc import Callable, Sequence
from hashlib import sha1
from importlib.resources import files
from time import perf_counter
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, RedisError

from otpservice.adapters.redis_client import Client, find_primary, send
from otpservice.adapters.redis_cluster import Command
from otpservice.meter import NO_METER, Meter
from otpservice.verification.errors import StoreUnavailable

log = logging.getLogger(__name__)

_PIPELINE = "pipeline"
_WAIT = "wait"

# Milliseconds; well under the client's own patience, so that it is Redis who says that it is over.
# On one network a replica has a write in under a millisecond.
_COPIED_WITHIN = 100

# The words with which scripts of reserving and settling say that they changed something.
_DECIDED = frozenset({"ok", "right", "wrong_code", "yes"})


class Call(NamedTuple):
    """One script to run: its file's name, its keys (all of one hash tag) and its arguments."""

    script: str
    keys: Sequence[str]
    args: Sequence[Any]


class TooFewReplicas(StoreUnavailable):
    """A script ran, and fewer replicas than asked for have what it wrote: a failover may undo it.

    ``answer`` is the script's.
    """

    def __init__(self, answer: Sequence[Any]) -> None:
        super().__init__()
        self.answer = answer


class Scripts:
    """The scripts of ``lua/``, each with ``common.lua`` before it.

    Args:
        redis: a client that decodes nothing and retries nothing: a script that timed out may have
            run, and running it again under another id would count twice.
        clock_offset: milliseconds added to the server's clock; for tests of what time does.
        replicas: how many must have what ``run_copied`` wrote.
        meter: told of every call.
    """

    def __init__(
        self, redis: Client, *, clock_offset: int = 0, replicas: int = 0, meter: Meter = NO_METER
    ) -> None:
        self._redis = redis
        self._meter = meter
        self._replicas = replicas
        self.clock_offset = clock_offset
        lua = files("otpservice.adapters") / "lua"
        common = (lua / "common.lua").read_text()
        self._texts = {
            file.name.removesuffix(".lua"): common + file.read_text()
            for file in lua.iterdir()
            if file.name.endswith(".lua") and file.name != "common.lua"
        }
        self._digests = {
            name: sha1(text.encode(), usedforsecurity=False).hexdigest()
            for name, text in self._texts.items()
        }

    def run(self, call: Call) -> list[Any]:
        """Run one script; what it answers starts with a word that says how it went.

        Raises:
            StoreUnavailable: Redis did not answer; the script may or may not have run.
        """
        return _words(self.ask(call.script, self._run, call))

    def run_copied(self, call: Call, riders: Sequence[Call] = ()) -> list[list[Any]]:
        """``run_first``, but wait until as many replicas as there must be have what it wrote.

        Raises:
            StoreUnavailable: Redis did not answer; any of them may have run.
            TooFewReplicas: the first ran, and they did not say so in time; no other ran.
        """
        if not self._replicas:
            return self.run_first(call, riders)
        answer, copies = self.ask(call.script, self._run_copied, call)
        words = _words(answer)
        if words[0] in _DECIDED and copies < self._replicas:
            self._meter.redis_failed(_WAIT)
            find_primary(self._redis)
            raise TooFewReplicas(words)
        return [words, *self._ride(riders)]

    def run_all(self, calls: Sequence[Call]) -> list[list[Any]]:
        """Run several in one round trip, in their order; their keys may be of different tags.

        Raises:
            StoreUnavailable: one of them was not answered; any of them may have run.
        """
        if len(calls) <= 1:
            return [self.run(call) for call in calls]
        return [self._told(answer) for answer in self._answers(calls)]

    def run_first(self, call: Call, riders: Sequence[Call]) -> list[list[Any]]:
        """Run a script, and in the same round trip others whose failure must not undo it.

        Returns:
            What each answers. What a rider should do that was not answered is lost; its answer is
            ``["lost"]``.

        Raises:
            StoreUnavailable: the first was not answered; any of them may have run.
        """
        if not riders:
            return [self.run(call)]
        first, *others = self._answers([call, *riders])
        return [self._told(first), *map(self._told_or_lost, others)]

    def _ride(self, riders: Sequence[Call]) -> list[list[Any]]:
        """Run what must not undo what was done before."""
        try:
            return [self._told_or_lost(answer) for answer in self._answers(riders)]
        except StoreUnavailable:
            log.exception("script_lost")
            return [["lost"] for _ in riders]

    def _told_or_lost(self, answer: Any) -> list[Any]:  # noqa: ANN401
        try:
            return self._told(answer)
        except StoreUnavailable:
            log.exception("script_lost")
            return ["lost"]

    def _answers(self, calls: Sequence[Call]) -> list[Any]:
        """What a pipeline of them answers, errors included."""
        answers = self._pipeline(calls) if calls else []
        missing = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        for n in missing:  # the first time on this server; they were not run
            answers[n] = self.ask(calls[n].script, self._answer_in_full, calls[n])
        return answers

    def _answer_in_full(self, call: Call) -> Any:  # noqa: ANN401
        """As in a pipeline: an error is an answer, and undoes no other."""
        try:
            return self._command(*self._in_full(call))
        except RedisError as error:
            return error

    def _told(self, answer: Any) -> list[Any]:  # noqa: ANN401
        if isinstance(answer, RedisError):
            self._meter.redis_failed(_PIPELINE)
            raise StoreUnavailable from answer
        return _words(answer)

    def _run(self, call: Call) -> Any:  # noqa: ANN401
        try:
            return self._command(*self._by_digest(call))
        except NoScriptError:  # the first time on this server; it was not run
            return self._command(*self._in_full(call))

    def _run_copied(self, call: Call) -> Sequence[Any]:
        answers = self._and_wait(self._by_digest(call))
        if isinstance(answers[0], NoScriptError):
            answers = self._and_wait(self._in_full(call))
        for answer in answers:
            if isinstance(answer, RedisError):
                raise answer
        return answers

    def _and_wait(self, command: Command) -> Sequence[Any]:
        (answers,) = send(self._redis, [[command, ("WAIT", self._replicas, _COPIED_WITHIN)]])
        return answers

    def _command(self, *command: Any) -> Any:  # noqa: ANN401
        return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]

    def _by_digest(self, call: Call) -> tuple[Any, ...]:
        script, keys, args = call
        return "EVALSHA", self._digests[script], len(keys), *keys, self.clock_offset, *args

    def _in_full(self, call: Call) -> Command:
        """Which also makes the server know its digest; on a cluster, the server of the key."""
        _, _, *rest = self._by_digest(call)
        return "EVAL", self._texts[call.script], *rest

    def _pipeline(self, calls: Sequence[Call]) -> list[Any]:
        units = [[self._by_digest(call)] for call in calls]
        return [answer for (answer,) in self.ask(_PIPELINE, send, self._redis, units)]

    def ask(self, name: str, command: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
        """What a command of the client answers. See ``ask``."""
        return ask(self._meter, name, command, *args)


def ask(meter: Meter, name: str, command: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
    """What ``command`` of redis-py answers; ``meter`` knows it by ``name``.

    Raises:
        StoreUnavailable: nothing.
    """
    began = perf_counter()
    try:
        return command(*args)
    except RedisError as error:
        meter.redis_failed(name)
        raise StoreUnavailable from error
    finally:
        meter.redis_called(name, perf_counter() - began)


def _words(answer: Any) -> list[Any]:  # noqa: ANN401
    first, *rest = answer
    return [first.decode() if isinstance(first, bytes) else first, *rest]
