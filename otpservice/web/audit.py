"""The audit trail: a line for each decision about a phone. docs/logs.md has every event.

A line of its own, not the request's: it is read by others and kept longer, a request may decide two
things (a wrong guess, and the lock that starts with it) or none (a repeat of what was decided), and
some decisions are no request's, such as ``otpservice unlock``.
"""

import logging

from otpservice.verification import errors
from otpservice.verification.idempotency import IdempotencyInProgress, IdempotencyMismatch
from otpservice.web.context import RequestContext
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


def log_decision(context: RequestContext, endpoint: str | None) -> None:
    """Log what a request decided, if it decided anything."""
    if context.replayed:  # decided, and logged, the first time
        return
    error = context.error
    if event := context.decision or _refusal(error, endpoint):
        log.info(event, extra=_fields(context, error))
    if isinstance(error, errors.WrongCode) and error.locked_for != 0:
        log.warning(
            "phone_locked", extra={**_fields(context, None), "locked_for": error.locked_for}
        )


def _refusal(error: Exception | None, endpoint: str | None) -> str | None:
    if isinstance(error, errors.WrongCode):
        return "wrong_code"
    if error is None or isinstance(error, _UNDECIDED):
        return None
    return _REFUSED.get(endpoint or "")


def _fields(context: RequestContext, error: Exception | None) -> dict[str, object]:
    refused = error is not None and not isinstance(error, errors.WrongCode)
    fields = {
        "app": context.app.name if context.app else None,
        "purpose": context.purpose,
        "phone_masked": context.phone,
        "id": context.id or getattr(context.error, "id", None),
        "route": context.route or None,
        "delivery": context.delivery,
        "reason": context.outcome if refused else None,
        "limit": context.limit,
        "attempts_left": getattr(error, "attempts_left", None),
    }
    return {name: value for name, value in fields.items() if value is not None}
