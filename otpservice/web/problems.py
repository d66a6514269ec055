"""What a caller sees of every error: one table from exceptions to codes, statuses and advice."""

from collections.abc import Mapping
from dataclasses import dataclass

from otpservice.verification import errors
from otpservice.verification.idempotency import IdempotencyInProgress, IdempotencyMismatch
from otpservice.web.requests import (
    Forbidden,
    InvalidRequest,
    Overloaded,
    RateLimited,
    Stopping,
    Unauthorized,
)


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
