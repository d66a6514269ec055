"""The Idempotency-Key header: a call that spent something is answered again, not done again.

After draft-ietf-httpapi-idempotency-key-header-07, which has the key in quotes; bare ones are
taken as well, for most callers send them so.
"""

import logging
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec

from flask import Flask, Response, request

from otpservice.verification.errors import OutcomeUnknown, StoreUnavailable, WrongCode
from otpservice.verification.idempotency import Claim, Finished, IdempotencyStore, KeyedCall
from otpservice.web.context import caller, current_context
from otpservice.web.problems import PROBLEMS
from otpservice.web.requests import InvalidRequest

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"

P = ParamSpec("P")

_LONGEST = 255
_BARE = re.compile(r"[!#-~][!-~]*\Z")
_QUOTED = re.compile(r'"((?:[!#-\[\]-~]|\\["\\])*)"\Z')  # RFC 9651 3.3.3, without spaces

# The errors that mean a guess was counted. All others gave back whatever they took.
_SPENT = (WrongCode, OutcomeUnknown)


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx, and the ``id`` of the verification it is about."""

    response: Response
    id: str


class Idempotency:
    """Does what requests ask for once per Idempotency-Key of an app and a path.

    Args:
        app: the Flask application; repeated answers are marked.
        store: remembers the calls.
    """

    def __init__(self, app: Flask, store: IdempotencyStore) -> None:
        self._store = store
        app.after_request(_mark_replayed)

    def require_key(self) -> None:
        """Refuse a header that is not a key, where the call is not to be remembered.

        Raises:
            InvalidRequest: the header is there and is not a key.
        """
        if (header := request.headers.get(HEADER)) is not None:
            read_key(header)

    def once(
        self, replay: Callable[Concatenate[Finished, P], Response]
    ) -> Callable[[Callable[P, Answer]], Callable[Concatenate[Mapping[str, Any], P], Response]]:
        """Decorate a function that returns an ``Answer`` or raises: it runs once per key.

        The decorated function takes the parsed body before its own arguments: calls with one key
        must have equal bodies.

        Args:
            replay: called instead, with the outcome of the first call, if there was one; builds
                the answer that had this status and was about this verification again, or raises
                the error it was. What has that status is marked.

        Raises:
            InvalidRequest: the header is not a key.
            IdempotencyInProgress, IdempotencyMismatch, StoreUnavailable: nothing was done.
        """

        def decorate(act: Callable[P, Answer]) -> Callable[..., Response]:
            @wraps(act)
            def run(fields: Mapping[str, Any], *args: P.args, **kwargs: P.kwargs) -> Response:
                header = request.headers.get(HEADER)
                if header is None:
                    return act(*args, **kwargs).response
                call = KeyedCall(caller().name, request.path, read_key(header), fields)
                begun = self._store.begin(call, secrets.token_hex(8))
                if isinstance(begun, Finished):
                    current_context().replayed = begun
                    return replay(begun, *args, **kwargs)
                return self._act(begun, partial(act, *args, **kwargs))

            return run

        return decorate

    def _act(self, claim: Claim, act: Callable[[], Answer]) -> Response:
        try:
            answer = act()
        except _SPENT as error:
            status = next(PROBLEMS[kind].status for kind in _SPENT if isinstance(error, kind))
            self._finish(claim, Finished(status, error.id or ""))
            raise
        except Exception:
            self._release(claim)
            raise
        self._finish(claim, Finished(answer.response.status_code, answer.id))
        return answer.response

    def _finish(self, claim: Claim, finished: Finished) -> None:
        """Keep how it came out; without the store the answer goes out all the same."""
        try:
            self._store.finish(claim, finished)
        except StoreUnavailable:
            log.exception("idempotency_not_finished", extra={"id": finished.id})

    def _release(self, claim: Claim) -> None:
        """Free the key; without the store it is free when its lease ends."""
        try:
            self._store.release(claim)
        except StoreUnavailable:
            log.exception("idempotency_not_released")


def read_key(header: str) -> str:
    r"""The key a header holds: ``abc`` and ``"abc"`` are one; in quotes ``\`` is before " and \.

    Two headers arrive joined by a comma. Quoted ones are then refused. Bare ones look like one key
    with a comma in it, which is the same key when both are sent again.

    Raises:
        InvalidRequest: not 1 to 255 visible ASCII characters, or quotes that do not fit.
    """
    spelled = header.strip(" \t")
    if quoted := _QUOTED.match(spelled):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    else:
        key = spelled if _BARE.match(spelled) else ""
    if not 1 <= len(key) <= _LONGEST:
        rule = f"Must be 1 to {_LONGEST} visible ASCII characters, bare or in double quotes."
        raise InvalidRequest(errors={HEADER: [rule]})
    return key


def _mark_replayed(response: Response) -> Response:
    """Say that an answer was given before; one that could not be built again was not."""
    finished = current_context().replayed
    if finished is not None and response.status_code == finished.status:
        response.headers[REPLAYED] = "true"
    return response
