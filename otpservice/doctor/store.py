"""Redis or Valkey: that it answers, keeps what it is given, and lets the scripts run."""

import re
import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from redis.sentinel import MasterNotFoundError

from otpservice.config.settings import Settings
from otpservice.doctor.finding import Finding, Verdict
from otpservice.store.client import Client, connect
from otpservice.store.generation import epoch_known
from otpservice.store.health import servers
from otpservice.store.verifications import RedisStore
from otpservice.telemetry.logs import scrub
from otpservice.verification.digest import Digester
from otpservice.verification.errors import InvalidSettings, NotFound, StoreUnavailable

# Seconds. Machines that keep time by NTP differ by thousandths; expires_at and resend_at come from
# Redis's clock, and a minute off is a fifth of the life of a code.
_CLOCK_WARNS, _CLOCK_FAILS = 2, 60

# An id of the right form that no verification has: 128 random bits are never all zero.
_NOBODY = "ver_" + "0" * 36


def redis_findings(settings: Settings) -> Iterator[Finding]:
    """Redis is only read, two scripts loaded into its cache apart."""
    yield _transport(settings.redis_url)
    try:
        with connect(settings.redis_url) as client:
            for server in servers(client):
                server.ping()
                yield from _server(server, _address(server) or _place(settings.redis_url))
            yield _scripts(client, settings)
            yield _rights(client)
            yield _clock(servers(client)[0])
            yield _state(client)
    except InvalidSettings as error:  # of a form this release cannot use
        yield Finding(Verdict.FAIL, "redis", error.problems[0])
    except (RedisError, ValueError) as error:
        yield Finding(Verdict.FAIL, "redis", _unreachable(error, settings.redis_url))


def _transport(url: str) -> Finding:
    scheme, hosts = url.partition("://")[0], _place(url).split(",")
    if scheme.startswith("rediss"):
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


def _address(client: Redis) -> str | None:
    """Of a server or a node of a cluster; of a primary that sentinels name, its URL tells more."""
    held = client.connection_pool.connection_kwargs
    return f"{held['host']}:{held['port']}" if {"host", "port"} <= set(held) else None


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
    if isinstance(error, MasterNotFoundError):  # it goes on with all options of the clients
        return str(error).partition(" : ")[0]
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
        f"{state}: without it quotas, locks and pending codes start from zero after a restart; "
        "set appendonly yes",
    )


def _scripts(client: Client, settings: Settings) -> Finding:
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
            f"do not run: allow the user EVALSHA, EVAL, SCRIPT and what they call ({why})",
        )
    return Finding(Verdict.FAIL, "redis scripts", "find a verification that cannot be there")


# What the scripts of the service and of `limits` call, on keys of the two families there are.
_CALL = re.compile(r"redis\.p?call\(\s*['\"](\w+)")
_DOOR = ("EXISTS", "GET", "INCRBY", "PTTL", "RENAME", "SET")
_MAY = """
if not redis.acl_check_cmd then return {'unknown'} end
local refused = {'known'}
for _, command in ipairs(ARGV) do
  if not redis.acl_check_cmd(command, KEYS[1]) then table.insert(refused, command) end
end
return refused
"""


def _rights(client: Client) -> Finding:
    """Whether the user may do all that scripts do: asked of Redis, not tried."""
    needed = {"otp:{0000}:doctor": _commands(), "LIMITS:doctor": list(_DOOR)}
    refused: set[str] = set()
    for key, commands in needed.items():
        try:
            held = client.execute_command("EVAL", _MAY, 1, key, *commands)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            return Finding(
                Verdict.FAIL, "redis rights", f"none on {key.split(':')[0]}:* ({_why(error)})"
            )
        known, *names = (answer.decode() for answer in held)
        if known == "unknown":  # before Redis 7
            return Finding(Verdict.WARNING, "redis rights", "not told by a server this old")
        refused.update(f"{name} on {key.split(':')[0]}:*" for name in names)
    if refused:
        return Finding(
            Verdict.FAIL, "redis rights", f"the user may not {', '.join(sorted(refused))}: allow it"
        )
    return Finding(Verdict.OK, "redis rights", "the user may do all that the scripts do")


def _commands() -> list[str]:
    lua = files("otpservice.store") / "lua"
    texts = (file.read_text() for file in lua.iterdir() if file.name.endswith(".lua"))
    return sorted({command.upper() for text in texts for command in _CALL.findall(text)})


def _state(client: Client) -> Finding:
    since = epoch_known(client)
    if since is None:
        return Finding(
            Verdict.OK, "redis state", "none yet: it begins with the first look at /health/ready"
        )
    return Finding(Verdict.OK, "redis state", f"begun {since:%Y-%m-%d %H:%M} UTC, not lost since")


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
