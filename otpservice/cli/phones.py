"""What the help desk needs: what is held for a phone, and its lock lifted."""

import getpass
import logging
import os

from otpservice.app import redis_store
from otpservice.config.settings import Settings
from otpservice.store.client import connect
from otpservice.store.inbound import RedisInbound
from otpservice.store.scripts import Scripts
from otpservice.verification.digest import Digester
from otpservice.verification.inbound import InboundSms
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.ports import PhoneState

log = logging.getLogger("otpservice.audit")


def lookup(settings: Settings, phone: PhoneNumber) -> PhoneState:
    """What is held for ``phone``.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    with connect(settings.redis_url) as redis:
        return redis_store(redis, Digester(settings.secret_keys), settings).lookup(phone)


def unlock(settings: Settings, phone: PhoneNumber) -> PhoneState:
    """Lift the lock of ``phone`` and forget its failures; returns what was held before.

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
            "by": _who(),
            "failures_in_all": before.failures_in_all,
            "locked_for": before.locked_for,
        },
    )
    return before


def inbox(settings: Settings, count: int) -> list[InboundSms]:
    """The newest ``count`` incoming SMS as they are kept: senders and digits masked.

    Raises:
        StoreUnavailable: Redis did not answer.
    """
    with connect(settings.redis_url) as redis:
        return RedisInbound(Scripts(redis), Digester(settings.secret_keys)).recent(count)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # containers run under numbers that no user has
        return f"uid {os.getuid()}"
