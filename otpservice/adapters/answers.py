"""What the scripts answer, in the domain's words."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any

from otpservice.adapters.keys import verification_id
from otpservice.verification.errors import (
    AlreadyConfirmed,
    AttemptsExhausted,
    Canceled,
    DestinationBlocked,
    Expired,
    NotFound,
    OtpServiceError,
    PhoneLocked,
    PurposeConflict,
    QuotaExceeded,
    ResendTooSoon,
    WrongCode,
)

STATE_ERRORS: dict[str, type[AlreadyConfirmed | Canceled | Expired | AttemptsExhausted]] = {
    "approved": AlreadyConfirmed,
    "canceled": Canceled,
    "expired": Expired,
    "attempts_exhausted": AttemptsExhausted,
}


def refusal(result: str, facts: Sequence[Any], tag: str) -> OtpServiceError:
    """The error for a script's answer other than "ok"."""
    if result in STATE_ERRORS:
        return STATE_ERRORS[result](verification_id(tag, facts[0]))
    match result:
        case "wrong_code":
            error: OtpServiceError = WrongCode(verification_id(tag, facts[0]), facts[1])
        case "destination_blocked":
            error = DestinationBlocked()
        case "phone_locked":
            error = PhoneLocked(None if facts[0] < 0 else seconds(facts[0]))
        case "resend_too_soon":
            error = ResendTooSoon(seconds(facts[0]), verification_id(tag, facts[1]))
        case "quota_exceeded":
            amount, window, wait = facts
            error = QuotaExceeded("phone", amount, window // 1000, seconds(wait))
        case "purpose_conflict":
            error = PurposeConflict(seconds(facts[0]))
        case _:
            error = NotFound()
    return error


def text(value: bytes | str) -> str:
    """A word of a script's answer."""
    return value.decode() if isinstance(value, bytes) else value


def time(milliseconds: int) -> datetime:
    """A time of a script's answer."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def count(number: int) -> int | None:
    """What is left of a limit; the scripts say -1 where there is none."""
    return None if number < 0 else number


def seconds(milliseconds: int) -> int:
    """Whole seconds to wait, never too few."""
    return ceil(milliseconds / 1000)
