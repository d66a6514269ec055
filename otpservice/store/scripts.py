"""Lua scripts, several in one round trip."""

import logging
import re
from collections.abc import Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from time import perf_counter
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, RedisError

from otpservice.store.client import Client, find_primary, send
from otpservice.store.cluster import Command, Unit
from otpservice.telemetry.metrics import REDIS_ERRORS
from otpservice.telemetry.waits import note_redis_call
from otpservice.verification.errors import StoreUnavailable

log = logging.getLogger(__name__)

# Names of calls in the metrics.
_PIPELINE = "pipeline"
_WAIT = "wait"

# Milliseconds; well below the client's own timeout, so that Redis answers before the client gives
# up. On one network a replica has a write in under a millisecond.
_REPLICATED_WITHIN = 100

_LUA = files("otpservice.store") / "lua"

# Replies that mean the script changed state.
_DECIDED = frozenset({"ok", "right", "wrong_code", "yes"})


class Call(NamedTuple):
    """One script to run: its file's name, its keys (all of one hash tag) and its arguments."""

    script: str
    keys: Sequence[str]
    args: Sequence[Any]


class TooFewReplicas(StoreUnavailable):
    """A script ran, but fewer replicas than required have its writes: a failover may undo them.

    ``answer`` is the script's.
    """

    def __init__(self, answer: Sequence[Any]) -> None:
        super().__init__()
        self.answer = answer


class Scripts:
    """The scripts of ``lua/``; threads may share it.

    Args:
        redis: a client that decodes nothing.
        clock_offset: milliseconds added to the server's clock; for tests of what time does.
        replicas: how many must have the writes of a replicated run.
    """

    def __init__(self, redis: Client, *, clock_offset: int = 0, replicas: int = 0) -> None:
        self._redis = redis
        self._replicas = replicas
        self.clock_offset = clock_offset

    def run(
        self, calls: Sequence[Call], followups: Sequence[Call] = (), *, replicated: bool = False
    ) -> list[list[Any]]:
        """Run scripts in their order, in one round trip; their keys may be of different tags.

        Args:
            calls: the scripts that must run.
            followups: scripts to run after them whose failure must not undo them.
            replicated: wait until as many replicas as configured have the writes of ``calls``; then
                the follow-ups take a round trip of their own.

        Returns:
            The answers to the calls, then to the follow-ups. An answer begins with a word that says
            how it went; ``["lost"]`` stands for that of a follow-up that failed.

        Raises:
            StoreUnavailable: Redis did not answer all calls; any script may have run.
            TooFewReplicas: the calls ran but too few replicas confirmed; no follow-up ran.
        """
        if replicated and self._replicas:
            replicated_answers = self._run_replicated(calls)
            return [*replicated_answers, *map(_words_or_lost, self._answers((), followups))]
        answers = self._answers(calls, followups)
        count = len(calls)
        return [*map(_words, answers[:count]), *map(_words_or_lost, answers[count:])]

    def _run_replicated(self, calls: Sequence[Call]) -> list[list[Any]]:
        wait = ("WAIT", self._replicas, _REPLICATED_WITHIN)
        held = []
        for answer, copies in self._exchange(_name(calls), calls, wait):
            words = _words(answer)
            _raise_if_error(copies)
            if words[0] in _DECIDED and copies < self._replicas:
                REDIS_ERRORS.labels(_WAIT).inc()
                find_primary(self._redis)
                raise TooFewReplicas(words)
            held.append(words)
        return held

    def _answers(self, calls: Sequence[Call], followups: Sequence[Call]) -> list[Any]:
        together = [*calls, *followups]
        return [answer for (answer,) in self._exchange(_name(calls or followups), together)]

    def _exchange(self, name: str, calls: Sequence[Call], *after: Command) -> list[list[Any]]:
        """Send each call, and ``after`` on the same connection; the answers may be errors."""
        if not calls:
            return []
        answers = self._trip(name, [[self._by_digest(call), *after] for call in calls])
        unknown = [n for n, (answer, *_) in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:  # the first time on this server; they have not run
            again = self._trip(name, [[self._in_full(calls[n]), *after] for n in unknown])
            for n, answer in zip(unknown, again, strict=True):
                answers[n] = answer
        return answers

    def _trip(self, name: str, units: Sequence[Unit]) -> list[list[Any]]:
        began = perf_counter()
        try:
            answers = send(self._redis, units)
        except RedisError as error:
            answers = [[error] * len(unit) for unit in units]
        note_redis_call(name, perf_counter() - began)
        if any(map(_is_failure, (answer for unit in answers for answer in unit))):
            REDIS_ERRORS.labels(name).inc()
        return answers

    def _by_digest(self, call: Call) -> Command:
        script, keys, args = call
        return "EVALSHA", _digests()[script], len(keys), *keys, self.clock_offset, *args

    def _in_full(self, call: Call) -> Command:
        """The same by its text, which the server then knows by its digest."""
        _, _, *rest = self._by_digest(call)
        return "EVAL", script_texts()[call.script], *rest


def _with_needs(own: str) -> str:
    """A script with the files of ``lua/lib/`` before it that its line ``-- Needs:`` names."""
    needs = re.search(r"^-- Needs: (.+)$", own, re.MULTILINE)
    names = needs[1].split(", ") if needs else []
    return "".join([*((_LUA / "lib" / f"{name}.lua").read_text() for name in names), own])


@cache
def script_texts() -> dict[str, str]:
    """Every script by its name, as Redis gets it."""
    return {
        file.name.removesuffix(".lua"): _with_needs(file.read_text())
        for file in _LUA.iterdir()
        if file.name.endswith(".lua")
    }


@cache
def _digests() -> dict[str, str]:
    return {
        name: sha1(text.encode(), usedforsecurity=False).hexdigest()
        for name, text in script_texts().items()
    }


def _name(calls: Sequence[Call]) -> str:
    """What the metrics call their round trip."""
    return calls[0].script if len(calls) == 1 else _PIPELINE


def _is_failure(answer: Any) -> bool:  # noqa: ANN401 - redis-py's, as all answers
    return isinstance(answer, RedisError) and not isinstance(answer, NoScriptError)


def _raise_if_error(answer: Any) -> None:  # noqa: ANN401
    if isinstance(answer, RedisError):
        raise StoreUnavailable from answer


def _words(answer: Any) -> list[Any]:  # noqa: ANN401
    _raise_if_error(answer)
    first, *rest = answer
    return [first.decode() if isinstance(first, bytes) else first, *rest]


def _words_or_lost(answer: Any) -> list[Any]:  # noqa: ANN401
    try:
        return _words(answer)
    except StoreUnavailable:
        log.exception("script_lost")
        return ["lost"]
