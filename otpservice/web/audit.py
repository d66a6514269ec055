"""The audit trail: a line for each decision about a phone. docs/logs.md has every event.

A line of its own, not the request's: it is read by others and kept longer, a request may decide two
things (a wrong guess, and the lock that starts with it) or none (a repeat of what was decided), and
some decisions are no request's, such as ``otpservice unlock``.
"""

import logging

from flask import g, request

from otpservice.verification import errors
from otpservice.verification.idempotency import IdempotencyInProgress, IdempotencyMismatch
from otpservice.web.requests import Forbidden, InvalidRequest, Overloaded, Unauthorized

log = logging.getLogger("otpservice.audit")

_REFUSED = {
    "verifications.login_code": "send_refused",
    "verifications.confirm": "guess_refused",
    "verifications.cancel": "cancel_refused",
}

# Answered before anything about a phone was decided: the request's own line tells these.
_UNDECIDED = (
    InvalidRequest,
    errors.InvalidCode,
    errors.InvalidPhone,
    Unauthorized,
    Forbidden,
    Overloaded,
    IdempotencyInProgress,
    IdempotencyMismatch,
)


def log_decision() -> None:
    """Log what the request at hand decided, if it decided anything.

    Views name a decision as ``g.decision``; an error that is answered is ``g.error``.
    """
    if "replayed" in g:  # decided, and logged, the first time
        return
    error = g.get("error")
    if event := g.get("decision") or _refusal(error):
        log.info(event, extra=_facts(error))
    if isinstance(error, errors.WrongCode) and error.locked_for != 0:
        log.warning("phone_locked", extra={**_facts(None), "locked_for": error.locked_for})


def _refusal(error: Exception | None) -> str | None:
    if isinstance(error, errors.WrongCode):
        return "wrong_code"
    if error is None or isinstance(error, _UNDECIDED):
        return None
    return _REFUSED.get(request.endpoint or "")


def _facts(error: Exception | None) -> dict[str, object]:
    refused = error is not None and not isinstance(error, errors.WrongCode)
    facts = {
        "app": g.app.name if "app" in g else None,
        "purpose": g.get("purpose"),
        "phone_masked": g.get("phone"),
        "id": g.get("id") or getattr(g.get("error"), "id", None),
        "route": g.get("route"),
        "delivery": g.get("delivery"),
        "reason": g.outcome if refused else None,
        "limit": g.get("limit"),
        "attempts_left": getattr(error, "attempts_left", None),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}
