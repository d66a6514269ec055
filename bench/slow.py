"""Bursts of logins at a slow provider, and health probes meanwhile."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from bench.load import Load, percentile, run
from bench.processes import peak_mb, rss_mb
from bench.stack import Phones, Server, Stack, login
from bench.table import Line, Table

_CREATED = 201
_MOST_MB = 250
_MOST_PROBE_MS = 250

WORKERS, REQUESTS = 2, 1000
"""Gunicorn's for this part: as connections fall, one worker may get most of a thousand."""

_CASES = ((300, 1000, 1800), (1000, 5000, 6500))
"""Logins at once, the provider's latency and the longest p99 wanted, in milliseconds."""


def add_slow(table: Table, stack: Stack, redis_url: str, phones: Phones, rounds: int) -> None:
    """Bursts of logins at a slow provider, with probes beside them."""
    table.section(f"Slow provider, all at once, {WORKERS} workers of {REQUESTS} requests")
    with stack.service(redis_url, workers=WORKERS, requests=REQUESTS) as service:
        _burst(service, phones, 50)  # the workers' first requests load what later ones find
        try:
            for count, latency, most in _CASES:
                stack.set_latency(latency)
                _add_case(table, service, phones, (count, latency, most), rounds)
        finally:
            stack.set_latency(0)


def _add_case(
    table: Table, service: Server, phones: Phones, case: tuple[int, int, int], rounds: int
) -> None:
    count, latency, most = case
    probes: dict[str, list[float]] = {}
    with _probing(service, probes):
        bursts = [_burst(service, phones, count) for _ in range(rounds)]
    p99 = median(percentile(burst.latencies, 0.99) for burst in bursts)
    wrong = sum((burst.wrong(_CREATED) for burst in bursts[1:]), bursts[0].wrong(_CREATED))
    done = count * rounds - wrong.total()
    table.add(
        Line(
            f"{count:,} logins, provider takes {latency / 1000:.0f} s",
            rate=median(len(burst.latencies) / burst.seconds for burst in bursts),
            p50=median(percentile(burst.latencies, 0.5) for burst in bursts),
            p99=p99,
            note=f"{done} of {count * rounds} done" + (f", errors {dict(wrong)}" if wrong else ""),
            want=f"0 errors, p99 <= {most / 1000} s",
            met=not wrong and p99 <= most,
        )
    )
    _add_probes(table, probes)
    _add_memory(table, service)


def _add_probes(table: Table, probes: dict[str, list[float]]) -> None:
    for path, seen in probes.items():
        p99, failed = percentile(seen, 0.99), sum(one < 0 for one in seen)
        table.add(
            Line(
                f"  {path} meanwhile",
                p50=percentile(seen, 0.5),
                p99=p99,
                note=f"{len(seen)} probes, {failed} failed, slowest {max(seen):.0f} ms",
                want=f"p99 <= {_MOST_PROBE_MS} ms",
                met=p99 <= _MOST_PROBE_MS and not failed,
            )
        )


def _add_memory(table: Table, service: Server) -> None:
    held, peak = rss_mb(service.workers), peak_mb(service.workers)
    table.add(
        Line(
            "  RSS of all workers",
            note=f"{held:.0f} MB after, {peak:.0f} MB at the most",
            want=f"<= {_MOST_MB} MB",
            met=peak <= _MOST_MB,
        )
    )


def _burst(service: Server, phones: Phones, count: int) -> Load:
    return run(service.port, [login("hosted", phone) for phone in phones.take(count)], count)


@contextmanager
def _probing(service: Server, seen: dict[str, list[float]]) -> Iterator[None]:
    """Probe for as long as the block lasts; then fill ``seen``, milliseconds by path."""
    command = [sys.executable, "-m", "bench.probe", str(service.port)]
    probe = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield
        printed, _ = probe.communicate(timeout=30)
        seen.update(json.loads(printed))
    finally:
        probe.kill()
        probe.wait()
