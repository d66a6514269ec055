"""How values are read that both the apps file and the service's settings hold.

Each raises ValueError with what is allowed.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

import limits
import phonenumbers

from otpservice.verification import message
from otpservice.verification.policy import DAY, Quota

KNOWN_ROUTES = ("vavasms-otp", "vavasms-text", "http")
DEFAULT_ROUTES = ("vavasms-otp", "vavasms-text")


def shown(value: object) -> str:
    """A wrong value as a problem repeats it: quoted, on one line, and never long."""
    text = repr(value)
    return text if len(text) <= 43 else f"{text[:40]}..."  # noqa: PLR2004


def unknown_names(names: Iterable[str], known: Sequence[str], prefix: str = "") -> list[str]:
    """A problem for each of ``names`` that is not ``known``, with the one it resembles most."""
    problems = []
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {prefix}{close[0]}?" if close else ""
            spelled = name if name.isidentifier() else shown(name)
            problems.append(f"{prefix}{spelled} is not a setting{hint}")
    return problems


def matching(pattern: str, allowed: str) -> Callable[[str], str]:
    """A check that a text is ``allowed``, in words, which is ``pattern`` as an expression."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {allowed}, not {shown(text)}")
        return text

    return check


sender_id = matching("[A-Za-z0-9]{3,11}", "3 to 11 letters and digits")
locale = matching("[a-z]{2,3}", "a language code such as fr")
brand = matching(message.BRAND, "1 to 40 characters on one line, without #")
webotp_host = matching(message.HOST, "a host name in lower case, without https:// and port")
sms_retriever_hash = matching(message.RETRIEVER_HASH, "11 of A-Z, a-z, 0-9, + and /")


def template(text: str) -> str:
    """Check the text of an SMS: it must have a place for the code."""
    if not message.holds_code(text):
        raise ValueError("must hold ##OTP##, where the code goes")
    return text


def quotas(text: str) -> tuple[Quota, ...]:
    """Read ``5/hour;10/day``; empty is none. No window outlasts the keys, which live for a day."""
    try:
        read = [Quota(r.amount, r.get_expiry()) for r in limits.parse_many(text)] if text else []
    except ValueError:
        read = [Quota(0, 0)]
    if any(rule.amount < 1 or rule.window > DAY for rule in read):
        raise ValueError(
            f"must be limits such as 5/hour;10/day, of 1 or more a day or less, not {shown(text)}"
        )
    return tuple(read)


def routes(names: Sequence[str]) -> tuple[str, ...]:
    """Check the names of routes, first choice first."""
    unknown = [name for name in names if name not in KNOWN_ROUTES]
    if unknown or not names or len(set(names)) < len(names):
        said = shown(unknown[0] if unknown else ",".join(names))
        raise ValueError(f"must be among {', '.join(KNOWN_ROUTES)}, each once, not {said}")
    return tuple(names)


def countries(codes: Sequence[str]) -> frozenset[str]:
    """Check ISO 3166 codes of countries that have telephone numbers."""
    unknown = [code for code in codes if code not in phonenumbers.SUPPORTED_REGIONS]
    if unknown or not codes:
        said = shown(unknown[0] if unknown else "")
        raise ValueError(f"must be ISO 3166 country codes such as CI, not {said}")
    return frozenset(codes)
