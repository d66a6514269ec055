"""The provider's operations, and what an answer that is not a success means for each.

The meanings are those of the service's contract ("What the provider's answer means"): a send that
was refused may be tried elsewhere, a check that was not clearly answered stays counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from otpservice.transport import NOT_DONE, TURNED_AWAY
from otpservice.vavasms.answers import Answer
from otpservice.vavasms.errors import (
    ExpiredOtp,
    InvalidCredentials,
    InvalidOtp,
    InvalidSenderId,
    Nonsense,
    NumberRefused,
    OtpNotFound,
    OutcomeUnknown,
    Rejected,
    Unavailable,
    UnknownMessage,
    VavasmsError,
)

Errors = Mapping[str, type[VavasmsError]]

NAMES = {
    709: "EXECUTION_ERROR",
    901: "INVALID_CREDENTIALS",
    902: "INVALID_SENDER_ID",
    903: "INVALID_PHONE_NUMBER",
    913: "INVALID_OTP",
}
"""The codes on the provider's page."""

_ACCOUNT: Errors = {"INVALID_CREDENTIALS": InvalidCredentials, "INVALID_SENDER_ID": InvalidSenderId}
_SEND: Errors = {**_ACCOUNT, "INVALID_PHONE_NUMBER": NumberRefused}
_CHECK: Errors = {
    **_ACCOUNT,
    "INVALID_OTP": InvalidOtp,
    # By name only, and only in the provider's own client libraries.
    "EXPIRED_OTP": ExpiredOtp,
    "OTP_NOT_FOUND": OtpNotFound,
}
_ERROR_NAMES = frozenset(NAMES.values()) | _CHECK.keys()

_TURNED_AWAY: Mapping[int, type[VavasmsError]] = dict.fromkeys(TURNED_AWAY, Unavailable)
_NOT_DONE: Mapping[int, type[VavasmsError]] = {
    **_TURNED_AWAY,
    **dict.fromkeys(NOT_DONE, Rejected),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One of them.

    Attributes:
        path: below ``/v1/``.
        errors: what the errors it can answer mean, by name.
        other_code: what any other code but 0 means.
        by_status: what an HTTP status without a readable code means, where that is certain.
        label: its name in errors and logs.
    """

    path: str
    errors: Errors
    other_code: type[VavasmsError] = Rejected
    by_status: Mapping[int, type[VavasmsError]] = field(default_factory=lambda: _NOT_DONE)
    label: str = ""

    @property
    def name(self) -> str:
        """Its name in errors and logs."""
        return self.label or self.path


BALANCE = Operation("check/balance", _ACCOUNT)
TEXT = Operation("text/single", _SEND)
OTP_SEND = Operation("otp/send", _SEND)
OTP_VERIFY = Operation("otp/verify", _CHECK, OutcomeUnknown, _TURNED_AWAY)


def status_operation(path: str) -> Operation:
    """The status of a message, at a path the provider's page does not give."""
    return Operation(path, {**_ACCOUNT, "EXECUTION_ERROR": UnknownMessage}, label="text/status")


def contradicts_itself(answer: Answer) -> bool:
    """Whether the answer says success by its code and an error by its name."""
    return answer.code == 0 and answer.name in _ERROR_NAMES


def is_undocumented(answer: Answer) -> bool:
    """Whether neither its code nor its name is one that we know."""
    return answer.code not in {0, *NAMES} and answer.name not in _ERROR_NAMES


def refusal(operation: Operation, answer: Answer) -> type[VavasmsError]:
    """What an answer means that is not a success of ``operation``."""
    meaning = _meaning(operation, answer)
    if issubclass(meaning, Rejected | Unavailable) and answer.message_ids:
        # It names a message: something may have been sent after all, so nothing is sent again.
        return Nonsense
    return meaning


def _meaning(operation: Operation, answer: Answer) -> type[VavasmsError]:
    if answer.code == 0:
        return Nonsense
    for name in (NAMES.get(answer.code or 0), answer.name):
        if name is not None and name in operation.errors:
            return operation.errors[name]
    if answer.code is not None:
        return operation.other_code
    is_2xx = 200 <= answer.http_status < 300  # noqa: PLR2004
    return operation.by_status.get(answer.http_status, Nonsense if is_2xx else OutcomeUnknown)
