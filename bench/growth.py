"""Bytes that open verifications hold in Redis, and whether many of them make a request dearer."""

import re
from collections import Counter
from collections.abc import Sequence
from statistics import median

from redis import Redis

from bench.cost import service_round
from bench.load import run
from bench.measurement import Measured
from bench.stack import Phones, Server, Stack, login, process_of, valkey
from bench.table import Line, Table

_MOST_GROWTH = 1.10
_KIND = re.compile(rb"otp:\{[^}]+\}:([a-z])")
_KINDS = {
    b"v": "record",
    b"p": "phone",
    b"s": "sends",
    b"q": "shared quotas",
    b"g": "pumping guard",
}


def add_growth(table: Table, stack: Stack, *, size: int, work: int, rounds: int) -> None:
    """Compare two services in turns: one with an empty Redis, one with ``size`` verifications."""
    table.section("Growth: bytes of Redis, and CPU with Redis's own; hosted")
    with (
        valkey() as (empty_url, empty),
        valkey() as (full_url, full),
    ):
        with stack.service(full_url) as service:  # another one, so that both start cold below
            _seed(table, service, full, size)
        with stack.service(empty_url) as small, stack.service(full_url) as large:
            sides = ((small, process_of(empty)), (large, process_of(full)))
            phones = Phones(70_000_000)
            pairs = [_round(stack, sides, phones, work) for _ in range(rounds + 1)]
    ratios = [large_cost / small_cost for small_cost, large_cost in pairs[1:]]
    _add_ratio(table, size, ratios)


def _round(
    stack: Stack, sides: Sequence[tuple[Server, int]], phones: Phones, work: int
) -> list[float]:
    """Return what each side pays for the same work."""
    return [
        _cost(service_round(stack, service, "hosted", phones, size=work, redis_pid=pid))
        for service, pid in sides
    ]


def _seed(table: Table, service: Server, redis: Redis, size: int) -> None:
    """Open ``size`` verifications over HTTP, and weigh their keys."""
    before = int(redis.info("memory")["used_memory"])
    answers = run(service.port, [login("hosted", phone) for phone in Phones().take(size)], 8)
    if wrong := answers.wrong(201):
        raise RuntimeError(f"seeding failed: {dict(wrong)}")
    each = (int(redis.info("memory")["used_memory"]) - before) / size
    kinds = {kind: held / size for kind, held in _held(redis).most_common()}
    spoken = ", ".join(f"{kind} {held:,.0f}" for kind, held in kinds.items())
    note = f"{each:,.0f} bytes of used_memory each; by MEMORY USAGE {spoken}"
    table.add(Line(f"{size:,} open", note=note))


def _held(redis: Redis) -> Counter[str]:
    """Bytes of all keys, by kind."""
    held: Counter[str] = Counter()
    keys = list(redis.scan_iter(count=1000))
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.memory_usage(key, samples=0)
    for key, size in zip(keys, pipeline.execute(), strict=True):
        kind = _KIND.match(key if isinstance(key, bytes) else key.encode())
        held[_KINDS.get(kind[1], "other") if kind else "rate limits"] += size
    return held


def _cost(measured: dict[str, Measured]) -> float:
    """CPU milliseconds of a login, a wrong guess and a right one, Redis's included."""
    return sum(one.cpu + one.redis_cpu for one in measured.values())


def _add_ratio(table: Table, size: int, ratios: list[float]) -> None:
    ratio = median(ratios)
    table.add(
        Line(
            f"{size:,} open against an empty Redis",
            ratio=ratio,
            note=f"{min(ratios):.2f} to {max(ratios):.2f}; the ratio is to the empty Redis",
            want=f"<= {_MOST_GROWTH} x empty",
            met=ratio <= _MOST_GROWTH,
        )
    )
