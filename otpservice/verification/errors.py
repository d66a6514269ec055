"""Every way a verification can go wrong, as one tree.

The errors carry facts, never texts for callers, and know nothing of HTTP: the status and the words
of each are in ``otpservice.web.errors``. Success is a return value; everything here is raised.
"""

from collections.abc import Sequence


class OtpServiceError(Exception):
    """The root of all errors the domain, the store and the routes raise."""


class InvalidPhone(OtpServiceError):
    """Not a number a code can be sent to.

    ``reason`` is a full sentence for the person who made the call; it never repeats the number.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidCode(OtpServiceError):
    """Not 4 to 9 ASCII digits."""


class DestinationBlocked(OtpServiceError):
    """A real number, but one nothing may be sent to: country, deny list or opt-out."""


class VerificationError(OtpServiceError):
    """The verification named by the caller cannot do what was asked.

    ``id`` is the verification's, or None where the caller must not learn it.
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id or "")
        self.id = id


class NotFound(VerificationError):
    """No such verification for this app."""


class AlreadyConfirmed(VerificationError):
    """Approved before: a verification succeeds exactly once."""


class Canceled(VerificationError):
    """The app took it back."""


class Expired(VerificationError):
    """Its codes are too old."""


class AttemptsExhausted(VerificationError):
    """No guesses left: a new code must be asked for."""


class WrongCode(VerificationError):
    """A guess that was counted and was wrong; ``attempts_left`` guesses remain.

    ``locked_for`` is the length of the lock it started, in seconds: 0 if it started none, None if
    the phone is now locked until somebody unlocks it. Callers are not told.
    """

    def __init__(self, id: str, attempts_left: int, locked_for: int | None = 0) -> None:
        super().__init__(id)
        self.attempts_left = attempts_left
        self.locked_for = locked_for


class PurposeConflict(OtpServiceError):
    """A hosted code of another app or purpose may be alive on this phone.

    The provider would take it for any verification of the phone. ``retry_after`` is the seconds
    until it has died at the latest.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class PhoneLocked(OtpServiceError):
    """Too many failures in a row; ``retry_after`` in seconds, None until somebody unlocks it."""

    def __init__(self, retry_after: int | None) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class ResendTooSoon(OtpServiceError):
    """The owner's next SMS to this phone may leave in ``retry_after`` seconds.

    Until then the cooldown lasts, or hosted codes of the owner's verification before may be alive,
    which the provider would take for the new one's.
    """

    def __init__(self, retry_after: int, id: str | None = None) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after
        self.id = id


class QuotaExceeded(OtpServiceError):
    """An SMS or failure quota is used up.

    ``quota`` is its name (``phone``), ``amount`` SMS in ``window`` seconds the rule that refused,
    ``retry_after`` the seconds until it lets one through again.
    """

    def __init__(self, quota: str, amount: int, window: int, retry_after: int) -> None:
        super().__init__(quota)
        self.quota = quota
        self.amount = amount
        self.window = window
        self.retry_after = retry_after


class BudgetExhausted(OtpServiceError):
    """The SMS of a UTC day are spent; ``retry_after`` seconds to midnight.

    ``scope`` is ``app`` or ``service``.
    """

    def __init__(self, scope: str, retry_after: int) -> None:
        super().__init__(scope)
        self.scope = scope
        self.retry_after = retry_after


class SendingDisabled(OtpServiceError):
    """The operator turned sending off."""


class StoreUnavailable(OtpServiceError):
    """The store did not answer: nothing may be sent and nothing confirmed.

    ``down`` names what a probe found missing.
    """

    def __init__(self, *, down: Sequence[str] = ()) -> None:
        super().__init__()
        self.down = tuple(down)


class ProviderError(OtpServiceError):
    """What asking a route came to, when it did not come to a yes."""


class NotDone(ProviderError):
    """Definitely not sent or not checked: to be given back. Another route may be tried."""


class ProviderRejected(NotDone):
    """The provider refused us: credentials, sender ID, or a refusal we do not know."""


class ProviderUnavailable(NotDone):
    """The provider could not be reached or said so itself; ``retry_after`` in seconds."""

    def __init__(self, retry_after: int = 30) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class NumberRefused(ProviderError):
    """Definitely not sent, and no other route would: the number itself is at fault."""


class CodeRefused(ProviderError):
    """The provider compared the code and said no."""


class CodeForgotten(CodeRefused):
    """The provider holds no code for the phone: never sent, used, or replaced."""


class OutcomeUnknown(ProviderError):
    """The request left and its answer was lost: it may have been done."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id or "")
        self.id = id


class InvalidSettings(OtpServiceError):
    """Settings that cannot be run with; ``problems`` is one line per mistake, by name."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)
