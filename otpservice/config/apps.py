"""The organisation's programs that may call the service, and the apps file that names them.

The apps file is TOML with one table ``[apps.NAME]`` for each app.
"""

import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from otpservice.config.values import (
    brand,
    countries,
    file_text,
    locale,
    matching,
    quotas,
    routes,
    sender_id,
    shown,
    sms_retriever_hash,
    template,
    unknown_names,
    webotp_host,
)
from otpservice.verification.errors import InvalidSettings
from otpservice.verification.policy import Quota

_SCOPES = ("verify", "admin", "metrics")

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
# What hashing an unset variable gives, with and without the end of a line.
_BLANK_HASHES = frozenset(
    hashlib.sha256(blank).digest() for blank in (b"", b" ", b"\t", b"\n", b"\r", b"\r\n", b" \n")
)

NAME_RULE = "must be 1 to 32 of a-z, 0-9, - and _, and begin with a letter or digit"

# Keys are 48 characters; what is much longer is no key, and hashing it would only cost time.
_LONGEST_KEY = 256


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
            return cls.parse(file_text(path))
        except ValueError as error:
            raise InvalidSettings([str(error)]) from None

    @classmethod
    def parse(cls, text: str) -> "Apps":
        """Read the text of an apps file.

        Raises:
            InvalidSettings: it holds mistakes; ``problems`` has a line for each.
        """
        return cls(_read_apps(text))

    def __iter__(self) -> Iterator[App]:
        return iter(self.apps)

    def named(self, name: str) -> App | None:
        """The app of this name, if there is one."""
        return next((app for app in self.apps if app.name == name), None)

    def authenticate(self, key: str) -> App | None:
        """The app whose key this is; no app has an empty or blank key.

        The key's hash is compared with every stored hash, even after a match, so that the time
        shows neither which app came close nor which comes first in the file.
        """
        if not key.strip() or len(key) > _LONGEST_KEY or not key.isascii():
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
    if not NAME.fullmatch(app_name):
        raise ValueError(f"An app's name {NAME_RULE}.")
    return f'[apps.{app_name}]\nkey_sha256 = ["{hashlib.sha256(key.encode()).hexdigest()}"]\n'


def _read_apps(text: str) -> tuple[App, ...]:
    """The apps in the text of an apps file, in its order.

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
    return tuple(apps)


def _read_app(name: str, table: object, problems: list[str]) -> App | None:
    where = f"apps.{name}" if NAME.fullmatch(name) else f"apps.{shown(name)}"
    found = [] if NAME.fullmatch(name) else [f"{where}: an app's name {NAME_RULE}"]
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
    """Read the hashes. Problems never repeat the value: people put the key itself here."""
    hashes = value if isinstance(value, list) else []
    right = all(isinstance(text, str) and re.fullmatch("[0-9A-Fa-f]{64}", text) for text in hashes)
    read = tuple(bytes.fromhex(text) for text in hashes) if right else ()
    if len(read) not in {1, 2} or len(set(read)) < len(read):
        raise ValueError("must be a list of one or two different SHA-256, 64 hex digits each")
    if _BLANK_HASHES.intersection(read):
        raise ValueError("holds the hash of an empty key: make a key with `otpservice keys new`")
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
    "scopes": ("scopes", _each(matching("|".join(_SCOPES), f"among {', '.join(_SCOPES)}"))),
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
