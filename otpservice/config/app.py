"""One of the organisation's programs, and what it may do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from otpservice.verification.policy import Quota


@dataclass(frozen=True, slots=True)
class App:
    """One program with an API key.

    Attributes:
        name: as in the apps file: ``portal``.
        key_hashes: SHA-256 of its key, 32 bytes; two while a key is being replaced.
        scopes: what it may do, among ``verify``, ``admin`` and ``metrics``.
        purposes: what it may verify phones for.
        sender_id: the name its SMS show as their sender; None for the service's.
        countries: ISO 3166 codes it may send to; None for the service's.
        routes: names of its routes, first choice first; None for the service's.
        send_quota: SMS of this app; empty for none.
        daily_send_budget: SMS in one UTC day; 0 for none.
        messages: its own templates by locale, each with ``##OTP##``.
        brand: what ``##BRAND##`` is in them; None for the sender ID.
        do_not_share: add a line that warns of those who ask for codes.
        webotp_host: the site browsers offer the code to; None for no WebOTP line.
        sms_retriever_hash: of the Android app that may read the SMS; None for no hash.
    """

    name: str
    key_hashes: tuple[bytes, ...] = field(repr=False)
    scopes: frozenset[str] = frozenset({"verify"})
    purposes: frozenset[str] = frozenset({"login"})
    sender_id: str | None = None
    countries: frozenset[str] | None = None
    routes: tuple[str, ...] | None = None
    send_quota: tuple[Quota, ...] = ()
    daily_send_budget: int = 0
    messages: Mapping[str, str] = field(default_factory=dict, hash=False)
    brand: str | None = None
    do_not_share: bool = False
    webotp_host: str | None = None
    sms_retriever_hash: str | None = None
