"""Incoming SMS on Redis or Valkey: texts in one stream, opt-outs beside each phone's state.

On a cluster no script can touch both, so a STOP is two steps: its text is kept, then the phone is
opted out. Each step is done once for each message id and knows so by itself; whatever was cut off
in between is done when the provider delivers the message again.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from otpservice.store.keys import key_of
from otpservice.store.scripts import Call, Scripts
from otpservice.verification.digest import Digester
from otpservice.verification.inbound import InboundSms, Wish
from otpservice.verification.phone import PhoneNumber

log = logging.getLogger(__name__)

_TEXTS = "otp:{inbox}:texts"

# A week: the provider does not say for how long it delivers again; who does gives up in days.
_REMEMBERED = 7 * 86_400_000


class RedisInbound:
    """Implements ``otpservice.verification.inbound.InboundStore``.

    Args:
        scripts: runs the scripts.
        digester: makes the digests that stand for phones and message ids. An opt-out is written
            under every secret there is, and found under any.
    """

    def __init__(self, scripts: Scripts, digester: Digester) -> None:
        self._scripts = scripts
        self._digester = digester

    def keep(self, sms: InboundSms, phone: PhoneNumber | None) -> bool:
        """Keep an SMS and do what it wishes, both once for each message id."""
        message = self._digester.bucket("message", sms.message_id)
        sender = phone.e164 if phone else sms.sender
        fingerprint = self._digester.bucket("incoming", f"{sender}:{sms.wish or ''}")
        keys = [f"otp:{{inbox}}:m:{message}", _TEXTS]
        args = [fingerprint, _REMEMBERED, *_fields(sms)]
        ((result,),) = self._scripts.run([Call("inbound_keep", keys, args)])
        if result == "other":
            log.warning("inbound_id_reused", extra={"message_id": sms.message_id})
        elif phone and sms.wish:
            self._consent(phone, sms.wish, message)
        return bool(result == "new")

    def opted_out(self, phone: PhoneNumber) -> bool:
        """Whether its holder wants no SMS; asking keeps a yes for another 400 days."""
        calls = [
            Call("inbound_consent", [key_of(digest.tag, "o", digest.name)], ["ask"])
            for digest in self._digester.phones(phone)
        ]
        return any(word == "out" for (word,) in self._scripts.run(calls))

    def recent(self, count: int) -> list[InboundSms]:
        """The last SMS that came in, newest first."""
        if count < 1:
            return []
        ((_, entries),) = self._scripts.run([Call("inbound_recent", [_TEXTS], [count])])
        return [_sms(id, flat) for id, flat in entries]

    def _consent(self, phone: PhoneNumber, wish: Wish, message: str) -> None:
        calls = [
            Call(
                "inbound_consent",
                [key_of(digest.tag, "o", digest.name), key_of(digest.tag, "m", message)],
                [wish, _REMEMBERED],
            )
            for digest in self._digester.phones(phone)
        ]
        self._scripts.run(calls)


def _fields(sms: InboundSms) -> list[str]:
    """Names and values, one after the other, as XADD takes them."""
    held = {
        "message_id": sms.message_id,
        "sender": sms.sender,
        "text": sms.text,
        "sms_date": sms.sms_date,
        "wish": sms.wish or "",
    }
    return [text for pair in held.items() for text in pair]


def _sms(id: bytes, flat: Sequence[bytes]) -> InboundSms:
    texts = [value.decode() for value in flat]
    held = dict(zip(texts[::2], texts[1::2], strict=True))
    milliseconds = int(id.partition(b"-")[0])
    return InboundSms(
        message_id=held["message_id"],
        sender=held["sender"],
        text=held["text"],
        sms_date=held["sms_date"],
        wish=Wish(held["wish"]) if held["wish"] else None,
        received_at=datetime.fromtimestamp(milliseconds / 1000, UTC),
    )
