"""Every way a call to VavaSMS can fail, told apart by what may have happened on its side.

The errors carry facts only. None of them, nor anything they are chained to, holds the account's
credentials, a phone number or a code.
"""


class VavasmsError(Exception):
    """The root.

    Attributes:
        operation: as the provider's page writes it, ``otp/send``.
        http_status: of its answer, None if there was none.
        code: the error code in its answer (901), None if none could be read.
        name: the error's name in its answer (``INVALID_CREDENTIALS``), None if it gave none.
        reason: what went wrong below HTTP, a class name (``TimeoutError``), else empty.
    """

    def __init__(
        self,
        operation: str,
        *,
        http_status: int | None = None,
        code: int | None = None,
        name: str | None = None,
        reason: str = "",
    ) -> None:
        facts = (
            f"HTTP {http_status}" if http_status is not None else "",
            f"code {code}" if code is not None else "",
            name or "",
            reason,
        )
        super().__init__(f"{operation}: {', '.join(filter(None, facts)) or 'no answer'}")
        self.operation = operation
        self.http_status = http_status
        self.code = code
        self.name = name
        self.reason = reason


class Rejected(VavasmsError):
    """Refused, nothing done, and we are at fault: the account, the request or its address."""


class InvalidCredentials(Rejected):
    """901: the account's user name or password is wrong. No call will work until that changes."""


class InvalidSenderId(Rejected):
    """902: the account may not send under this sender ID."""


class UnknownMessage(Rejected):
    """709: no message has the id asked about."""


class NumberRefused(VavasmsError):
    """903: nothing sent; the number is at fault."""


class WrongCode(VavasmsError):
    """The code was compared and is not the one."""


class InvalidOtp(WrongCode):
    """913: not the code that was sent."""


class ExpiredOtp(WrongCode):
    """EXPIRED_OTP: the right code, too late. Never tell the person: it confirms the guess."""


class OtpNotFound(WrongCode):
    """OTP_NOT_FOUND: the provider holds no code for this number."""


class Unavailable(VavasmsError):
    """Definitely nothing done: no connection was made, or it turned the request away (429, 503)."""


class OutcomeUnknown(VavasmsError):
    """The request left and it is not known what became of it: it may have been done."""


class Nonsense(OutcomeUnknown):
    """It answered, and the answer says neither yes nor no."""
