"""What the domain needs of a store for its state."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from otpservice.verification.code import Code
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.policy import Quota


class Status(StrEnum):
    """The states of a verification."""

    PENDING = "pending"
    APPROVED = "approved"
    CANCELED = "canceled"
    EXPIRED = "expired"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    FAILED = "failed"


class SendRequest(NamedTuple):
    """One SMS somebody asks for, with all that limits it.

    Attributes:
        owner: the app and the purpose.
        phone: where to.
        hosted: it may go by a hosted route: the provider keeps the code, one per phone.
        code: the code to send if it goes by a local route; None if there is none.
        address: the end user's, as ``address_block`` groups them; None if the app did not tell.
        app_quota: SMS of this app in sliding windows.
        app_budget: SMS of this app in one UTC day; 0 is none.
        trusted: the operator vouches for the number: its block is not counted.
    """

    owner: Owner
    phone: PhoneNumber
    hosted: bool = True
    code: Code | None = None
    address: str | None = None
    app_quota: tuple[Quota, ...] = ()
    app_budget: int = 0
    trusted: bool = False


class SendReservation(NamedTuple):
    """One SMS that may now be sent, or has to be settled as not sent.

    Attributes:
        id: the verification's: ``ver_`` and 36 hex digits.
        send_id: names this SMS to ``settle_send``.
        expires_at: when the code will be too old.
        resend_at: when the next one may be asked for.
        attempts_left: guesses left on the verification.
        sends_left: SMS this phone may still get now by the tightest of its quotas, or None where
            none bounds them.
        hosted: it may go by a hosted route.
        taken: what was taken of quotas that are not the phone's; the store's own business.
    """

    id: str
    send_id: str
    expires_at: datetime
    resend_at: datetime
    attempts_left: int
    sends_left: int | None
    hosted: bool = True
    taken: tuple[Any, ...] = ()


class SendOutcome(StrEnum):
    """How a reserved SMS came out."""

    SENT = "sent"
    UNKNOWN = "unknown"  # perhaps sent: kept, and confirmable
    GIVEN_BACK = "back"  # definitely not sent


class Sending(NamedTuple):
    """By which route an SMS went, and what became of it.

    Attributes:
        outcome: sent, perhaps sent, or definitely not.
        route: name of the route; empty if none sent.
        hosted: the route's provider made the code.
        message_id: the provider's name for the SMS, if the code was ours and it gave one.
    """

    outcome: SendOutcome
    route: str = ""
    hosted: bool = False
    message_id: str = ""


GIVEN_BACK = Sending(SendOutcome.GIVEN_BACK)


@dataclass(frozen=True, slots=True)
class AttemptReservation:
    """One guess that has been counted and may now be asked about, unless it is decided.

    Attributes:
        id: the verification's.
        attempt_id: names this guess to ``settle_attempt``.
        phone: whom the code was sent to.
        purpose: the verification's.
        route: name of the route that sent last; empty if that send was never settled.
        previous_unknown: the outcome of the guess before it was lost.
        compared: it was compared with a code of ours, and is none, so it must stay counted.
        sent_at: when the SMS sent last was reserved, in milliseconds of the store's clock; 0 if
            that is not known any more.
        approved_at: when it was approved, if the code is one of ours; else it is to be asked.
        locked_for: of the lock it started, as in ``errors.WrongCode``; a yes lifts it again.
        taken: what was taken of quotas that are not the phone's; the store's own business.
    """

    id: str
    attempt_id: str
    phone: PhoneNumber
    purpose: str
    route: str
    previous_unknown: bool
    compared: bool = False
    sent_at: int = 0
    approved_at: datetime | None = None
    locked_for: int | None = 0
    taken: tuple[Any, ...] = ()


class AttemptOutcome(StrEnum):
    """How a counted guess came out, if not well."""

    NO = "no"
    GIVEN_BACK = "back"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verification:
    """What is held about one verification.

    Attributes:
        route: name of the route that sent last.
        message_id: the provider's name for that SMS; empty where it gave none.
        delivery: the provider's last word about it; empty if it was not asked.
        delivery_age: seconds since it was asked.
    """

    id: str
    status: Status
    purpose: str
    phone: PhoneNumber
    expires_at: datetime
    resend_at: datetime
    attempts_left: int
    sends_left: int | None = None
    approved_at: datetime | None = None
    route: str = ""
    message_id: str = ""
    delivery: str = ""
    delivery_age: float = 0


@dataclass(frozen=True, slots=True)
class PhoneState:
    """What is held about one phone, for support.

    Attributes:
        locked_for: seconds; 0 not locked, None until it is unlocked by hand.
        failures: in a row, since the last success or 30 days without one.
        failures_in_all: in a row, since the last success.
        sends_left: SMS it may still get now, or None where no quota bounds them.
        verifications: the latest of each app and purpose: id, app, purpose and status.
    """

    locked_for: int | None
    failures: int
    failures_in_all: int
    sends_left: int | None
    verifications: tuple[tuple[str, str, str, Status], ...]


class Store(Protocol):
    """The state of all verifications, exact under any concurrency.

    Each method is one step that happens wholly or not at all, and each may be called a second
    time with the same ids without counting twice. All raise ``StoreUnavailable`` when the state
    cannot be reached, in which case the step may or may not have happened.
    """

    def reserve_send(self, request: SendRequest, send_id: str) -> SendReservation:
        """Take one SMS out of all its limits, as a resend if one is pending, else as a new one.

        Raises:
            PhoneLocked, ResendTooSoon, QuotaExceeded, BudgetExhausted, PurposeConflict: nothing
                was taken.
        """

    def preview_send(self, request: SendRequest) -> bool:
        """Raise what ``reserve_send`` would raise, and take nothing either way.

        Returns:
            Whether it might go by a hosted route.
        """

    def settle_send(self, reservation: SendReservation, sending: Sending) -> None:
        """Keep or give back what was taken, and note who checks the code from now on."""

    def reserve_attempt(
        self,
        owner: Owner,
        subject: str | PhoneNumber,
        attempt_id: str,
        code: Code,
        address: str | None = None,
    ) -> AttemptReservation:
        """Count one guess at the verification with the id ``subject``, or at the owner's latest
        of that phone, and on the end user's ``address`` if that is known.

        Raises:
            QuotaExceeded: too many wrong guesses from that address; nothing was counted.
            NotFound, AlreadyConfirmed, Canceled, Expired, PhoneLocked, AttemptsExhausted: nothing
                was counted.
            WrongCode: counted, and decided without asking anybody.
        """

    def approve(self, reservation: AttemptReservation, code: Code) -> datetime:
        """Settle a guess the route said yes to; the first yes of a pending verification wins.

        Returns:
            When it was approved.

        Raises:
            AlreadyConfirmed, Canceled, AttemptsExhausted, NotFound: the yes came too late.
        """

    def settle_attempt(self, reservation: AttemptReservation, outcome: AttemptOutcome) -> int:
        """Settle a guess that did not come to a yes.

        Returns:
            The guesses that remain.
        """

    def read(self, app: str, id: str) -> Verification:
        """Look at a verification without changing it.

        Raises:
            NotFound: there is none, or it is another app's.
        """

    def cancel(self, app: str, id: str) -> Verification:
        """Cancel a pending verification; leave the status of any other as it is.

        No yes that arrives later approves it, not even to a guess that exhausted it.

        Returns:
            The verification as it was before.

        Raises:
            NotFound: there is none, or it is another app's.
        """

    def keep_delivery(self, verification: Verification, word: str) -> None:
        """Keep the provider's word about the last SMS."""

    def lookup(self, phone: PhoneNumber) -> PhoneState:
        """What is held about a phone."""

    def unlock(self, phone: PhoneNumber) -> PhoneState:
        """Forget a phone's failures and lift its lock; returns what was held before."""

    def ping(self) -> None:
        """Return if the store answers."""
