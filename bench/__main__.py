"""The benchmark: ``python -m bench``, or ``make bench``. README.md says what it measures."""

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

from bench.cost import add_costs
from bench.growth import add_growth
from bench.slow import add_slow
from bench.stack import Phones, Stack, valkey
from bench.table import Table
from bench.trips import add_trips

_LIMIT = 285.0  # seconds, of the five minutes it may take
_LIMIT_OF_ONE = 900.0  # where one part alone was asked for

# Of the parts, what they take on two slow cores; one that does not fit any more is left out.
_TAKES = {
    "cost": 60.0,
    "trips": 6.0,
    "slow": 30.0,
    "growth": 60.0,
}


def main() -> int:
    """Run it; returns the exit code: 0 if all parts ran, whatever they found."""
    options = _options()
    if not Path("/proc/self/stat").exists():
        sys.exit("The benchmark reads /proc, so it needs Linux.")
    signal.signal(signal.SIGTERM, _stop)
    _allow_connections()
    table, began = Table(), time.monotonic()
    limit = _LIMIT_OF_ONE if options.only else _LIMIT
    with (
        tempfile.TemporaryDirectory(prefix="otpservice-bench-") as directory,
        ExitStack() as running,
    ):
        stack = Stack(Path(directory))
        running.enter_context(stack.stub())
        run = _Run(table, stack, began + limit, quick=options.quick, only=options.only)
        run.all()
    print(table.text())
    print(f"\n{time.monotonic() - began:.0f} s; load average at the end {os.getloadavg()[0]:.1f}.")
    return 1 if run.failed else 0


class _Run:
    """All parts in turn; one that fails or has no time left becomes a line that says so."""

    def __init__(
        self, table: Table, stack: Stack, until: float, *, quick: bool, only: str | None
    ) -> None:
        self._wanted = [only] if only else list(_TAKES)
        self._table = table
        self._stack = stack
        self._until = until
        self._quick = quick
        self._phones = Phones()
        self.failed = False

    def all(self) -> None:
        """Measure everything."""
        parts = {
            "cost": self._costs,
            "trips": lambda: add_trips(self._table, self._stack, self._phones),
            "slow": self._slow,
            "growth": self._growth,
        }
        for name, work in parts.items():
            if name in self._wanted:
                self._part(name, work)

    def _part(self, name: str, work: Callable[[], None]) -> None:
        print(f"... {name}", file=sys.stderr, flush=True)
        left = self._until - time.monotonic()
        if left < _TAKES[name] * (0.4 if self._quick else 1):
            self._table.section(name)
            self._table.not_measured(name, "time is short")
            return
        try:
            work()
        except Exception as error:  # the other parts still run
            self.failed = True
            self._table.not_measured(name, f"{type(error).__name__}: {str(error)[-300:]}")

    def _costs(self) -> None:
        size, rounds = (100, 2) if self._quick else (200, 5)
        with (
            valkey() as (url, _),
            self._stack.service(url) as service,
            self._stack.floor(url) as floor,
        ):
            add_costs(
                self._table, self._stack, service, floor, self._phones, size=size, rounds=rounds
            )

    def _slow(self) -> None:
        with valkey() as (url, _):
            add_slow(self._table, self._stack, url, self._phones, 1 if self._quick else 2)

    def _growth(self) -> None:
        size, work, rounds = (2000, 80, 2) if self._quick else (10_000, 150, 4)
        add_growth(self._table, self._stack, size=size, work=work, rounds=rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the service.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller sizes")
    parser.add_argument("--only", choices=list(_TAKES), help="one part, within 15 minutes")
    return parser.parse_args()


def _allow_connections() -> None:
    """Let this process and its children open as many files as the system allows at all."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _stop(_number: int, _frame: object) -> NoReturn:
    sys.exit("Stopped.")


if __name__ == "__main__":
    sys.exit(main())
