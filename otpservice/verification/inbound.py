"""SMS that people send us: what is kept of them, and what STOP and START do.

They never touch a verification: a code that somebody sends back approves nothing.
"""

import logging
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from otpservice.verification.errors import InvalidPhone, OtpServiceError
from otpservice.verification.phone import PhoneNumber

log = logging.getLogger(__name__)


class UnreadableSms(OtpServiceError):
    """What arrived has no message id or no sender, so it cannot be counted once."""


class Wish(StrEnum):
    """What a holder asks of us."""

    STOP = "stop"
    START = "start"


_WISHES = {
    "STOP": Wish.STOP,
    "ARRET": Wish.STOP,
    "ARRÊT": Wish.STOP,
    "START": Wish.START,
    "OUI": Wish.START,
}

# People group the digits of a code or a number, and phones put invisible marks between them.
_JOINT = r"[\s._\u00ad\u2010-\u2015\u200b-\u200f\u2060-\u2069\u20e3\ufe0e\ufe0f\ufeff-]{0,3}"
_RUN = re.compile(rf"\d(?:{_JOINT}\d){{3,}}")

# The provider's page does not say how it writes dates; these are masked by no mistake.
_DATE = re.compile(
    r"[0-9]{1,4}([-/.])[0-9]{1,2}\1[0-9]{1,4}"
    r"(?:[T ][0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?\Z"
)


class Incoming(Protocol):
    """One SMS as the provider tells it: four texts, none of them checked."""

    @property
    def message_id(self) -> str:
        """The provider's name for it, the same if it is delivered again."""

    @property
    def sender(self) -> str:
        """Whose it is: a number in any spelling, a short code or a name."""

    @property
    def content(self) -> str:
        """Its text."""

    @property
    def sms_date(self) -> str:
        """When it was sent, in the provider's spelling."""


@dataclass(frozen=True, slots=True)
class InboundSms:
    """What is kept of one SMS.

    Attributes:
        message_id: the provider's name for it.
        sender: masked.
        text: with every run of 4 or more digits masked.
        sms_date: in the provider's spelling.
        wish: what it asks for, if it is nothing but that word.
        received_at: when it was kept; None before.
    """

    message_id: str
    sender: str
    text: str = field(repr=False)
    sms_date: str
    wish: Wish | None = None
    received_at: datetime | None = None


class InboundStore(Protocol):
    """Who wants no SMS, and the last texts that came in."""

    def keep(self, sms: InboundSms, phone: PhoneNumber | None) -> bool:
        """Keep an SMS and do what it wishes, both once for each message id.

        Args:
            sms: what to keep.
            phone: its sender, if that is a number anything could be sent to.

        Returns:
            Whether it is new.

        Raises:
            StoreUnavailable: only a part may have been done; called again, it does the rest.
        """

    def opted_out(self, phone: PhoneNumber) -> bool:
        """Whether its holder wants no SMS; asking keeps a yes for another 400 days.

        Raises:
            StoreUnavailable: it cannot be told.
        """

    def recent(self, count: int) -> list[InboundSms]:
        """The last SMS that came in, newest first, ``count`` of them at the most.

        Raises:
            StoreUnavailable: they cannot be read.
        """


@dataclass(frozen=True, slots=True)
class Received:
    """What became of one SMS: whether it was new, what it wished, and whose it was."""

    new: bool
    wish: Wish | None
    phone: PhoneNumber | None


class Inbound:
    """Takes in what the provider delivers.

    Args:
        store: keeps it.
        parse: reads the provider's fields; raises ValueError if they are no SMS.
        region: ISO 3166 code of the country whose national numbers are meant.
    """

    def __init__(
        self,
        store: InboundStore,
        parse: Callable[[Mapping[str, str]], Incoming],
        *,
        region: str,
    ) -> None:
        self._store = store
        self._parse = parse
        self._region = region

    def receive(self, fields: Mapping[str, str]) -> Received:
        """Keep one SMS, however often it is delivered.

        Raises:
            UnreadableSms: it has no message id or no sender.
            StoreUnavailable: it has to be delivered again.
        """
        told = {name: _encodable(value) for name, value in fields.items()}
        try:
            incoming = self._parse(told)
        except ValueError as error:
            raise UnreadableSms from error
        if not incoming.message_id.strip():
            raise UnreadableSms
        phone, wish = self._phone(incoming.sender), wish_of(incoming.content)
        sms = InboundSms(
            message_id=incoming.message_id.strip(),
            sender=phone.masked if phone else mask_digits(incoming.sender),
            text=mask_digits(incoming.content),
            sms_date=_date(incoming.sms_date),
            wish=wish,
        )
        new = self._store.keep(sms, phone)
        facts = {"phone_masked": sms.sender, "wish": wish and wish.value, "new": new}
        log.info("inbound_sms", extra=facts)
        return Received(new, wish, phone)

    def _phone(self, sender: str) -> PhoneNumber | None:
        """The sender, if it is a mobile number; nothing else is ever sent to."""
        try:
            return PhoneNumber.parse(sender.strip(), region=self._region)
        except InvalidPhone:
            return None


def wish_of(text: str) -> Wish | None:
    """What a text asks for if it is that one word and nothing else."""
    # An accent may come as a letter of its own (NFD), as some phones write it.
    return _WISHES.get(unicodedata.normalize("NFC", text).strip().upper())


def mask_digits(text: str) -> str:
    """``text`` with a star for each digit of a run of 4 or more.

    Digits of all alphabets count, and ``12 34 56`` and ``123-456`` are runs as well: spaces,
    dashes, dots and invisible marks end none. Other spellings of digits, such as fullwidth or
    circled ones, become ordinary ones (NFKC).
    """
    return _RUN.sub(lambda run: re.sub(r"\d", "*", run[0]), unicodedata.normalize("NFKC", text))


def _date(text: str) -> str:
    return text if _DATE.match(text) else mask_digits(text)


def _encodable(text: str) -> str:
    """Half of a character written as two (a lone surrogate) is no text any store takes."""
    return text.encode("utf-8", "replace").decode()
