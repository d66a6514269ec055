"""All the sandbox remembers: money, messages, codes and how often it was called."""

import re
import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from otpservice.sandbox import answers
from otpservice.sandbox.account import Account
from otpservice.sandbox.answers import Json, Refusal
from otpservice.sandbox.faults import Faults
from otpservice.sandbox.segments import Segments, measure

# The newest messages kept, so that a night of load cannot eat the machine's memory.
INBOX_LIMIT = 10_000

_PHONE = re.compile(r"\+?([1-9][0-9]{7,14})\Z")  # E.164: at most 15 digits, none begins with 0
_SENDER_ID = re.compile(r"[A-Za-z0-9]{3,11}\Z")


@dataclass(frozen=True, slots=True)
class Message:
    """One SMS to one phone, as the inbox shows it; ``sent_at`` in seconds since 1970."""

    message_id: str
    kind: str
    phone: str
    sender_id: str
    text: str
    size: Segments
    cost: int
    sent_at: float
    lot_id: str | None = None
    code: str | None = None
    status: str = "sent"

    def as_json(self) -> Json:
        """The fields of ``/inbox.json``; ``code`` only where there is one."""
        item = {
            "message_id": self.message_id,
            "lot_id": self.lot_id,
            "kind": self.kind,
            "phone": self.phone,
            "sender_id": self.sender_id,
            "text": self.text,
            "encoding": self.size.encoding,
            "segments": self.size.count,
            "cost": self.cost,
            "status": self.status,
            "sent_at": rfc3339(self.sent_at),
        }
        return item if self.code is None else item | {"code": self.code}


@dataclass(frozen=True, slots=True)
class _PendingCode:
    digits: str
    expires_at: float


class State:
    """The provider's side of everything, safe to use from any thread.

    Each method is one operation of the provider, done whole or not at all; what the provider
    refuses is raised as ``Refusal``. ``clock`` gives seconds since 1970.
    """

    def __init__(
        self, account: Account, notification_url: str | None, clock: Callable[[], float]
    ) -> None:
        self.account = account
        self.clock = clock
        self.faults = Faults()
        self._configured_url = notification_url
        self._lock = threading.Lock()
        self._last_id = 1_000_000 + secrets.randbelow(1_000_000)
        self._start()

    def _start(self) -> None:
        self.notification_url = self._configured_url
        self._balance = self.account.balance
        self._messages: OrderedDict[str, Message] = OrderedDict()
        self._codes: dict[str, _PendingCode] = {}
        self._calls: Counter[str] = Counter()

    def reset(self) -> None:
        """Forget everything; ids go on, so that no id is given twice."""
        with self._lock:
            self._start()
        self.faults.clear()

    def count_call(self, operation: str) -> None:
        """Note that a request arrived, whatever becomes of it."""
        with self._lock:
            self._calls[operation] += 1

    def calls(self) -> dict[str, int]:
        """Requests so far, by operation."""
        with self._lock:
            return dict(self._calls)

    def balance(self) -> int:
        """What is left, in whole units of the account's currency."""
        with self._lock:
            return self._balance

    def inbox(self, phone: str | None = None) -> list[Message]:
        """The messages, newest first; ``phone`` in digits keeps only its own."""
        with self._lock:
            messages = list(reversed(self._messages.values()))
        return [message for message in messages if phone in (None, message.phone)]

    def send_texts(self, sender_id: str, phones: list[str], text: str) -> tuple[str, list[str]]:
        """Send one text to each phone; gives the lot's id and the messages' in the same order."""
        size = measure(text)
        with self._lock:
            cost = self._charge(size, len(phones))
            lot_id, sent_at = self._new_id("LOT"), self.clock()
            lot = [
                Message(
                    self._new_id("SM"), "text", phone, sender_id, text, size, cost, sent_at, lot_id
                )
                for phone in phones
            ]
            for message in lot:
                self._deliver(message)
        return lot_id, [message.message_id for message in lot]

    def send_otp(self, sender_id: str, phone: str, length: int, minutes: int, text: str) -> str:
        """Send a new code, good for ``minutes``, in place of the phone's earlier one."""
        code = f"{secrets.randbelow(10**length):0{length}}"
        text = text.replace("##OTP##", code)
        size = measure(text)
        with self._lock:
            cost, sent_at = self._charge(size, 1), self.clock()
            message_id = self._new_id("OTP")
            self._deliver(
                Message(message_id, "otp", phone, sender_id, text, size, cost, sent_at, code=code)
            )
            self._codes[phone] = _PendingCode(code, sent_at + minutes * 60)
        return message_id

    def verify_otp(self, phone: str, digits: str) -> str:
        """Use up the phone's code; gives a new id. Wrong guesses cost nothing, as documented."""
        with self._lock:
            pending = self._codes.get(phone)
            if pending is None:
                raise Refusal(answers.OTP_NOT_FOUND)
            if digits != pending.digits:
                raise Refusal(answers.INVALID_OTP)
            if self.clock() >= pending.expires_at:
                raise Refusal(answers.EXPIRED_OTP)
            del self._codes[phone]
            return self._new_id("OTP")

    def find(self, message_id: str, lot_id: str | None) -> Message:
        """The message of that id, and of that lot if one is named."""
        with self._lock:
            message = self._messages.get(message_id)
        if message is None or lot_id not in (None, "", message.lot_id):
            raise Refusal(answers.EXECUTION_ERROR)
        return message

    def new_incoming_id(self) -> str:
        """An id for an SMS that comes in; the page does not show one, the form is our guess."""
        with self._lock:
            return self._new_id("SM")

    def _charge(self, size: Segments, phones: int) -> int:
        """Take the money for all, or refuse; gives the price of one message."""
        cost = size.count * self.account.price
        if cost * phones > self._balance:
            raise Refusal(answers.INSUFFICIENT_BALANCE)
        self._balance -= cost * phones
        return cost

    def _deliver(self, message: Message) -> None:
        self._messages[message.message_id] = message
        if len(self._messages) > INBOX_LIMIT:
            self._messages.popitem(last=False)

    def _new_id(self, prefix: str) -> str:
        """``OTP-20190621-2234509``: kind, UTC day, number; the page's form."""
        self._last_id += 1
        return f"{prefix}-{datetime.fromtimestamp(self.clock(), UTC):%Y%m%d}-{self._last_id:07}"


def require_credentials(account: Account, username: str, password: str) -> None:
    """Refuse anybody else with 901."""
    if (username, password) != (account.username, account.password):
        raise Refusal(answers.INVALID_CREDENTIALS)


def require_sender_id(account: Account, sender_id: str) -> None:
    """Refuse with 902 what is not 3 to 11 letters and digits or not registered."""
    if not _SENDER_ID.match(sender_id) or sender_id not in account.sender_ids:
        raise Refusal(answers.INVALID_SENDER_ID)


def parse_phone(text: str) -> str:
    """The digits of one number, with or without its plus, or 903."""
    match = _PHONE.match(text)
    if match is None:
        raise Refusal(answers.INVALID_PHONE_NUMBER)
    return match[1]


def rfc3339(seconds: float) -> str:
    """``2026-01-31T12:00:00.000Z``."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
