"""What the scripts answer, in the domain's words."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil
from typing import Any

from otpservice.store.keys import verification_id
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
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.ports import (
    AttemptReservation,
    PhoneState,
    SendReservation,
    Status,
    Verification,
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
            token, left, lock = facts
            error: OtpServiceError = WrongCode(verification_id(tag, token), left, locked_for(lock))
        case "destination_blocked":
            error = DestinationBlocked()
        case "phone_locked":
            error = PhoneLocked(locked_for(facts[0]))
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


def sent(
    tag: str, send_id: str, facts: Sequence[Any], taken: tuple[Any, ...]
) -> tuple[SendReservation, bool]:
    """A reserved SMS, and whether the phone's quota would have refused it."""
    token, expires_at, resend_at, attempts_left, sends_left, over, hosted = facts
    reservation = SendReservation(
        id=verification_id(tag, token),
        send_id=send_id,
        expires_at=time(expires_at),
        resend_at=time(resend_at),
        attempts_left=attempts_left,
        sends_left=count(sends_left),
        hosted=bool(hosted),
        taken=taken,
    )
    return reservation, bool(over)


def asked(
    tag: str, attempt_id: str, facts: Sequence[Any], taken: tuple[Any, ...]
) -> AttemptReservation:
    """A counted guess that is to be asked about."""
    token, phone, purpose, route, unknown, sent_at, compared, lock = facts
    return AttemptReservation(
        id=verification_id(tag, token),
        attempt_id=attempt_id,
        phone=PhoneNumber(text(phone)),
        purpose=text(purpose),
        route=text(route),
        previous_unknown=bool(unknown),
        compared=bool(compared),
        sent_at=sent_at,
        locked_for=locked_for(lock),
        taken=taken,
    )


def right(tag: str, attempt_id: str, facts: Sequence[Any]) -> AttemptReservation:
    """A guess at a code of ours that was right."""
    token, phone, purpose, approved_at, sent_at = facts
    return AttemptReservation(
        id=verification_id(tag, token),
        attempt_id=attempt_id,
        phone=PhoneNumber(text(phone)),
        purpose=text(purpose),
        route="",
        previous_unknown=False,
        sent_at=sent_at,
        approved_at=time(approved_at),
    )


def verification(id: str, facts: Sequence[Any]) -> Verification:
    """What is held about a verification."""
    status, purpose, phone, expires_at, resend_at, attempts_left, approved_at, *rest = facts
    sends_left, route, message_id, delivery, delivery_age = rest
    return Verification(
        id=id,
        status=Status(text(status)),
        purpose=text(purpose),
        phone=PhoneNumber(text(phone)),
        expires_at=time(expires_at),
        resend_at=time(resend_at),
        attempts_left=attempts_left,
        sends_left=count(sends_left),
        approved_at=time(approved_at) if approved_at else None,
        route=text(route),
        message_id=text(message_id),
        delivery=text(delivery),
        delivery_age=delivery_age / 1000,
    )


def phone_state(tag: str, facts: Sequence[Any]) -> PhoneState:
    """What is held about a phone."""
    locked, failures, in_all, sends_left, *latest = facts
    return PhoneState(
        locked_for=locked_for(locked),
        failures=failures,
        failures_in_all=in_all,
        sends_left=count(sends_left),
        verifications=tuple(
            (verification_id(tag, token), text(app), text(purpose), Status(text(status)))
            for token, app, purpose, status in latest
        ),
    )


def text(value: bytes | str) -> str:
    """A word of a script's answer."""
    return value.decode() if isinstance(value, bytes) else value


def time(milliseconds: int) -> datetime:
    """A time of a script's answer."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def count(number: int) -> int | None:
    """What is left of a limit; the scripts say -1 where there is none."""
    return None if number < 0 else number


def locked_for(milliseconds: int) -> int | None:
    """The seconds of a lock; None until it is lifted by hand, for which the scripts say -1."""
    return None if milliseconds < 0 else seconds(milliseconds)


def seconds(milliseconds: int) -> int:
    """Whole seconds to wait, never too few."""
    return ceil(milliseconds / 1000)
