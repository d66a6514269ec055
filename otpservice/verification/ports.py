"""What the domain needs from outside: a store for its state and routes to send and check by."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from otpservice.verification.code import Code
from otpservice.verification.phone import PhoneNumber


class Status(StrEnum):
    """The states of a verification."""

    PENDING = "pending"
    APPROVED = "approved"
    CANCELED = "canceled"
    EXPIRED = "expired"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who asks: one app for one of its purposes. A verification never leaves its owner."""

    app: str
    purpose: str


@dataclass(frozen=True, slots=True)
class OutgoingCode:
    """One SMS with a code, as a route is asked to send it.

    Attributes:
        phone: where to.
        sender_id: the name it shows as its sender, 3 to 11 letters and digits.
        template: its text; the code goes where ``##OTP##`` stands.
        length: digits of the code.
        ttl: seconds the code is good for.
    """

    phone: PhoneNumber
    sender_id: str
    template: str
    length: int
    ttl: int


class Route(Protocol):
    """One way to send a code and to check it.

    Both methods return nothing when all is well and raise otherwise, so that a forgotten ``if``
    can neither approve a code nor lose an SMS.
    """

    name: str

    def send(self, message: OutgoingCode) -> None:
        """Send one SMS.

        Raises:
            NotDone: surely nothing left; another route may be tried.
            NumberRefused: surely nothing left and the number is at fault.
            OutcomeUnknown: it may have left.
        """

    def check(self, phone: PhoneNumber, code: Code) -> None:
        """Return if and only if ``code`` is the one sent to ``phone``.

        Raises:
            CodeRefused: it is not (``CodeForgotten``: the provider has none to compare with).
            NotDone: surely not checked.
            OutcomeUnknown: the answer was lost.
        """


@dataclass(frozen=True, slots=True)
class SendReservation:
    """One SMS that may now be sent, or has to be settled as not sent.

    Attributes:
        id: the verification's: ``ver_`` and 36 hex digits.
        send_id: names this SMS to ``settle_send``.
        expires_at: when the code will be too old.
        resend_at: when the next one may be asked for.
        attempts_left: guesses left on the verification.
        sends_left: SMS the phone may still get now, or None where no quota bounds them.
    """

    id: str
    send_id: str
    expires_at: datetime
    resend_at: datetime
    attempts_left: int
    sends_left: int | None


class SendOutcome(StrEnum):
    """How a reserved SMS came out."""

    KEPT = "kept"  # sent, or perhaps sent
    GIVEN_BACK = "back"  # surely not sent


@dataclass(frozen=True, slots=True)
class AttemptReservation:
    """One guess that has been counted and may now be asked about.

    Attributes:
        id: the verification's.
        attempt_id: names this guess to ``settle_attempt``.
        phone: whom the code was sent to.
        purpose: the verification's.
        route: name of the route that sent last; empty if that send was never settled.
        previous_unknown: the outcome of the guess before it was lost.
    """

    id: str
    attempt_id: str
    phone: PhoneNumber
    purpose: str
    route: str
    previous_unknown: bool


class AttemptOutcome(StrEnum):
    """How a counted guess came out, if not well."""

    NO = "no"
    GIVEN_BACK = "back"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verification:
    """What is held about one verification."""

    id: str
    status: Status
    purpose: str
    phone: PhoneNumber
    expires_at: datetime
    resend_at: datetime
    attempts_left: int


class Store(Protocol):
    """The state of all verifications, exact under any concurrency.

    Each method is one step that happens wholly or not at all, and each may be called a second
    time with the same ids without counting twice. All raise ``StoreUnavailable`` when the state
    cannot be reached, in which case the step may or may not have happened.
    """

    def reserve_send(
        self, owner: Owner, phone: PhoneNumber, send_id: str, *, hosted: bool
    ) -> SendReservation:
        """Take one SMS out of all its limits, as a resend if one is pending, else as a new one.

        Raises:
            PhoneLocked, ResendTooSoon, QuotaExceeded, PurposeConflict: nothing was taken.
        """

    def settle_send(
        self, reservation: SendReservation, outcome: SendOutcome, route: str = ""
    ) -> None:
        """Keep or give back what was taken; ``route`` is the name of the one that sent."""

    def reserve_attempt(
        self, owner: Owner, subject: "str | PhoneNumber", attempt_id: str, code: Code
    ) -> AttemptReservation:
        """Count one guess at the verification with the id ``subject``, or at the owner's latest
        of that phone.

        Raises:
            NotFound, AlreadyConfirmed, Canceled, Expired, PhoneLocked, AttemptsExhausted: nothing
                was counted.
            WrongCode: counted, and known to be wrong without asking anybody.
        """

    def approve(self, reservation: AttemptReservation, code: Code) -> datetime:
        """Settle a guess the route said yes to; the first yes of a pending verification wins.

        Returns:
            When it was approved.

        Raises:
            AlreadyConfirmed, Canceled, NotFound: the yes came too late.
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
        """Cancel a pending verification; leave any other as it is.

        Returns:
            The verification as it was before.

        Raises:
            NotFound: there is none, or it is another app's.
        """

    def ping(self) -> None:
        """Return if the store answers."""
