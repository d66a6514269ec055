"""What a request asks of Redis: round trips, commands, and the bytes it leaves there."""

import json
import re
from collections import Counter

from redis import Redis

from bench.cost import wrong_for
from bench.load import run
from bench.proxy import Proxy
from bench.stack import Phones, Server, Stack, begin_anew, confirm, login, valkey
from bench.stub import HOSTED_CODE
from bench.table import Line, Table

_TRIPS = 20  # requests that are counted, one after another
_HELD = 400  # verifications whose keys are weighed
_MOST_BYTES = 600

# The most round trips wanted, by endpoint.
_WANT = {"/login-code": 4, "/confirm hosted": 4, "/confirm local": 3}

_KIND = re.compile(rb"otp:\{[^}]+\}:([a-z])")
_KINDS = {
    b"v": "record",
    b"p": "phone",
    b"s": "sends",
    b"q": "shared quotas",
    b"g": "pumping guard",
}
_DOOR = "door"


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
        figures = {"trips": trips, "scripts": scripts / count, "commands": inside / count}
        line = Line(name, note=note, want=f"<= {most} round trips", met=trips <= most)
        line.figures = figures
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
        Proxy(port_of(url)) as proxy,
        stack.service(proxy.url) as service,
    ):
        caller = _Caller(table, service, proxy, redis)
        for with_address in (False, True):
            for app in ("hosted", "local"):
                _call_all(stack, caller, app, phones.take(_TRIPS + 1), with_address=with_address)


def _call_all(
    stack: Stack, caller: _Caller, app: str, numbers: list[str], *, with_address: bool
) -> None:
    spoken = ", client_ip" if with_address else ""
    told = (lambda request: request) if with_address else without_address
    stack.texted_codes()
    sends = [told(login(app, phone)) for phone in numbers]
    sent = caller.call(f"/login-code {app}{spoken}", _WANT["/login-code"], sends)
    codes = stack.texted_codes()
    for word, changed in (("wrong", wrong_for), ("right", str)):
        guesses = [
            told(confirm(app, body["id"], changed(codes.get(phone[1:], HOSTED_CODE)), phone))
            for phone, body in zip(numbers, sent, strict=True)
        ]
        caller.call(f"/confirm {app}, {word}{spoken}", _WANT[f"/confirm {app}"], guesses)


def without_address(request: bytes) -> bytes:
    """The same request by an app that does not tell the end user's address."""
    head, body = request.split(b"\r\n\r\n", 1)
    fields = json.loads(body)
    fields.pop("client_ip", None)
    data = json.dumps(fields).encode()
    head = re.sub(rb"Content-Length: [0-9]+", b"Content-Length: %d" % len(data), head)
    return head + b"\r\n\r\n" + data


def add_bytes(table: Table, redis: Redis, service: Server) -> None:
    """Bytes that one open verification holds, by kind of key, a moment after its SMS."""
    table.section("Redis bytes per open verification, all its keys, by MEMORY USAGE")
    for app in ("hosted", "local"):
        for with_address in (False, True):
            begin_anew(redis)
            told = (lambda request: request) if with_address else without_address
            requests = [told(login(app, phone)) for phone in Phones().take(_HELD)]
            run(service.port, requests, 8)
            name = f"{app}, client_ip" if with_address else app
            _weigh(table, name, redis)
    begin_anew(redis)


def _weigh(table: Table, name: str, redis: Redis) -> None:
    held: Counter[str] = Counter()
    keys = list(redis.scan_iter(count=1000))
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.memory_usage(key, samples=0)
    for key, size in zip(keys, pipeline.execute(), strict=True):
        kind = _KIND.match(key)
        held[_KINDS.get(kind[1], "other") if kind else _DOOR] += size
    by_kind = {kind: size / _HELD for kind, size in held.most_common()}
    total, door = sum(by_kind.values()), by_kind.get(_DOOR, 0)
    note = f"{total:,.0f} bytes, of these {door:,.0f} the door's, gone in two minutes"
    table.add(
        Line(
            name,
            note=note,
            want=f"<= {_MOST_BYTES} bytes",
            met=total <= _MOST_BYTES,
            figures={"by_kind": by_kind},
        )
    )
    kinds = ", ".join(f"{kind} {size:,.0f}" for kind, size in by_kind.items())
    table.add(Line("", note=kinds))


def port_of(url: str) -> int:
    """The port in a Redis URL."""
    return int(url.rsplit(":", maxsplit=1)[1].split("/", maxsplit=1)[0])
