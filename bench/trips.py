"""What a request asks of Redis: round trips and commands."""

import json
import re

from redis import Redis

from bench.cost import wrong_for
from bench.load import run
from bench.proxy import Proxy
from bench.stack import Phones, Server, Stack, confirm, login, valkey
from bench.stub import HOSTED_CODE
from bench.table import Line, Table

_TRIPS = 20  # requests that are counted, one after another

# The most round trips wanted, by endpoint.
_WANT = {"/login-code": 4, "/confirm hosted": 4, "/confirm local": 3}


class _Caller:
    """Calls a service whose way to Redis leads through a proxy."""

    def __init__(self, table: Table, service: Server, proxy: Proxy, redis: Redis) -> None:
        self._table = table
        self._service = service
        self._proxy = proxy
        self._redis = redis

    def call(self, name: str, most: int, requests: list[bytes]) -> list[dict[str, str]]:
        """Make the requests one by one, add a line on what they asked; returns the answers.

        The first, which may load scripts, does not count.
        """
        first = run(self._service.port, requests[:1], 1)
        self._redis.config_resetstat()
        self._proxy.trips = 0
        rest = run(self._service.port, requests[1:], 1)
        count = len(rest.answers)
        trips, (scripts, inside) = self._proxy.trips / count, self._commands()
        inner = f"{scripts / count:.1f} scripts of {inside / count:.1f} commands"
        note = f"{trips:.1f} round trips, {inner}"
        line = Line(name, note=note, want=f"<= {most} round trips", met=trips <= most)
        self._table.add(line)
        return [body for _, body in first.answers + rest.answers]

    def _commands(self) -> tuple[int, int]:
        """Scripts that were run, and commands that these ran."""
        stats = self._redis.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
        scripts = calls.pop("evalsha", 0) + calls.pop("eval", 0)
        calls.pop("config|resetstat", None)
        return scripts, sum(calls.values())


def add_trips(table: Table, stack: Stack, phones: Phones) -> None:
    """Round trips and commands of one request each, without and with the end user's address."""
    table.section("Redis per request")
    with (
        valkey() as (url, redis),
        Proxy(_port_of(url)) as proxy,
        stack.service(proxy.url) as service,
    ):
        caller = _Caller(table, service, proxy, redis)
        for with_address in (False, True):
            for app in ("hosted", "local"):
                _call_all(stack, caller, app, phones.take(_TRIPS + 1), with_address=with_address)


def _call_all(
    stack: Stack, caller: _Caller, app: str, numbers: list[str], *, with_address: bool
) -> None:
    suffix = ", client_ip" if with_address else ""
    shaped = (lambda request: request) if with_address else _without_address
    stack.texted_codes()
    sends = [shaped(login(app, phone)) for phone in numbers]
    sent = caller.call(f"/login-code {app}{suffix}", _WANT["/login-code"], sends)
    codes = stack.texted_codes()
    for word, changed in (("wrong", wrong_for), ("right", str)):
        guesses = [
            shaped(confirm(app, body["id"], changed(codes.get(phone[1:], HOSTED_CODE)), phone))
            for phone, body in zip(numbers, sent, strict=True)
        ]
        caller.call(f"/confirm {app}, {word}{suffix}", _WANT[f"/confirm {app}"], guesses)


def _without_address(request: bytes) -> bytes:
    """Return the same request without ``client_ip``."""
    head, body = request.split(b"\r\n\r\n", 1)
    fields = json.loads(body)
    fields.pop("client_ip", None)
    data = json.dumps(fields).encode()
    head = re.sub(rb"Content-Length: [0-9]+", b"Content-Length: %d" % len(data), head)
    return head + b"\r\n\r\n" + data


def _port_of(url: str) -> int:
    """The port in a Redis URL."""
    return int(url.rsplit(":", maxsplit=1)[1].split("/", maxsplit=1)[0])
