"""What the domain needs from outside: a store for its state and routes to send and check by."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from time import monotonic
from typing import Any, Protocol, runtime_checkable

from otpservice.verification.code import Code
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


@dataclass(frozen=True, slots=True)
class Owner:
    """Who asks: one app for one of its purposes. A verification never leaves its owner."""

    app: str
    purpose: str


PLACEHOLDER = "##OTP##"
"""Where the code goes in a template; VavaSMS's word."""


@dataclass(frozen=True, slots=True)
class OutgoingCode:
    """One SMS with a code, as a route is asked to send it.

    Attributes:
        id: the verification's.
        owner: who asked for it.
        phone: where to.
        sender_id: the name it shows as its sender, 3 to 11 letters and digits.
        template: its text; the code goes where ``##OTP##`` stands.
        length: digits of the code.
        ttl: seconds the code is good for.
        code: the code itself for a local route; a hosted one makes its own.
        deadline: on ``time.monotonic``, by when all routes together have to be done.
    """

    id: str
    owner: Owner
    phone: PhoneNumber
    sender_id: str
    template: str
    length: int
    ttl: int
    code: Code | None = None
    deadline: float = float("inf")

    @property
    def seconds_left(self) -> float:
        """Seconds a route may still take."""
        return max(0.0, self.deadline - monotonic())

    @property
    def text(self) -> str:
        """The SMS of a local route, the code in its place.

        Raises:
            ValueError: the message has no code of ours.
        """
        if self.code is None:
            raise ValueError("the code of a hosted route is the provider's")
        return self.template.replace(PLACEHOLDER, self.code.digits)


class Route(Protocol):
    """One way to send a code. What it returns was sent; anything else is raised."""

    name: str

    def send(self, message: OutgoingCode) -> str:
        """Send one SMS.

        Returns:
            The provider's name for it, if it gives one; else nothing: "".

        Raises:
            NotDone: surely nothing left; another route may be tried.
            NumberRefused: surely nothing left and the number is at fault.
            OutcomeUnknown: it may have left.
        """


@runtime_checkable
class HostedRoute(Route, Protocol):
    """A route whose provider makes the code and compares the guess."""

    def check(self, phone: PhoneNumber, code: Code) -> None:
        """Return if and only if ``code`` is the one sent to ``phone``.

        Raises:
            CodeRefused: it is not (``CodeForgotten``: the provider has none to compare with).
            NotDone: surely not checked.
            OutcomeUnknown: the answer was lost.
        """


@runtime_checkable
class TracedRoute(Route, Protocol):
    """A route whose provider tells what became of an SMS."""

    def delivery(self, message_id: str) -> str:
        """The provider's own word for the state of an SMS: ``sent`` does not mean delivered.

        Raises:
            ProviderError: it did not say.
        """


@runtime_checkable
class RefusingRoute(Route, Protocol):
    """A route that knows when it need not be asked."""

    @property
    def refused_for(self) -> int:
        """Seconds for which a send would be refused unasked; 0 if it would be asked."""


@dataclass(frozen=True, slots=True)
class SendRequest:
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


@dataclass(frozen=True, slots=True)
class SendReservation:
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
    GIVEN_BACK = "back"  # surely not sent


@dataclass(frozen=True, slots=True)
class Sending:
    """By which route an SMS went, and what became of it.

    Attributes:
        outcome: sent, perhaps sent, or surely not.
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
        approved_at: when it was approved, if the code is one of ours; else it is to be asked.
        taken: what was taken of quotas that are not the phone's; the store's own business.
    """

    id: str
    attempt_id: str
    phone: PhoneNumber
    purpose: str
    route: str
    previous_unknown: bool
    approved_at: datetime | None = None
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

    def keep_delivery(self, verification: Verification, word: str) -> None:
        """Keep the provider's word about the last SMS."""

    def lookup(self, phone: PhoneNumber) -> PhoneState:
        """What is held about a phone."""

    def unlock(self, phone: PhoneNumber) -> PhoneState:
        """Forget a phone's failures and lift its lock; returns what was held before."""

    def ping(self) -> None:
        """Return if the store answers."""
