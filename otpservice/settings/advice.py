"""Values that are allowed and still worth a second look."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from otpservice.settings import Settings

# A random key of 32 hex digits has about 14 different ones; fewer than 10 is a typed phrase.
_DIFFERENT_BYTES = 10

# How short a number may be before it is told, and what a shorter one does. An SMS often takes
# half a minute, and somebody who waits for it presses the button again.
_SHORT = {
    "CODE_TTL": (60, "codes may expire before their SMS arrives"),
    "MAX_ATTEMPTS": (2, "one slip of the finger costs another SMS"),
    "RESEND_AFTER": (30, "people ask for a second SMS before the first arrives"),
    "LOCKOUT_FAILURES": (3, "people lock themselves out by mistyping"),
    "LOCKOUT_SECONDS": (60, "a lock hardly slows guessing"),
    "PROVIDER_TIMEOUT": (3, "answers that come late are taken for lost, though the SMS is paid"),
}
_SAFE_LOCKOUT_TOTAL = 100  # NIST SP 800-63B-4 3.2.2


def warnings_about(settings: "Settings") -> Iterator[str]:
    """One line for each, beginning with its variable."""
    for text in (*_short(settings), *_weak(settings), *_turned_off(settings)):
        yield f"OTPSERVICE_{text}"
    for name in ("status_path", "plus_sign", "verify_sender_id", "lang"):
        if getattr(settings, f"vavasms_{name}"):
            yield f"OTPSERVICE_VAVASMS_{name.upper()} is unconfirmed: try it with one SMS first"


def _short(settings: "Settings") -> Iterator[str]:
    for name, (enough, effect) in _SHORT.items():
        field = name.lower()
        holder = settings if hasattr(settings, field) else settings.policy
        if getattr(holder, field) < enough:
            yield f"{name} is under {enough}: {effect}"


def _weak(settings: "Settings") -> Iterator[str]:
    if any(len(set(key)) < _DIFFERENT_BYTES for key in settings.secret_keys):
        yield "SECRET_KEY repeats few characters: make it from random bytes"
    if settings.default_region not in settings.countries:
        yield "DEFAULT_REGION is not in COUNTRIES: national numbers are read, then refused"
    if settings.policy.lockout_total > _SAFE_LOCKOUT_TOTAL:
        yield f"LOCKOUT_TOTAL is over {_SAFE_LOCKOUT_TOTAL}: more than NIST SP 800-63B-4 allows"


def _turned_off(settings: "Settings") -> Iterator[str]:
    quotas = {
        "PHONE_SEND_QUOTA": settings.policy.phone_quota,
        "ADDRESS_SEND_QUOTA": settings.policy.address_quota,
        "ADDRESS_FAILURE_QUOTA": settings.policy.address_failure_quota,
        "PREFIX_SEND_QUOTA": settings.policy.prefix_quota,
        "LOCKOUT_TOTAL": settings.policy.lockout_total,
    }
    yield from (f"{name} is off" for name, value in quotas.items() if not value)
    if "phone" in settings.policy.record_only:
        yield "QUOTA_RECORD_ONLY holds phone: nothing limits the SMS to one phone"
