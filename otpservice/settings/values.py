"""How single values are read: text in, a typed value out, or a ValueError with what is allowed.

A problem repeats the wrong value only where it cannot be a secret.
"""

import base64
import binascii
import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

from otpservice.apps.values import countries, matching, quotas, routes, shown
from otpservice.verification.address import Network
from otpservice.verification.errors import InvalidSettings

T = TypeVar("T")

_LOGIN = r"(?:[^/?#\s]*@)?"
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_NODES = rf"(?P<nodes>{_HOST}:[0-9]{{1,5}}(?:,{_HOST}:[0-9]{{1,5}})*)"
_QUERY = r"(?:\?[^#\s]*)?"
_REDIS_URLS = (
    rf"rediss?://{_LOGIN}(?P<nodes>{_HOST}(?::[0-9]{{1,5}})?)(?:/[0-9]*)?{_QUERY}",
    rf"unix://(?:[^/?#\s]*@)?(?P<nodes>)/[^?#\s]+{_QUERY}",
    rf"rediss?\+sentinel://{_LOGIN}{_NODES}/[A-Za-z0-9._-]+(?:/[0-9]+)?{_QUERY}",
    rf"rediss?\+cluster://{_LOGIN}{_NODES}/?{_QUERY}",
)
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
_REDIS_OPTIONS = {
    "redis": ("db",),
    "rediss": ("db", *_TLS_OPTIONS),
    "unix": ("db", "username", "password"),
    "redis+sentinel": _SENTINEL_OPTIONS,
    "rediss+sentinel": (*_SENTINEL_OPTIONS, *_TLS_OPTIONS),
    "redis+cluster": (),
    "rediss+cluster": _TLS_OPTIONS,
}

# The name an HTTP library dials must be the one checked here: no login, no odd characters.
_HTTP_URL = re.compile(rf"https?://{_HOST}(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~%/-]*)?")

_RECORD_ONLY = ("phone", "address", "prefix", "app")


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


def redis_url(text: str) -> str:
    """One of the forms of docs/redis.md; it may hold a password, so problems never repeat it."""
    match = next((m for form in _REDIS_URLS if (m := re.fullmatch(form, text))), None)
    ports = re.findall(r":([0-9]+)(?=,|\Z)", match["nodes"]) if match else ["0"]
    if not all(1 <= int(port) <= 65_535 for port in ports):  # noqa: PLR2004
        raise ValueError(
            "must be redis://HOST:PORT/DB, rediss://HOST:PORT/DB, unix:///PATH?db=DB, "
            "redis+sentinel://HOST:PORT,HOST:PORT/MASTER/DB or "
            "redis+cluster://HOST:PORT,HOST:PORT, rediss+… over TLS; USER:PASSWORD@ may stand "
            "before the host"
        )
    scheme, _, rest = text.partition("://")
    _check_redis_options(scheme, parse_qs(rest.partition("?")[2], keep_blank_values=True))
    return text


def _check_redis_options(scheme: str, given: dict[str, list[str]]) -> None:
    """What stands after the question mark: all else would reach redis-py, and undo timeouts."""
    allowed = _REDIS_OPTIONS[scheme]
    if not all(name in allowed for name in given):
        raise ValueError(f"may have only these options after ?: {', '.join(allowed) or 'none'}")
    if not re.fullmatch(r"[0-9]{1,4}", given.get("db", ["0"])[0]):
        raise ValueError("must have a number as its db")
    if scheme.startswith("rediss"):
        _check_certificates({name: values[0] for name, values in given.items()})


def _check_certificates(options: Mapping[str, str]) -> None:
    """Files that cannot be used would be found out only when the first connection is made."""
    ca, cert = options.get("ssl_ca_certs"), options.get("ssl_certfile")
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert is not None:
            # Without a password an encrypted key would ask for it on the terminal.
            context.load_cert_chain(cert, options.get("ssl_keyfile"), password=lambda: "")
    except (OSError, ValueError):
        raise ValueError(
            "names a file in ssl_ca_certs, ssl_certfile or ssl_keyfile that cannot be used"
        ) from None


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
    """The numbers and prefixes in a file, in its order: one a line, ``#`` begins a comment.

    Raises:
        ValueError: it cannot be read.
        InvalidSettings: lines of it are no numbers; a problem for each, which does not repeat it.
    """
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
