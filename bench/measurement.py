"""One stretch of work, measured; and several of the same."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from bench.load import Load, percentile, run
from bench.processes import cpu_ms
from bench.stack import Server


@dataclass(slots=True)
class Measured:
    """What one stretch of work cost.

    Attributes:
        cpu: milliseconds of CPU of the server's processes per request.
        redis_cpu: the same of the Redis server's; 0 if it was not asked.
        rate: requests a second.
        p50, p99: milliseconds a caller waited.
        wrong: unexpected answers, by status and code.
    """

    cpu: float
    redis_cpu: float
    rate: float
    p50: float
    p99: float
    wrong: Counter[str] = field(default_factory=Counter)


def measure(
    server: Server,
    requests: Sequence[bytes],
    expected: int,
    *,
    in_flight: int = 8,
    redis_pid: int | None = None,
) -> tuple[Measured, Load]:
    """Make the requests, and say what they cost."""
    pids, redis_pids = server.process.pids, [redis_pid] if redis_pid else []
    before, redis_before = cpu_ms(pids), cpu_ms(redis_pids)
    load = run(server.port, requests, in_flight)
    used, redis_used = cpu_ms(pids) - before, cpu_ms(redis_pids) - redis_before
    measured = Measured(
        cpu=used / len(requests),
        redis_cpu=redis_used / len(requests),
        rate=len(load.latencies) / load.seconds,
        p50=percentile(load.latencies, 0.5),
        p99=percentile(load.latencies, 0.99),
        wrong=load.wrong(expected),
    )
    return measured, load


def middle(rounds: Sequence[Measured]) -> Measured:
    """Of each figure the median; of wrong answers all."""
    names = ("cpu", "redis_cpu", "rate", "p50", "p99")
    figures = {name: median(getattr(one, name) for one in rounds) for name in names}
    return Measured(**figures, wrong=sum((one.wrong for one in rounds), Counter()))
