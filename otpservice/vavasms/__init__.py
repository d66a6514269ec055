"""The VavaSMS API: its client, what it returns and what it raises.

The provider's vocabulary ends in this package: outside of it there are no vendor codes.
"""

from otpservice.vavasms.client import VavasmsClient
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
    WrongCode,
)
from otpservice.vavasms.receipts import (
    Balance,
    IncomingSms,
    OtpReceipt,
    OtpVerified,
    TextReceipt,
    TextStatus,
)

__all__ = [
    "Balance",
    "ExpiredOtp",
    "IncomingSms",
    "InvalidCredentials",
    "InvalidOtp",
    "InvalidSenderId",
    "Nonsense",
    "NumberRefused",
    "OtpNotFound",
    "OtpReceipt",
    "OtpVerified",
    "OutcomeUnknown",
    "Rejected",
    "TextReceipt",
    "TextStatus",
    "Unavailable",
    "UnknownMessage",
    "VavasmsClient",
    "VavasmsError",
    "WrongCode",
]
