"""What the domain needs from outside: a store for its state and routes to send and check by."""

from dataclasses import dataclass, field
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
