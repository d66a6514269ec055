"""Redis a millisecond away."""

from contextlib import ExitStack
from statistics import median
from time import perf_counter

from redis import Redis

from bench.cost import service_round
from bench.proxy import Proxy
from bench.redis_cost import port_of
from bench.stack import Phones, Server, Stack, valkey
from bench.table import Line, Table

_DELAY = 0.001
_SIZE, _ROUNDS = 15, 5
_PINGS = 50


def add_distance(table: Table, stack: Stack, phones: Phones) -> None:
    """What callers wait, one after another, with Redis near by and with it far away, in turns."""
    table.section("Distance: one caller; Redis on this machine, and 1 ms further away")
    with ExitStack() as running:
        url, _ = running.enter_context(valkey())
        near = running.enter_context(Proxy(port_of(url)))
        far = running.enter_context(Proxy(port_of(url), delay=_DELAY))
        services = [running.enter_context(stack.service(proxy.url)) for proxy in (near, far)]
        rounds = [[_waits(stack, one, phones) for one in services] for _ in range(_ROUNDS + 1)]
        further = _ping(far.url) - _ping(near.url)
    for name in rounds[0][0]:
        # The first round loads the scripts.
        here, away = (median(pair[n][name] for pair in rounds[1:]) for n in (0, 1))
        trips = (away - here) / further
        note = f"{here:.1f} ms near by; {trips:.1f} trips of {further:.2f} ms more"
        table.add(Line(name, p50=away, note=note, figures={"near": here, "trip": further}))


def _waits(stack: Stack, service: Server, phones: Phones) -> dict[str, float]:
    """The median wait by endpoint."""
    found = {}
    for app in ("hosted", "local"):
        measured = service_round(stack, service, app, phones, size=_SIZE, in_flight=1)
        found |= {name: one.p50 for name, one in measured.items()}
    return found


def _ping(url: str) -> float:
    """The median milliseconds of a round trip."""
    with Redis.from_url(url) as client:
        client.ping()
        took = []
        for _ in range(_PINGS):
            began = perf_counter()
            client.ping()
            took.append(perf_counter() - began)
    return median(took) * 1000
