"""Ways to send a code, and the SMS they get to send."""

from time import monotonic
from typing import NamedTuple, Protocol, runtime_checkable

from otpservice.verification.code import Code
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber

PLACEHOLDER = "##OTP##"
"""Where the code goes in a template; VavaSMS's word."""


class OutgoingCode(NamedTuple):
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
            NotDone: definitely nothing left; another route may be tried.
            NumberRefused: definitely nothing left and the number is at fault.
            OutcomeUnknown: it may have left.
        """


@runtime_checkable
class HostedRoute(Route, Protocol):
    """A route whose provider makes the code and compares the guess."""

    def check(self, phone: PhoneNumber, code: Code) -> None:
        """Return if and only if ``code`` is the one sent to ``phone``.

        Raises:
            CodeRefused: it is not (``CodeForgotten``: the provider has none to compare with).
            NotDone: definitely not checked.
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
