"""Calls with an Idempotency-Key, on Redis or Valkey: each step is one Lua script."""

from collections.abc import Sequence
from math import ceil
from typing import Any

from otpservice.store.scripts import Call, Scripts
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


class RedisIdempotency:
    """Implements ``otpservice.verification.idempotency.IdempotencyStore``.

    Nothing of a call stands in Redis but keyed digests, its status and its verification's id.

    Args:
        scripts: runs the scripts.
        secrets: one or two keys of at least 32 bytes, newest first; what began under the older
            is still found.
        lease: seconds after which a call that neither finished nor was released runs as new.
    """

    def __init__(self, scripts: Scripts, secrets: Sequence[bytes], *, lease: float) -> None:
        self._scripts = scripts
        # One each: a call is compared under the secret it began under.
        self._newest, *self._older = [Digester([secret]) for secret in secrets]
        self._lease = int(lease * 1000)

    def begin(self, call: KeyedCall, token: str) -> Claim | Finished:
        """Claim a new call, or say how it came out, or raise."""
        place, fingerprint = self._where(call)
        result, *facts = self._run("begin", place, [fingerprint, token, self._lease])
        match result:
            case "claimed":
                return Claim(place, token)
            case "finished":
                status, id = facts
                return Finished(int(status), id.decode())
            case "in_progress":
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
            ((_, held),) = self._scripts.run([Call("exists", [place], [])])
            if held:
                return place, fingerprint
        return _digests(self._newest, call)

    def _run(self, step: str, place: str, args: Sequence[Any]) -> list[Any]:
        (answer,) = self._scripts.run([Call(f"idempotency_{step}", [place], args)])
        return answer


def _digests(digester: Digester, call: KeyedCall) -> tuple[str, str]:
    """Where a call stands, and its fingerprint, which says nothing of calls with equal bodies."""
    name = digester.bucket("idempotency", call.name)
    return f"otp:{{{name[:4]}}}:i:{name}", digester.bucket("body", f"{name}:{call.body}")
