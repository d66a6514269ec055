"""How long the service takes to be there, and what it weighs then."""

import subprocess
import sys
import time
from statistics import median

from bench.processes import rss_mb
from bench.stack import Server, Stack
from bench.table import Line, Table

_MOST_SECONDS = 1.0


def add_boot(table: Table, stack: Stack, redis_url: str, rounds: int) -> None:
    """Import, and from the command to the first answer."""
    table.section("Start")
    bare = median(_import("pass") for _ in range(rounds))
    imported = median(
        _import("import otpservice.app, otpservice.runtime.serve") for _ in range(rounds)
    )
    note = f"{imported - bare:.2f} s, of a Python that starts in {bare:.2f} s"
    table.add(Line("import of the service", note=note, figures={"seconds": imported - bare}))
    boots = []
    for _ in range(rounds):
        began = time.perf_counter()
        with stack.service(redis_url):
            boots.append(time.perf_counter() - began)
    seconds = median(boots)
    table.add(
        Line(
            "otpservice serve to its first answer",
            note=f"{seconds:.2f} s ({min(boots):.2f} to {max(boots):.2f})",
            want=f"<= {_MOST_SECONDS:.0f} s",
            met=seconds <= _MOST_SECONDS,
            figures={"seconds": boots},
        )
    )


def add_memory(table: Table, service: Server) -> None:
    """RSS of a worker that has worked."""
    pid, *_ = service.workers
    master = service.process.pids[0]
    note = f"{rss_mb([pid]):.0f} MB a worker, {rss_mb([master]):.0f} MB the master"
    table.add(Line("RSS after these rounds", note=note, figures={"mb": rss_mb([pid])}))


def _import(statement: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - began
