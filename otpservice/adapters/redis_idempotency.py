"""Calls with an Idempotency-Key, on Redis or Valkey: each step is one Lua script."""

from collections.abc import Sequence
from importlib.resources import files
from math import ceil
from typing import Any

from otpservice.adapters.redis_client import Client
from otpservice.adapters.scripts import ask
from otpservice.meter import NO_METER, Meter
from otpservice.verification.digest import Digester
from otpservice.verification.idempotency import (
    Claim,
    Finished,
    IdempotencyInProgress,
    IdempotencyMismatch,
    KeyedCall,
)

# Milliseconds a finished call is answered again: nobody asks on for longer than a day.
_KEPT = 24 * 3_600_000

_STEPS = ("begin", "finish", "release")


class RedisIdempotency:
    """Implements ``otpservice.verification.idempotency.IdempotencyStore``.

    Nothing of a call stands in Redis but keyed digests, its status and its verification's id.

    Args:
        redis: a client that retries nothing.
        secrets: one or two keys of at least 32 bytes, newest first; what began under the older
            is still found.
        lease: seconds after which a call that neither finished nor was released runs as new.
        meter: told of every call.
    """

    def __init__(
        self, redis: Client, secrets: Sequence[bytes], *, lease: float, meter: Meter = NO_METER
    ) -> None:
        self._redis = redis
        self._meter = meter
        # One each: a call is compared under the secret it began under.
        self._newest, *self._older = [Digester([secret]) for secret in secrets]
        self._lease = int(lease * 1000)
        lua = files("otpservice.adapters") / "lua"
        self._scripts = {
            step: redis.register_script((lua / f"idempotency_{step}.lua").read_bytes())
            for step in _STEPS
        }

    def begin(self, call: KeyedCall, token: str) -> Claim | Finished:
        """Claim a new call, or say how it came out, or raise."""
        place, fingerprint = self._where(call)
        result, *facts = self._run("begin", place, [fingerprint, token, self._lease])
        match result:
            case b"claimed":
                return Claim(place, token)
            case b"finished":
                status, id = facts
                return Finished(int(status), id.decode())
            case b"in_progress":
                raise IdempotencyInProgress(max(1, ceil(facts[0] / 1000)))
            case _:
                raise IdempotencyMismatch

    def finish(self, claim: Claim, finished: Finished) -> None:
        """Keep how the call came out."""
        facts = [claim.token, finished.status, finished.id, _KEPT]
        self._run("finish", claim.place, facts)

    def release(self, claim: Claim) -> None:
        """Make the call new again."""
        self._run("release", claim.place, [claim.token])

    def _where(self, call: KeyedCall) -> tuple[str, str]:
        """The Redis key and the fingerprint of a call, under the secret it began under."""
        for digester in self._older:
            place, fingerprint = _digests(digester, call)
            if ask(self._meter, "exists", self._redis.execute_command, "EXISTS", place):
                return place, fingerprint
        return _digests(self._newest, call)

    def _run(self, step: str, place: str, args: Sequence[Any]) -> Any:  # noqa: ANN401 - redis-py's
        return ask(self._meter, f"idempotency_{step}", self._scripts[step], [place], args)


def _digests(digester: Digester, call: KeyedCall) -> tuple[str, str]:
    """Where a call stands, and its fingerprint, which says nothing of calls with equal bodies."""
    name = digester.bucket("idempotency", call.name)
    return f"otp:{{{name[:4]}}}:i:{name}", digester.bucket("body", f"{name}:{call.body}")
