"""What `otpservice doctor` looks at before, or while, the service runs."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from otpservice.adapters.redis_client import connect
from otpservice.adapters.redis_store import RedisStore
from otpservice.adapters.vavasms import (
    Balance,
    InvalidCredentials,
    InvalidSenderId,
    Nonsense,
    NumberRefused,
    OutcomeUnknown,
    Rejected,
    Unavailable,
    UnknownMessage,
    VavasmsError,
)
from otpservice.app import vavasms_client
from otpservice.logs import scrub
from otpservice.settings import SETTINGS, Settings
from otpservice.settings.advice import template_sizes, template_warnings
from otpservice.verification.digest import Digester
from otpservice.verification.errors import InvalidSettings, NotFound, StoreUnavailable

# Seconds. Machines that keep time by NTP differ by thousandths; expires_at and resend_at come from
# Redis's clock, and a minute off is a fifth of the life of a code.
_CLOCK_WARNS, _CLOCK_FAILS = 2, 60

# An id of the right form that no verification has: 128 random bits are never all zero.
_NOBODY = "ver_" + "0" * 36


class Verdict(StrEnum):
    """How a check came out; only ``FAIL`` means that something is wrong."""

    OK = "ok"
    WARNING = "warning"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: how it came out, of what, and what is so or what to do. Without secrets."""

    verdict: Verdict
    subject: str
    text: str


