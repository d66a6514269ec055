"""What a caller sees of every error: one table, and RFC 9457 problem+json for all of them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, jsonify
from limits.errors import StorageError
from werkzeug.exceptions import HTTPException

from otpservice.verification import errors
from otpservice.verification.idempotency import IdempotencyInProgress, IdempotencyMismatch
from otpservice.web.context import current_context
from otpservice.web.requests import (
    Forbidden,
    InvalidRequest,
    Overloaded,
    RateLimited,
    Stopping,
    Unauthorized,
)

log = logging.getLogger(__name__)

RETRY_STORE = 1  # seconds; Redis is back within seconds or somebody is called
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of the table: an error's code, its HTTP status, and what to do about it."""

    code: str
    status: int
    title: str
    detail: str


INTERNAL_ERROR = Problem(
    "internal_error", 500, "Internal error", "This is a bug. Quote the request_id to the operator."
)

PROBLEMS: Mapping[type[Exception], Problem] = {
    InvalidRequest: Problem(
        "invalid_request", 400, "Invalid request", "See errors for what to correct."
    ),
    errors.InvalidCode: Problem(
        "invalid_request", 400, "Invalid request", "code is 4 to 9 digits, as a string."
    ),
    errors.InvalidPhone: Problem("invalid_phone", 400, "Invalid phone number", ""),
    Unauthorized: Problem(
        "unauthorized",
        401,
        "Unauthorized",
        "Send a valid API key: Authorization: Bearer KEY, or X-API-Key: KEY.",
    ),
    Forbidden: Problem("forbidden", 403, "Forbidden", ""),
    errors.DestinationBlocked: Problem(
        "destination_blocked",
        403,
        "Destination blocked",
        "Nothing may be sent to this number: its country, its operator or its holder excludes it.",
    ),
    errors.NotFound: Problem(
        "not_found", 404, "Not found", "There is no such verification: ask for a new code."
    ),
    errors.AlreadyConfirmed: Problem(
        "already_confirmed",
        409,
        "Already confirmed",
        "This verification was approved before, and is only once.",
    ),
    errors.Canceled: Problem(
        "canceled", 409, "Canceled", "This verification was canceled: ask for a new code."
    ),
    errors.PurposeConflict: Problem(
        "purpose_conflict",
        409,
        "Another code is pending",
        "A code of another app or purpose may still be valid on this phone: try again later.",
    ),
    errors.Expired: Problem("expired", 410, "Expired", "The code is too old: ask for a new one."),
    IdempotencyInProgress: Problem(
        "idempotency_in_progress",
        409,
        "Still in progress",
        "The first request with this Idempotency-Key is still running: wait for its answer.",
    ),
    IdempotencyMismatch: Problem(
        "idempotency_mismatch",
        422,
        "Another request had this key",
        "This Idempotency-Key was used with another body: take a new key for a new request.",
    ),
    errors.WrongCode: Problem("wrong_code", 422, "Wrong code", "The code is not right."),
    errors.AttemptsExhausted: Problem(
        "attempts_exhausted",
        429,
        "No attempts left",
        "Too many wrong codes for this verification: ask for a new code.",
    ),
    errors.PhoneLocked: Problem(
        "phone_locked",
        429,
        "Phone locked",
        "Too many wrong codes in a row for this phone: wait, or have it unlocked.",
    ),
    errors.ResendTooSoon: Problem(
        "resend_too_soon", 429, "Too soon", "A code was sent a moment ago: wait for it."
    ),
    RateLimited: Problem("rate_limited", 429, "Too many requests", "Slow down."),
    errors.QuotaExceeded: Problem(
        "quota_exceeded", 429, "Quota exceeded", "As many SMS as allowed were sent: wait."
    ),
    errors.BudgetExhausted: Problem(
        "budget_exhausted",
        429,
        "Budget exhausted",
        "The SMS of this UTC day are spent: try again tomorrow, or have the budget raised.",
    ),
    errors.ProviderRejected: Problem(
        "provider_rejected",
        502,
        "Refused by the SMS provider",
        "Nothing was done and nothing counted. The operator has to look at it.",
    ),
    errors.ProviderUnavailable: Problem(
        "provider_unavailable",
        503,
        "SMS provider unavailable",
        "Nothing was done and nothing counted: try again.",
    ),
    # No code of its own: probes look at the status, and to everybody else this says what to do.
    Stopping: Problem(
        "overloaded", 503, "Stopping", "This instance was told to stop: ask another one."
    ),
    Overloaded: Problem(
        "overloaded", 503, "Overloaded", "Too many requests at once: try again in a moment."
    ),
    errors.SendingDisabled: Problem(
        "sending_disabled", 503, "Sending is off", "The operator has turned sending off."
    ),
    errors.StoreUnavailable: Problem(
        "store_unavailable",
        503,
        "Store unavailable",
        "Nothing was sent and nothing confirmed: try again in a moment.",
    ),
    errors.OutcomeUnknown: Problem(
        "outcome_unknown",
        504,
        "Outcome unknown",
        "The provider's answer was lost and the attempt stays counted: try the code again, "
        "or ask for a new one.",
    ),
}

