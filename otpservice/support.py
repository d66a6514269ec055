"""What the help desk needs: what is held for a phone, and its lock lifted."""

import getpass
import logging
from collections.abc import Iterator

from otpservice.adapters.redis_client import connect
from otpservice.adapters.redis_inbound import RedisInbound
from otpservice.adapters.scripts import Scripts
from otpservice.app import redis_store
from otpservice.settings import Settings
from otpservice.verification.digest import Digester
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.ports import PhoneState

log = logging.getLogger("otpservice.audit")


def lookup(settings: Settings, phone: PhoneNumber) -> Iterator[str]:
    """What is held for ``phone``, a line each; the number itself only masked.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    with connect(settings.redis_url) as redis:
        store = redis_store(redis, Digester(settings.secret_keys), settings)
        yield from _lines(phone, store.lookup(phone))


def unlock(settings: Settings, phone: PhoneNumber) -> Iterator[str]:
    """Lift the lock of ``phone`` and forget its failures; says what was held before.

    Who did it is written to the log: a lifted lock is a hundred more guesses.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    with connect(settings.redis_url) as redis:
        before = redis_store(redis, Digester(settings.secret_keys), settings).unlock(phone)
    log.warning(
        "phone_unlocked",
        extra={
            "phone_masked": phone.masked,
            "by": getpass.getuser(),
            "failures_in_all": before.failures_in_all,
            "locked_for": before.locked_for,
        },
    )
    yield f"{phone.masked} was {_lock(before)}, after {before.failures_in_all} failures in a row."
    yield "It is not locked any more, and its failures are forgotten."


def inbox(settings: Settings, count: int) -> Iterator[str]:
    """The newest ``count`` incoming SMS, a line each, as they are kept: senders and digits masked.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    with connect(settings.redis_url) as redis:
        texts = RedisInbound(Scripts(redis), Digester(settings.secret_keys)).recent(count)
    if not texts:
        yield "No incoming SMS."
    for sms in texts:
        text = "".join(char if char.isprintable() else " " for char in sms.text)
        yield f"{sms.received_at:%Y-%m-%d %H:%M} UTC  {sms.sender:<16}  {text}"


def _lines(phone: PhoneNumber, state: PhoneState) -> Iterator[str]:
    yield f"phone          {phone.masked}"
    yield f"lock           {_lock(state)}"
    yield f"failures       {state.failures_in_all} in a row"
    left = "no quota" if state.sends_left is None else f"{state.sends_left} may still be sent now"
    yield f"SMS            {left}"
    for id, app, purpose, status in state.verifications:
        yield f"verification   {status:<18} {app}, {purpose}  {id}"


def _lock(state: PhoneState) -> str:
    if state.locked_for is None:
        return "locked until it is unlocked by hand"
    return f"locked for {state.locked_for} seconds more" if state.locked_for else "not locked"
