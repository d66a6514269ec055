"""The organisation's programs that may call the service, and what each of them may do."""

import difflib
import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import limits
import phonenumbers

from otpservice.verification import message
from otpservice.verification.errors import InvalidSettings
from otpservice.verification.policy import DAY, Quota

KNOWN_ROUTES = ("vavasms-otp", "vavasms-text", "http")
DEFAULT_ROUTES = ("vavasms-otp", "vavasms-text")
SCOPES = ("verify", "admin", "metrics")

# Keys are 48 characters; what is much longer is no key, and hashing it would only cost time.
_LONGEST_KEY = 256

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_NAME_RULE = "must be 1 to 32 of a-z, 0-9, - and _, and begin with a letter or digit"


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


@dataclass(frozen=True, slots=True)
class Apps:
    """All apps of the apps file, in its order."""

    apps: tuple[App, ...]

    @classmethod
    def load(cls, path: str) -> "Apps":
        """Read the apps file.

        Raises:
            InvalidSettings: it cannot be read, or holds mistakes; one problem each.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise InvalidSettings(["the file is not UTF-8 text"]) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a path"
            raise InvalidSettings([f"the file cannot be read: {reason}"]) from None
        return cls.parse(text)

    @classmethod
    def parse(cls, text: str) -> "Apps":
        """Read the text of an apps file: TOML with one table ``[apps.NAME]`` for each app.

        Raises:
            InvalidSettings: it holds mistakes; ``problems`` has a line for each.
        """
        try:
            document = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # ValueError: numbers of 5,000 digits too
            raise InvalidSettings([f"not valid TOML: {error}"]) from None
        problems = unknown_names(document, ("apps",))
        tables = document.get("apps")
        if not isinstance(tables, dict) or not tables:
            raise InvalidSettings([*problems, "there is no table [apps.NAME]"])
        apps = [app for name in tables if (app := _read_app(name, tables[name], problems))]
        problems += _shared_keys(apps)
        if problems:
            raise InvalidSettings(problems)
        return cls(tuple(apps))

    def __iter__(self) -> Iterator[App]:
        return iter(self.apps)

    def named(self, name: str) -> App | None:
        """The app of this name, if there is one."""
        return next((app for app in self.apps if app.name == name), None)

    def authenticate(self, key: str) -> App | None:
        """The app whose key this is.

        The key's hash is compared with every stored one whatever comes out, so that the time it
        takes does not tell which app came close, or which comes first in the file.
        """
        if len(key) > _LONGEST_KEY or not key.isascii():
            return None
        digest = hashlib.sha256(key.encode()).digest()
        found = None
        for app in self.apps:
            for stored in app.key_hashes:
                if hmac.compare_digest(digest, stored):
                    found = app
        return found


def new_key() -> str:
    """A new API key: 256 random bits, with a prefix that secret scanners can look for."""
    return "otps_" + secrets.token_urlsafe(32)


def apps_file_lines(app_name: str, key: str) -> str:
    """The lines of the apps file that let ``app_name`` in with ``key``: they hold only its hash.

    Raises:
        ValueError: no app can have that name.
    """
    if not _NAME.fullmatch(app_name):
        raise ValueError(f"An app's name {_NAME_RULE}.")
    return f'[apps.{app_name}]\nkey_sha256 = ["{hashlib.sha256(key.encode()).hexdigest()}"]\n'


# What the service's settings hold as well. Each raises ValueError with what is allowed.


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


def _read_app(name: str, table: object, problems: list[str]) -> App | None:
    where = f"apps.{name}" if _NAME.fullmatch(name) else f"apps.{shown(name)}"
    found = [] if _NAME.fullmatch(name) else [f"{where}: an app's name {_NAME_RULE}"]
    fields: dict[str, Any] = {}
    if not isinstance(table, dict):
        table = {}
        found.append(f"{where} must be a table")
    elif "key_sha256" not in table:
        found.append(f"{where}.key_sha256 is required")
    found += unknown_names(table, tuple(_FIELDS), f"{where}.")
    for key in _FIELDS.keys() & table.keys():
        attribute, read = _FIELDS[key]
        try:
            fields[attribute] = read(table[key])
        except ValueError as error:
            found.append(f"{where}.{key} {error}")
    problems += sorted(found)
    return None if found else App(name, **fields)


def _shared_keys(apps: Iterable[App]) -> list[str]:
    owners: dict[bytes, str] = {}
    return [
        f"apps.{owner} and apps.{app.name} have the same key: give each its own"
        for app in apps
        for key in app.key_hashes
        if (owner := owners.setdefault(key, app.name)) != app.name
    ]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {shown(value)}")
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {shown(value)}")
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise ValueError(f"must be a list of one or more strings, not {shown(value)}")
    return value


def _key_hashes(value: object) -> tuple[bytes, ...]:
    """Problems never repeat the value: whoever is in a hurry puts the key itself here."""
    hashes = value if isinstance(value, list) else []
    right = all(isinstance(text, str) and re.fullmatch("[0-9A-Fa-f]{64}", text) for text in hashes)
    read = tuple(bytes.fromhex(text) for text in hashes) if right else ()
    if len(read) not in {1, 2} or len(set(read)) < len(read):
        raise ValueError("must be a list of one or two different SHA-256, 64 hex digits each")
    return read


def _each(check: Callable[[str], str]) -> Callable[[object], frozenset[str]]:
    return lambda value: frozenset(check(text) for text in _texts(value))


def _budget(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"must be a whole number from 0, not {shown(value)}")
    return value


def _messages(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"must be one template a language, message.fr, not {shown(value)}")
    return MappingProxyType({locale(name): template(_text(value[name])) for name in value})


_FIELDS: dict[str, tuple[str, Callable[[object], object]]] = {
    "key_sha256": ("key_hashes", _key_hashes),
    "scopes": ("scopes", _each(matching("|".join(SCOPES), f"among {', '.join(SCOPES)}"))),
    "purposes": ("purposes", _each(matching("[a-z0-9_-]{1,32}", "1 to 32 of a-z, 0-9, - and _"))),
    "sender_id": ("sender_id", lambda value: sender_id(_text(value))),
    "countries": ("countries", lambda value: countries(_texts(value))),
    "routes": ("routes", lambda value: routes(_texts(value))),
    "send_quota": ("send_quota", lambda value: quotas(_text(value))),
    "daily_send_budget": ("daily_send_budget", _budget),
    "message": ("messages", _messages),
    "brand": ("brand", lambda value: brand(_text(value))),
    "do_not_share": ("do_not_share", _switch),
    "webotp_host": ("webotp_host", lambda value: webotp_host(_text(value))),
    "sms_retriever_hash": ("sms_retriever_hash", lambda value: sms_retriever_hash(_text(value))),
}
