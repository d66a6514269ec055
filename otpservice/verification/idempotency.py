"""The same call once: what a caller's Idempotency-Key needs from outside.

A caller whose connection broke cannot know whether its call was done. It names the call with a
key of its own and asks again; what spent an SMS or a guess is then answered again, not done again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from otpservice.verification.errors import OtpServiceError


class IdempotencyInProgress(OtpServiceError):
    """The first call with this key is still running.

    ``retry_after`` is the seconds, 1 or more, after which the key is free if its worker died.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class IdempotencyMismatch(OtpServiceError):
    """The key was used before, for something else."""


@dataclass(frozen=True, slots=True)
class KeyedCall:
    """One call as its caller names and words it.

    Attributes:
        app: who calls.
        endpoint: what for; a key means nothing to another app or endpoint.
        key: the caller's name for the call.
        fields: what is asked; JSON values by name.
    """

    app: str
    endpoint: str
    key: str = field(repr=False)
    fields: Mapping[str, object] = field(repr=False)

    @property
    def name(self) -> str:
        """App, endpoint and key as one text that no other three share."""
        return json.dumps([self.app, self.endpoint, self.key])

    @property
    def body(self) -> str:
        """The fields as canonical JSON: neither their order nor their spacing matters."""
        return json.dumps(self.fields, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run a call, until its lease ends.

    Attributes:
        place: where the store keeps it.
        token: tells it from any other claim to that place.
    """

    place: str
    token: str


@dataclass(frozen=True, slots=True)
class Finished:
    """How a call came out, in what little is kept of it.

    Attributes:
        status: the HTTP status of its answer.
        id: of the verification it was about.
    """

    status: int
    id: str


class IdempotencyStore(Protocol):
    """The calls that have a key, exact under any concurrency.

    Each method may be called a second time with the same token without doing more. All raise
    ``StoreUnavailable`` when the store cannot be reached; the step may then have happened.
    """

    def begin(self, call: KeyedCall, token: str) -> Claim | Finished:
        """Claim a call that is new, for as long as a lease lasts, or say how it came out.

        Raises:
            IdempotencyInProgress: somebody else's claim holds.
            IdempotencyMismatch: the call's key stands for other fields.
        """

    def finish(self, claim: Claim, finished: Finished) -> None:
        """Keep how the call came out for 24 hours; nothing if the claim holds no longer."""

    def release(self, claim: Claim) -> None:
        """Make the call new again; nothing if the claim holds no longer."""