HTTP_PROBLEMS: Mapping[int, Problem] = {
    400: PROBLEMS[InvalidRequest],
    404: Problem("not_found", 404, "Not found", "There is nothing at this address."),
    405: Problem(
        "method_not_allowed", 405, "Method not allowed", "See the Allow header for what is."
    ),
    408: Problem(
        "request_timeout", 408, "Request timeout", "The body did not come whole within 10 seconds."
    ),
    413: Problem("payload_too_large", 413, "Payload too large", "A body has at most 4 KiB."),
    415: Problem(
        "unsupported_media_type",
        415,
        "Unsupported media type",
        "Send application/json or application/x-www-form-urlencoded.",
    ),
}


@dataclass(slots=True)
class _Answer:
    """What one error adds to its row of the table."""

    members: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def register_errors(app: Flask) -> None:
    """Answer every error of ``app``, Flask's own included, as problem+json."""
    for error in PROBLEMS:
        app.register_error_handler(error, _answer_known)
    app.register_error_handler(StorageError, _answer_storage)
    app.register_error_handler(HTTPException, _answer_http)
    app.register_error_handler(Exception, _answer_unforeseen)


def _answer_known(error: Exception) -> Response:
    problem = next(PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS)
    answer = _facts(error)
    context = current_context()
    context.error, context.limit = error, _limit(error)
    if isinstance(error, errors.StoreUnavailable):
        # Without a traceback: it would be the same for all, and half of what answering costs.
        log.error("store_unavailable", extra={"reason": _root(error)})
    return problem_response(problem, answer.members, answer.headers)


def _root(error: BaseException) -> str:
    """What began it: ``TimeoutError: Timeout reading from 10.0.0.7:6379``."""
    while error.__cause__:
        error = error.__cause__
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def _answer_storage(error: StorageError) -> Response:
    """The door's limits could not be counted: closed, not open."""
    unavailable = errors.StoreUnavailable()
    unavailable.__cause__ = error
    return _answer_known(unavailable)


def _answer_http(error: HTTPException) -> Response:
    status = error.code or _SERVER_ERROR
    problem = HTTP_PROBLEMS.get(status)
    if problem is None and status >= _SERVER_ERROR:
        return _answer_unforeseen(error)
    if problem is None:
        problem = Problem("invalid_request", status, error.name, error.description or "")
    kept = ("Allow", "Retry-After")
    headers = {name: value for name, value in error.get_headers() if name in kept}
    return problem_response(problem, {}, headers)


def _answer_unforeseen(error: Exception) -> Response:
    log.error("unforeseen_error", exc_info=error)
    return problem_response(INTERNAL_ERROR, {}, {})


def _facts(error: Exception) -> _Answer:
    """The facts an error carries, as members and headers of its answer."""
    answer = _Answer()
    if isinstance(error, (InvalidRequest, Forbidden, errors.InvalidPhone)) and error.reason:
        answer.members["detail"] = error.reason
    if isinstance(error, InvalidRequest) and error.errors:
        answer.members["errors"] = error.errors
    if isinstance(error, errors.InvalidPhone):
        answer.members["errors"] = {"phone": [error.reason]}
    if isinstance(error, errors.WrongCode):
        answer.members["attempts_left"] = error.attempts_left
    if isinstance(error, Unauthorized):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="otpservice"'
    if isinstance(error, errors.StoreUnavailable) and error.down:
        answer.members["down"] = error.down
    if identity := getattr(error, "id", None):
        answer.members["id"] = identity
    _add_limit(error, answer)
    _add_wait(error, answer)
    return answer


def _limit(error: Exception) -> str | None:
    """The name of the limit that refused, if one did: one of a handful, for log and metrics."""
    match error:
        case RateLimited():
            return error.limit
        case errors.QuotaExceeded():
            return error.quota
        case errors.BudgetExhausted():
            return error.scope
        case errors.PhoneLocked():
            return "until_unlocked" if error.retry_after is None else "for_a_while"
        case errors.ResendTooSoon():
            return "cooldown"
        case _:
            return None


def _add_limit(error: Exception, answer: _Answer) -> None:
    """``RateLimit`` and ``RateLimit-Policy`` of draft-ietf-httpapi-ratelimit-headers-10."""
    if isinstance(error, RateLimited):
        kind, name = "limit", error.limit
    elif isinstance(error, errors.QuotaExceeded):
        kind, name = "quota", error.quota
    else:
        return
    answer.members[kind] = name
    answer.headers["RateLimit-Policy"] = f'"{name}";q={error.amount};w={error.window}'
    answer.headers["RateLimit"] = f'"{name}";r=0;t={error.retry_after}'


def _add_wait(error: Exception, answer: _Answer) -> None:
    """``Retry-After`` in seconds, wherever waiting helps."""
    seconds = getattr(error, "retry_after", None)
    if isinstance(error, errors.StoreUnavailable):
        seconds = RETRY_STORE
    elif isinstance(error, errors.SendingDisabled):
        seconds = 60
    if seconds is not None:
        answer.members["retry_after"] = seconds
        answer.headers["Retry-After"] = str(seconds)


def problem_response(
    problem: Problem, members: Mapping[str, Any], headers: Mapping[str, str]
) -> Response:
    """One answer of media type ``application/problem+json``."""
    context = current_context()
    context.outcome = problem.code
    body = {
        "type": f"urn:otpservice:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": context.request_id,
        **members,
    }
    response = jsonify(body)
    response.status_code = problem.status
    response.mimetype = "application/problem+json"
    response.headers.update(headers)
    return response
