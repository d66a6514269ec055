"""The same work with more in Redis, and with more workers."""

from contextlib import ExitStack
from statistics import median
from time import monotonic

from redis import Redis

from bench.cost import service_round
from bench.measurement import Measured, middle
from bench.processes import free_memory_mb
from bench.seed import OutOfTime, seed
from bench.stack import Phones, Server, Stack, process_of, valkey
from bench.table import Line, Table
from otpservice.config.settings import Settings

_MOST_GROWTH = 1.10
_BYTES_EACH = 1500  # to be on the safe side
_FIRST_PHONE = 50_000_000  # far from those the rounds ask for


class Level:
    """A service with so many verifications open in a Redis of its own."""

    def __init__(self, size: int, service: Server, redis: Redis) -> None:
        self.size = size
        self.service = service
        self.redis_pid = process_of(redis)
        self.rounds: list[dict[str, Measured]] = []

    def cost(self, number: int) -> float:
        """CPU milliseconds of a round's three requests, Redis's included."""
        return sum(one.cpu + one.redis_cpu for one in self.rounds[number].values())


def add_growth(
    table: Table, stack: Stack, sizes: list[int], *, work: int, rounds: int, until: float
) -> None:
    """Hosted logins and confirms at every size, taking turns; a size there is no room for is told.

    Args:
        table: where the lines go.
        stack: starts what is needed.
        sizes: open verifications, the least first.
        work: requests of each kind in a round.
        rounds: that count, after one to warm up.
        until: by ``time.monotonic()``, when the seeding must be over.
    """
    table.section("Growth: open verifications in Redis; CPU with Redis's own; hosted")
    with ExitStack() as running:
        levels = []
        for size in sizes:
            name = f"{size:,} open"
            if size * _BYTES_EACH / 2**20 > free_memory_mb():
                table.not_measured(name, "memory is short")
                continue
            try:
                levels.append(_level(table, running, stack, size, until))
            except OutOfTime as error:
                table.not_measured(name, str(error))
        phones = Phones(70_000_000)
        for turn in range(rounds + 1):
            for level in levels:
                done = service_round(
                    stack, level.service, "hosted", phones, size=work, redis_pid=level.redis_pid
                )
                if turn:
                    level.rounds.append(done)
        for level in levels:
            _add_level(table, level, levels[0])


def _level(table: Table, running: ExitStack, stack: Stack, size: int, until: float) -> Level:
    url, redis = running.enter_context(valkey())
    before, began = int(redis.info("memory")["used_memory"]), monotonic()
    environment = stack.environment(url)
    seed(url, Settings.from_env(environment).policy, _FIRST_PHONE, size, until)
    each = (int(redis.info("memory")["used_memory"]) - before) / size
    seconds = monotonic() - began
    note = f"{each:,.0f} bytes of used_memory each without the door's; seeded in {seconds:.1f} s"
    table.add(Line(f"{size:,} seeded", note=note, figures={"bytes": each, "seconds": seconds}))
    return Level(size, running.enter_context(stack.service(url)), redis)


def _add_level(table: Table, level: Level, least: Level) -> None:
    for name in level.rounds[0]:
        found = middle([done[name] for done in level.rounds])
        note = f"Redis {found.redis_cpu:.2f} ms" + (
            f", errors {dict(found.wrong)}" if found.wrong else ""
        )
        line = Line(f"{name} at {level.size:,}", note=note, p50=found.p50, p99=found.p99)
        line.cpu, line.rate = found.cpu + found.redis_cpu, found.rate
        table.add(line)
    if level is not least:
        ratios = [level.cost(n) / least.cost(n) for n in range(len(level.rounds))]
        ratio = median(ratios)
        table.add(
            Line(
                f"{level.size:,} against {least.size:,}, all three",
                note=f"x {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                want=f"<= {_MOST_GROWTH}",
                met=ratio <= _MOST_GROWTH,
                figures={"ratios": ratios},
            )
        )


def add_workers(
    table: Table,
    stack: Stack,
    redis_url: str,
    phones: Phones,
    counts: list[int],
    *,
    work: int,
    rounds: int,
) -> None:
    """Local logins and confirms by 16 callers, with more and more workers."""
    table.section(f"Workers: 16 callers, local; this machine has {stack.cores} cores for all of it")
    seen: dict[int, list[dict[str, Measured]]] = {count: [] for count in counts}
    with ExitStack() as running:
        services = {
            count: running.enter_context(stack.service(redis_url, workers=count))
            for count in counts
        }
        for turn in range(rounds + 1):
            for count, service in services.items():
                done = service_round(stack, service, "local", phones, size=work, in_flight=16)
                if turn:
                    seen[count].append(done)
    for count, done in seen.items():
        for name in ("/login-code local", "/confirm local, right"):
            found = middle([one[name] for one in done])
            line = Line(f"{count} workers: {name}", cpu=found.cpu, rate=found.rate, p50=found.p50)
            line.p99, line.note = found.p99, f"errors {dict(found.wrong)}" if found.wrong else ""
            table.add(line)
