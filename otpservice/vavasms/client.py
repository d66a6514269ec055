"""The VavaSMS HTTP API, one method for each operation."""

import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from time import monotonic
from typing import TypeVar
from urllib.parse import urlencode

from otpservice.telemetry.metrics import (
    PROVIDER_TOLERATED_ANSWERS,
    PROVIDER_UNKNOWN_CODES,
    CodeLabels,
)
from otpservice.transport import MAX_IDLE, AnswerLost, NoConnection, Reply, Transport
from otpservice.vavasms.answers import Answer, read_answer
from otpservice.vavasms.arguments import (
    CODE,
    LANGUAGE,
    OTP_LENGTHS,
    PATH,
    PHONE,
    SENDER_ID,
    encodable,
    filled,
    matching,
)
from otpservice.vavasms.errors import OutcomeUnknown, Unavailable, VavasmsError
from otpservice.vavasms.operations import (
    BALANCE,
    OTP_SEND,
    OTP_VERIFY,
    TEXT,
    Operation,
    contradicts_itself,
    is_undocumented,
    refusal,
    status_operation,
)
from otpservice.vavasms.receipts import (
    Balance,
    IncomingSms,
    OtpReceipt,
    OtpVerified,
    TextReceipt,
    TextStatus,
    read_balance,
    read_otp_receipt,
    read_otp_verified,
    read_statuses,
    read_text_receipt,
)

PLACEHOLDER = "##OTP##"
"""Where the provider puts the code in a message."""

log = logging.getLogger("otpservice.vavasms")

Receipt = TypeVar("Receipt")

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


