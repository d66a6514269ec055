"""Answers every error as RFC 9457 problem+json, by the table of ``problems``."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, jsonify
from limits.errors import StorageError
from werkzeug.exceptions import HTTPException

from otpservice.verification import errors
from otpservice.web.context import current_context
from otpservice.web.problems import HTTP_PROBLEMS, INTERNAL_ERROR, PROBLEMS, Problem
from otpservice.web.requests import Forbidden, InvalidRequest, RateLimited, Unauthorized

log = logging.getLogger(__name__)

RETRY_STORE = 1  # seconds; a failover takes no more than a few
_SERVER_ERROR = 500


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
    """The rate limits could not be counted, so nothing is admitted."""
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
