"""How single values are read: text in, a typed value out, or a ValueError with what is allowed.

A problem repeats the wrong value only where it cannot be a secret.
"""

import base64
import binascii
import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import limits
import phonenumbers

from otpservice.verification import message
from otpservice.verification.address import Network
from otpservice.verification.errors import InvalidSettings
from otpservice.verification.policy import DAY, Quota

T = TypeVar("T")

KNOWN_ROUTES = ("vavasms-otp", "vavasms-text", "http")
DEFAULT_ROUTES = ("vavasms-otp", "vavasms-text")

HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
# The name an HTTP library dials must be the one checked here: no login, no odd characters.
_HTTP_URL = re.compile(rf"https?://{HOST}(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~%/-]*)?")

_RECORD_ONLY = ("phone", "address", "prefix", "app")


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


def whole(low: int, high: int) -> Callable[[str], int]:
    """A number written in ASCII digits only: no sign, no spaces, no other alphabet's digits."""

    def read(text: str) -> int:
        # Nine digits hold every range here; without a bound, int() refuses after 4,300 of them.
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}, not {shown(text)}")
        return int(text)

    return read


def seconds(low: int, high: int) -> Callable[[str], float]:
    """A number of seconds, ``10`` or ``2.5``."""

    def read(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not low <= float(text) <= high:
            raise ValueError(f"must be a number of seconds from {low} to {high}, not {shown(text)}")
        return float(text)

    return read


def choice(*allowed: str) -> Callable[[str], str]:
    """One of a few words, spelled as here."""
    return matching("|".join(allowed), f"one of {', '.join(allowed)}")


def switch(text: str) -> bool:
    """``on`` or ``off``."""
    return choice("on", "off")(text) == "on"


def one_line(text: str) -> str:
    """Any text on one line, or none. Problems never repeat it: it is part of a login.

    What is blank, or goes on after a line, is a file that was not meant.
    """
    if text and (not text.strip() or re.search(r"[\r\n]", text)):
        raise ValueError("must be one line that is not blank")
    return text


def optional(read: Callable[[str], T]) -> Callable[[str], T | None]:
    """The same, but empty is None."""
    return lambda text: read(text) if text else None


def secret_keys(text: str) -> tuple[bytes, ...]:
    """One key or two, separated by a comma, newest first."""
    one_line(text)
    keys = tuple(part.strip().encode() for part in text.split(","))
    if len(keys) not in {1, 2} or len(set(keys)) < len(keys) or min(map(len, keys)) < 32:  # noqa: PLR2004
        raise ValueError(
            "must be one key of at least 32 bytes, or two different ones, newest,older"
        )
    return keys


def inbound_token(text: str) -> str:
    """A part of a URL's path, so only characters that stand for themselves there."""
    if not re.fullmatch(r"[A-Za-z0-9._~-]{32,}", text):
        raise ValueError("must be at least 32 letters, digits, dots, dashes, underscores or tildes")
    return text


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks, IPv4 or IPv6; an address is a network of one."""
    found = []
    for item in items(text):
        try:
            found.append(ipaddress.ip_network(item))
        except ValueError:
            raise ValueError(
                "must be addresses or networks such as 192.0.2.7 or 192.0.2.0/24, "
                f"not {shown(item)}"
            ) from None
    return tuple(found)


def webhook_secret(text: str) -> str:
    """A signing secret as Standard Webhooks writes it: 24 to 64 bytes."""
    allowed = ValueError("must be whsec_ and the base64 of 24 to 64 bytes")
    try:
        size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except (binascii.Error, ValueError):
        raise allowed from None
    if not text.startswith("whsec_") or not 24 <= size <= 64:  # noqa: PLR2004
        raise allowed
    return text


def provider_url(text: str) -> str:
    """Where credentials or codes are posted to: https, or http to this machine."""
    rule = "must be an https:// URL without login, query or fragment"
    if not _HTTP_URL.fullmatch(text):
        raise ValueError(rule)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(rule) from None
    if port == 0 or (parts.scheme == "http" and not _is_loopback(host)):
        raise ValueError(f"{rule}; plain http:// only to a loopback address")
    return text.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


status_path = matching("[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", "a relative path such as text/status")
language = matching("[A-Za-z]{2}", "two letters")


def items(text: str) -> list[str]:
    """The items of a list separated by commas, spaces around them left out."""
    return [item.strip(" ") for item in text.split(",")] if text else []


def route_list(text: str) -> tuple[str, ...]:
    """Routes, first choice first."""
    return routes(items(text))


def country_list(text: str) -> frozenset[str]:
    """Countries by ISO 3166 code."""
    return countries(items(text))


def country(text: str) -> str:
    """One country by ISO 3166 code."""
    countries([text])
    return text


def rate_limit(text: str) -> str:
    """A limit of requests. Unlike a quota it cannot be turned off: it guards the door."""
    if not quotas(text):
        raise ValueError("must be limits such as 30/minute, and cannot be empty")
    return text


def record_only(text: str) -> frozenset[str]:
    """Names of quotas; ``address`` is both of them, of SMS and of failures."""
    if wrong := [name for name in items(text) if name not in _RECORD_ONLY]:
        raise ValueError(f"must be among {', '.join(_RECORD_ONLY)}, not {shown(wrong[0])}")
    return frozenset(items(text))


def number_file(path: str) -> tuple[str, ...]:
    """The numbers and prefixes in a file, in its order; ``#`` begins a comment. No path: none.

    Raises:
        ValueError: it cannot be read.
        InvalidSettings: lines of it are no numbers; a problem for each, which does not repeat it.
    """
    if not path:
        return ()
    lines = [line.partition("#")[0].strip() for line in file_text(path).splitlines()]
    problems = [
        f"{path!r} line {number} must be a number or prefix in E.164, such as +22507"
        for number, line in enumerate(lines, start=1)
        if line and not re.fullmatch(r"\+[1-9][0-9]{0,14}", line)
    ]
    if problems:
        raise InvalidSettings(problems)
    return tuple(dict.fromkeys(line for line in lines if line))


def file_text(path: str) -> str:
    """What a file holds. Problems never repeat the path: it may be a secret put in its place.

    Raises:
        ValueError: it cannot be read as UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError("names a file that is not UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise ValueError(f"names a file that cannot be read: {reason}") from None
