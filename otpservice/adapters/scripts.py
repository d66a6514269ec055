"""Lua scripts, run one by one or several in one round trip."""

import logging
from collections.abc import Callable, Sequence
from importlib.resources import files
from time import perf_counter
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from otpservice.meter import NO_METER, Meter
from otpservice.verification.errors import StoreUnavailable

_PIPELINE = "pipeline"

log = logging.getLogger(__name__)


class Call(NamedTuple):
    """One script to run: its file's name, its keys (all of one hash tag) and its arguments."""

    script: str
    keys: Sequence[str]
    args: Sequence[Any]


class Scripts:
    """The scripts of ``lua/``, each with ``common.lua`` before it.

    Args:
        redis: a client that decodes nothing and retries nothing: a script that timed out may have
            run, and running it again under another id would count twice.
        clock_offset: milliseconds added to the server's clock; for tests of what time does.
        meter: told of every call.
    """

    def __init__(self, redis: Redis, *, clock_offset: int = 0, meter: Meter = NO_METER) -> None:
        self._redis = redis
        self._meter = meter
        self.clock_offset = clock_offset
        lua = files("otpservice.adapters") / "lua"
        common = (lua / "common.lua").read_text()
        self._scripts = {
            file.name.removesuffix(".lua"): redis.register_script(common + file.read_text())
            for file in lua.iterdir()
            if file.name.endswith(".lua") and file.name != "common.lua"
        }

    def run(self, call: Call) -> list[Any]:
        """Run one script; what it answers starts with a word that says how it went.

        Raises:
            StoreUnavailable: Redis did not answer; the script may or may not have run.
        """
        arguments = [self.clock_offset, *call.args]
        return _words(self.ask(call.script, self._scripts[call.script], call.keys, arguments))

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

    def _told_or_lost(self, answer: Any) -> list[Any]:  # noqa: ANN401
        try:
            return self._told(answer)
        except StoreUnavailable:
            log.exception("script_lost")
            return ["lost"]

    def _answers(self, calls: Sequence[Call]) -> list[Any]:
        """What a pipeline of them answers, errors included."""
        answers = self._pipeline(calls)
        missing = [n for n, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        for n in missing:  # the first time on this server; they were not run
            script, keys, args = calls[n]
            answers[n] = self.ask(script, self._scripts[script], keys, [self.clock_offset, *args])
        return answers

    def _told(self, answer: Any) -> list[Any]:  # noqa: ANN401
        if isinstance(answer, RedisError):
            self._meter.redis_failed(_PIPELINE)
            raise StoreUnavailable from answer
        return _words(answer)

    def _pipeline(self, calls: Sequence[Call]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for script, keys, args in calls:
            pipeline.execute_command(  # type: ignore[no-untyped-call]
                "EVALSHA",
                self._scripts[script].sha,
                len(keys),
                *keys,
                self.clock_offset,
                *args,
            )
        answers: list[Any] = self.ask(_PIPELINE, pipeline.execute, False)
        return answers

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