def examine(environ: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Check everything, one finding after the other.

    Redis is only read, one script loaded into its cache apart; the provider is asked for the
    balance and nothing else.

    Args:
        environ: where the settings are; the process's own environment if left out.
    """
    try:
        settings = Settings.from_env(environ)
    except InvalidSettings as error:
        yield from (Finding(Verdict.FAIL, "settings", problem) for problem in error.problems)
        return
    yield from _settings(settings)
    yield from _redis(settings)
    yield _provider(settings)
    yield from _texts(settings)


def _settings(settings: Settings) -> Iterator[Finding]:
    apps = ", ".join(app.name for app in settings.apps)
    yield Finding(
        Verdict.OK, "settings", f"complete; apps: {apps}; routes: {', '.join(settings.routes)}"
    )
    about_texts = set(template_warnings(settings))
    warnings = [warning for warning in settings.warnings if warning not in about_texts]
    yield from (Finding(Verdict.WARNING, "settings", warning) for warning in warnings)
    told = " ".join(warnings)
    for setting in SETTINGS:
        if setting.meaning.startswith("unconfirmed") and setting.variable not in told:
            yield Finding(
                Verdict.WARNING,
                "settings",
                f"{setting.variable}: its default is unconfirmed; ask VavaSMS or try it with one "
                "SMS",
            )


def _redis(settings: Settings) -> Iterator[Finding]:
    yield _transport(settings.redis_url)
    try:
        with connect(settings.redis_url) as client:
            client.ping()
            yield from _server(client, _place(settings.redis_url))
            yield _scripts(client, settings)
            yield _clock(client)
    except InvalidSettings as error:  # of a form this release cannot use
        yield Finding(Verdict.FAIL, "redis", error.problems[0])
    except (RedisError, ValueError) as error:
        yield Finding(Verdict.FAIL, "redis", _unreachable(error, settings.redis_url))


def _transport(url: str) -> Finding:
    scheme, hosts = url.partition("://")[0], _place(url).split(",")
    if scheme == "rediss":
        return Finding(Verdict.OK, "redis TLS", "on")
    if scheme == "unix" or all(_is_loopback(host) for host in hosts):
        return Finding(Verdict.OK, "redis TLS", "not needed: it is on this machine")
    return Finding(
        Verdict.WARNING,
        "redis TLS",
        "off: phone numbers cross the network readable; use rediss:// or a private network",
    )


def _place(url: str) -> str:
    """Where a Redis URL leads, without its login: ``10.0.0.7:6379``."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path


def _is_loopback(host_and_port: str) -> bool:
    return host_and_port.startswith(("127.", "localhost", "[::1]"))


def _unreachable(error: Exception, url: str) -> str:
    if isinstance(error, ValueError):
        return "OTPSERVICE_REDIS_URL is of a form that this release cannot connect to"
    if isinstance(error, AuthenticationError):
        return (
            f"{_place(url)} refuses the login: correct the user and password in "
            "OTPSERVICE_REDIS_URL"
        )
    return (
        f"{_place(url)} does not answer: start it or correct OTPSERVICE_REDIS_URL ({_why(error)})"
    )


def _why(error: BaseException) -> str:
    return scrub(str(error).rstrip(".")) or type(error).__name__


def _server(client: Redis, place: str) -> Iterator[Finding]:
    """What INFO tells, which managed servers allow more often than CONFIG."""
    try:
        info: dict[str, Any] = client.info()
    except ResponseError as error:
        yield Finding(Verdict.OK, "redis", f"answers at {place}")
        yield Finding(
            Verdict.WARNING,
            "redis",
            "does not allow INFO: see for yourself that maxmemory-policy is noeviction and that "
            f"AOF is on ({_why(error)})",
        )
        return
    name, version = "Redis", info.get("redis_version", "of unknown version")
    if "valkey_version" in info:
        name, version = "Valkey", info["valkey_version"]
    if info.get("role") == "slave":
        yield Finding(
            Verdict.FAIL, "redis", f"{place} is a read-only replica: connect to its primary"
        )
    else:
        yield Finding(Verdict.OK, "redis", f"{name} {version} answers at {place}")
    yield _eviction(info.get("maxmemory_policy"))
    yield _persistence(info.get("aof_enabled"))


def _eviction(policy: str | None) -> Finding:
    if policy == "noeviction":
        return Finding(Verdict.OK, "redis memory", "maxmemory-policy is noeviction")
    if policy is None:
        return Finding(
            Verdict.WARNING,
            "redis memory",
            "maxmemory-policy is not told: see for yourself that it is noeviction",
        )
    return Finding(
        Verdict.FAIL,
        "redis memory",
        f"maxmemory-policy is {policy}, which drops quotas and locks when memory is short: "
        "set it to noeviction",
    )


def _persistence(aof: int | None) -> Finding:
    if aof:
        return Finding(Verdict.OK, "redis AOF", "on")
    state = "off" if aof == 0 else "not told"
    return Finding(
        Verdict.WARNING,
        "redis AOF",
        f"{state}: without it quotas, locks and pending codes start anew after a restart; "
        "set appendonly yes",
    )


def _scripts(client: Redis, settings: Settings) -> Finding:
    store = RedisStore(client, Digester(settings.secret_keys), settings.policy)
    try:
        store.read("doctor", _NOBODY)
    except NotFound:
        return Finding(Verdict.OK, "redis scripts", "run")
    except StoreUnavailable as error:
        why = _why(error.__cause__ or error)
        return Finding(
            Verdict.FAIL,
            "redis scripts",
            f"do not run: allow the user EVALSHA, SCRIPT and what they call ({why})",
        )
    return Finding(Verdict.FAIL, "redis scripts", "find a verification that cannot be there")


def _clock(client: Redis) -> Finding:
    before = time.time()
    seconds, microseconds = client.time()
    here = (before + time.time()) / 2
    difference = abs(seconds + microseconds / 1_000_000 - here)
    if difference < _CLOCK_WARNS:
        return Finding(Verdict.OK, "clock", "this machine and Redis agree")
    verdict = Verdict.WARNING if difference < _CLOCK_FAILS else Verdict.FAIL
    return Finding(
        verdict,
        "clock",
        f"this machine and Redis are {difference:,.0f} s apart: set both by NTP",
    )


def _provider(settings: Settings) -> Finding:
    try:
        with closing(vavasms_client(settings)) as client:
            balance = client.balance()
    except VavasmsError as error:
        return Finding(Verdict.FAIL, "provider", provider_problem(error))
    if balance.amount <= 0:
        return Finding(
            Verdict.FAIL, "provider", f"takes the account, but {money(balance)} are left: top it up"
        )
    low = settings.low_balance_xof
    if low is not None and balance.amount < low:
        return Finding(
            Verdict.WARNING,
            "provider",
            f"takes the account, but only {money(balance)} are left, less than "
            f"OTPSERVICE_LOW_BALANCE_XOF, {low:,}: top it up",
        )
    return Finding(Verdict.OK, "provider", f"takes the account; {money(balance)} are left")


def _texts(settings: Settings) -> Iterator[Finding]:
    names = {settings.sender_id_for(app) for app in settings.apps}
    known_by = "whether VavaSMS has it registered, the first SMS tells"
    if all(names):
        yield Finding(Verdict.OK, "sender id", f"{', '.join(sorted(names))}; {known_by}")
    else:
        yield Finding(Verdict.FAIL, "sender id", "missing: set OTPSERVICE_VAVASMS_SENDER_ID")
    warnings = template_warnings(settings)
    yield from (Finding(Verdict.WARNING, "templates", warning) for warning in warnings)
    yield from (Finding(Verdict.OK, "templates", line) for line in template_sizes(settings))


def money(balance: Balance) -> str:
    """An amount as people write it: ``25,540 XOF``. The CFA franc has no minor unit."""
    return f"{balance.amount:,} {balance.currency}"


_PROBLEMS: Mapping[type[Exception], str] = {
    InvalidCredentials: "VavaSMS refuses the account: check OTPSERVICE_VAVASMS_USERNAME and "
    "OTPSERVICE_VAVASMS_PASSWORD",
    InvalidSenderId: "VavaSMS refuses the sender ID: use one that is registered to the account",
    UnknownMessage: "VavaSMS knows no message with this id",
    NumberRefused: "VavaSMS refuses a number; nothing was sent",
    Rejected: "VavaSMS refuses the request; nothing was done",
    Unavailable: "VavaSMS cannot be reached; nothing was done: check OTPSERVICE_VAVASMS_URL and "
    "the network",
    Nonsense: "VavaSMS's answer says neither yes nor no; what was asked for may have been done",
    OutcomeUnknown: "VavaSMS's answer was lost; what was asked for may have been done",
}


def provider_problem(error: VavasmsError) -> str:
    """What a failed call means and what to do, in one line without secrets or numbers."""
    known = (_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS)
    return f"{next(known, 'VavaSMS says no')} ({error})"