class VavasmsClient:
    """A VavaSMS account. May be shared by any number of threads.

    Every method raises a ``VavasmsError`` (see ``errors``) unless the provider said yes, and a
    ``ValueError``, before anything is sent, for arguments the provider would refuse.

    Args:
        url: the API's base address; https, or http to a loopback address.
        username: the account's.
        password: the account's; it opens the customer area too.
        timeout: seconds for one call in all, connecting included.
        connect_timeout: how many of these may go into connecting.
        plus_sign: write numbers with a plus sign; the provider's page shows them without.
        verify_sender_id: send the sender ID with a check too; the page contradicts itself there.
        lang: language of the provider's descriptions, if it should be asked for one.
        status_path: where to ask for a message's status, below ``/v1/``; the page does not say.
        pool_size: connections kept for reuse.
        max_idle: seconds one of them is kept unused.
        ssl_context: other trusted certificates than the system's.

    Attributes:
        tolerated: answers that could only be read after a trailing comma was taken out.
        last_tolerated: the last of these, without its texts and numbers.
    """

    def __init__(
        self,
        *,
        url: str,
        username: str,
        password: str,
        timeout: float = 10.0,
        connect_timeout: float = 3.0,
        plus_sign: bool = False,
        verify_sender_id: bool = False,
        lang: str | None = None,
        status_path: str | None = None,
        pool_size: int = 500,
        max_idle: float = MAX_IDLE,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if not username or not password:
            raise ValueError("A VavaSMS account has a user name and a password.")
        encodable(username + password, "The VavaSMS account")
        self._transport = Transport(
            url,
            timeout=timeout,
            connect_timeout=connect_timeout,
            pool_size=pool_size,
            max_idle=max_idle,
            ssl_context=ssl_context,
        )
        self._url = url
        self._credentials = (username, password)
        always = {"username": username, "password": password}
        if lang:
            always["lang"] = matching(LANGUAGE, lang, "A language")
        self._always = urlencode(always)
        self._plus = "+" if plus_sign else ""
        self._verify_sender_id = verify_sender_id
        self._status = (
            status_operation(matching(PATH, status_path, "The status path"))
            if status_path
            else None
        )
        self._codes = CodeLabels()
        self._lock = Lock()
        self.tolerated = 0
        self.last_tolerated: str | None = None

    def __repr__(self) -> str:
        return f"VavasmsClient(url={self._url!r})"

    def close(self) -> None:
        """Close the kept connections."""
        self._transport.close()

    def balance(self) -> Balance:
        """What is left on the account."""
        return self._call(BALANCE, {}, read_balance)

    def send_text(
        self, *, sender_id: str, phones: Sequence[str], message: str, within: float | None = None
    ) -> TextReceipt:
        """Send one text to one or several numbers (digits, with or without a plus sign).

        ``within`` seconds, if there are fewer left than the client's timeout.
        """
        if isinstance(phones, str) or not phones:
            raise ValueError("phones is a list of at least one number.")
        fields = {
            "sender_id": matching(SENDER_ID, sender_id, "A sender ID"),
            "phone": ",".join(map(self._on_the_wire, phones)),
            "message": filled(message),
        }
        count = len(phones)
        return self._call(TEXT, fields, lambda answer: read_text_receipt(answer, count), within)

    def text_status(self, message_id: str, lot_id: str | None = None) -> tuple[TextStatus, ...]:
        """What the provider says of a message sent before."""
        if self._status is None:
            raise ValueError(
                "VavaSMS does not document where to ask for a status: set status_path "
                "(OTPSERVICE_VAVASMS_STATUS_PATH) once the provider has told you."
            )
        fields = {"message_id": filled(message_id)}
        if lot_id:
            fields["lot_id"] = filled(lot_id)
        return self._call(self._status, fields, read_statuses)

    def send_otp(
        self,
        *,
        sender_id: str,
        phone: str,
        message: str,
        length: int,
        expiry_minutes: int,
        within: float | None = None,
    ) -> OtpReceipt:
        """Have a code made and sent; ``message`` says where it goes with ``##OTP##``.

        ``within`` seconds, if there are fewer left than the client's timeout.
        """
        if PLACEHOLDER not in message:
            raise ValueError(f"The message must hold {PLACEHOLDER}.")
        if length not in OTP_LENGTHS or expiry_minutes < 1:
            raise ValueError("A code has 4 to 9 digits and lasts at least a minute.")
        fields = {
            "sender_id": matching(SENDER_ID, sender_id, "A sender ID"),
            "phone": self._on_the_wire(phone),
            "otp_length": str(int(length)),
            "otp_expiry": str(int(expiry_minutes)),
            "message": filled(message),
        }
        return self._call(OTP_SEND, fields, read_otp_receipt, within)

    def verify_otp(self, *, phone: str, code: str, sender_id: str | None = None) -> OtpVerified:
        """Return if and only if the provider says that ``code`` is the one sent to ``phone``."""
        fields = {
            "phone": self._on_the_wire(phone),
            "otp": matching(CODE, code, "A code"),
        }
        if self._verify_sender_id and sender_id:
            fields["sender_id"] = matching(SENDER_ID, sender_id, "A sender ID")
        return self._call(OTP_VERIFY, fields, read_otp_verified)

    @staticmethod
    def parse_incoming(fields: Mapping[str, str]) -> IncomingSms:
        """Read what the provider posts to the notification address."""
        # "form" is the page's word and probably a slip for "from".
        sender = fields.get("form") or fields.get("from")
        message_id = fields.get("message_id")
        if not sender or not message_id:
            raise ValueError("An incoming SMS has a message_id and a form.")
        return IncomingSms(
            message_id, sender, fields.get("content") or "", fields.get("sms_date") or ""
        )

    def _on_the_wire(self, phone: str) -> str:
        # One number and nothing else: a comma would make two recipients of it.
        return self._plus + matching(PHONE, phone, "A phone number").removeprefix("+")

    def _call(
        self,
        operation: Operation,
        fields: Mapping[str, str],
        read: Callable[[Answer], Receipt | None],
        within: float | None = None,
    ) -> Receipt:
        started, outcome, answer = monotonic(), "Interrupted", None
        try:
            answer = self._ask(operation, fields, within)
            receipt = self._judge(operation, answer, read)
            outcome = "Success"
        except VavasmsError as error:
            outcome = type(error).__name__
            raise
        finally:
            _report(operation, outcome, answer, started)
        return receipt

    def _ask(self, operation: Operation, fields: Mapping[str, str], within: float | None) -> Answer:
        body = f"{self._always}&{urlencode(fields)}" if fields else self._always
        reply: Reply | type[VavasmsError]
        try:
            reply = self._transport.post(
                body.encode("ascii"), _HEADERS, below=f"v1/{operation.path}", within=within
            )
        except NoConnection as error:
            reply, reason = Unavailable, str(error)
        except AnswerLost as error:
            reply, reason = OutcomeUnknown, str(error)
        if not isinstance(reply, Reply):
            raise reply(operation.name, reason=reason)
        answer = read_answer(reply.status, reply.body)
        self._count(operation, answer)
        return answer

    def _judge(
        self, operation: Operation, answer: Answer, read: Callable[[Answer], Receipt | None]
    ) -> Receipt:
        receipt = read(answer) if answer.code == 0 and not contradicts_itself(answer) else None
        if receipt is not None:
            return receipt
        # A provider that echoes what it was sent must not get it into a log.
        echoed = answer.name is not None and answer.name in self._credentials
        raise refusal(operation, answer)(
            operation.name,
            http_status=answer.http_status,
            code=answer.code,
            name=None if echoed else answer.name,
        )

    def _count(self, operation: Operation, answer: Answer) -> None:
        if answer.code is not None and is_undocumented(answer):
            PROVIDER_UNKNOWN_CODES.labels(operation.name, self._codes.label(answer.code)).inc()
        if answer.sample is None:
            return
        PROVIDER_TOLERATED_ANSWERS.labels(operation.name).inc()
        with self._lock:
            self.tolerated += 1
            self.last_tolerated = answer.sample


def _report(operation: Operation, outcome: str, answer: Answer | None, started: float) -> None:
    log.info(
        "provider_call",
        extra={
            "provider": "vavasms",
            "operation": operation.name,
            "outcome": outcome,
            "vendor_code": answer.code if answer else None,
            "http_status": answer.http_status if answer else None,
            "ms": round((monotonic() - started) * 1000),
        },
    )
