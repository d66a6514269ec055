"""The rules of a verification, each limit with its name, its number and its reason."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quota:
    """At most ``amount`` in any ``window`` seconds; the window slides, it has no edges."""

    amount: int
    window: int


DAY = 86_400

DEFAULT_PHONE_QUOTA = (Quota(5, 3600), Quota(10, DAY))


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator may set about verifications.

    The defaults are safe together: 5 guesses at one of 10^6 codes are one chance in 200,000 per
    verification, and 100 failures in a row lock a phone until somebody looks (NIST SP 800-63B-4
    3.1.3.2 and 3.2.2: at least 6 digits, at most 10 minutes, no more than 100 failures in a row).
    """

    code_length: int = 6
    """Digits of a code, 6 to 9 (NIST SP 800-63B-4 3.1.3.2: at least 6)."""
    code_ttl: int = 300
    """Seconds a code is good for, at most 600 (NIST SP 800-63B-4 3.1.3.2)."""
    max_attempts: int = 5
    """Guesses per verification, over all its resends (OWASP ASVS 6.6)."""
    provider_timeout: float = 10.0
    """Seconds one send, by all its routes together, or one check may take at the provider."""
    ask_within: float = 5.0
    """Seconds from its reservation in which a guess may leave for the provider; no setting. Later
    another verification may have a code there, so a process that was suspended must not ask."""
    resend_after: int = 60
    """Seconds between two sends of one app and purpose to one phone; 0 turns it off."""
    phone_quota: tuple[Quota, ...] = DEFAULT_PHONE_QUOTA
    """SMS to one phone, over all apps and purposes; empty turns it off."""
    address_quota: tuple[Quota, ...] = (Quota(20, 3600),)
    """SMS asked for from one address of end users (IPv4, or IPv6 by /64)."""
    address_failure_quota: tuple[Quota, ...] = (Quota(50, 3600),)
    """Wrong guesses from one address: what bounds guesses sprayed over many phones."""
    prefix_quota: tuple[Quota, ...] = (Quota(30, 3600),)
    """SMS to one block of 1,000 numbers: pumping buys numbers in blocks."""
    daily_budget: int = 0
    """SMS of the whole service in one UTC day; 0 is none."""
    record_only: frozenset[str] = frozenset()
    """Names of quotas that count and log but do not refuse."""
    lockout_failures: int = 10
    """Failures in a row on one phone, over all its verifications, that start a lock."""
    lockout_seconds: int = 3600
    """Seconds of the first lock; each next one is twice as long, up to a day."""
    lockout_total: int = 100
    """Failures in a row that lock a phone until it is unlocked by hand; 0 turns it off."""
