"""What the operations return when the provider said yes, and how it is read from an answer.

Ids are opaque: they differ in form between operations, and a check's id is not its send's.
"""

from dataclasses import dataclass, field

from otpservice.vavasms.answers import Answer, text, whole_number


@dataclass(frozen=True, slots=True)
class Balance:
    """Money left: ``amount`` whole units of ``currency`` (25540 XOF is 25,540 francs)."""

    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class TextReceipt:
    """An accepted text: one message id for each phone, in order; ``lot_id`` empty if not given."""

    lot_id: str
    message_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TextStatus:
    """What the provider says of a message, in its own words: ``sent`` is not "delivered"."""

    lot_id: str
    message_id: str
    status: str
    description: str


@dataclass(frozen=True, slots=True)
class OtpReceipt:
    """An accepted SMS with a code."""

    message_id: str


@dataclass(frozen=True, slots=True)
class OtpVerified:
    """A code that was right; ``message_id`` empty if not given."""

    message_id: str


@dataclass(frozen=True, slots=True)
class IncomingSms:
    """An SMS somebody sent; ``message_id`` comes again if it is delivered again."""

    message_id: str
    sender: str = field(repr=False)
    content: str = field(repr=False)
    sms_date: str


def read_balance(answer: Answer) -> Balance | None:
    """The account's balance, if the answer gives one."""
    amount = whole_number(answer.fields.get("amount"))
    currency = text(answer.fields.get("currency"))
    return None if amount is None or currency is None else Balance(amount, currency)


def read_text_receipt(answer: Answer, phones: int) -> TextReceipt | None:
    """Proof that all ``phones`` texts were accepted, if the answer is one."""
    ids = answer.message_ids
    return TextReceipt(text(answer.fields.get("lot_id")) or "", ids) if len(ids) == phones else None


def read_statuses(answer: Answer) -> tuple[TextStatus, ...] | None:
    """What is said of at least one message, if anything is."""
    found = tuple(
        TextStatus(
            text(row.get("lot_id")) or "",
            text(row.get("message_id")) or "",
            text(row.get("status")) or "",
            text(row.get("description")) or "",
        )
        for row in answer.rows
    )
    return found if found and all(row.message_id and row.status for row in found) else None


def read_otp_receipt(answer: Answer) -> OtpReceipt | None:
    """Proof that the SMS was accepted, if the answer is one."""
    ids = answer.message_ids
    return OtpReceipt(ids[0]) if ids else None


def read_otp_verified(answer: Answer) -> OtpVerified | None:
    """Proof that the code was right, if the answer is one."""
    if answer.fields.get("status") != "success":
        return None
    return OtpVerified(text(answer.fields.get("message_id")) or "")
