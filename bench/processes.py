"""Processes of the benchmark: started, measured by what the operating system says, and stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_STOPS_WITHIN = 5.0


class Process:
    """One program and all that it starts.

    Args:
        arguments: of this very Python.
        environment: instead of the OTPSERVICE variables about.
        log: the file that takes what it writes.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        inherited = {n: text for n, text in os.environ.items() if not n.startswith("OTPSERVICE_")}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=inherited | dict(environment),
                start_new_session=True,
            )
        self.log = log

    @property
    def pids(self) -> list[int]:
        """Its own id and its children's."""
        return [self._process.pid, *children(self._process.pid)]

    def check(self) -> None:
        """Raise RuntimeError with the end of its log if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(self.log.read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        """End it and all it has started."""
        if self._process.poll() is None:
            # gunicorn takes seconds to let requests finish at SIGTERM, and none at SIGINT.
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOPS_WITHIN)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def children(pid: int) -> list[int]:
    """Ids of the processes that ``pid`` has started and that still run."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def cpu_ms(pids: Sequence[int]) -> float:
    """Milliseconds of CPU the processes have used, all their threads, in user mode and kernel.

    The kernel rounds to its ticks, 10 ms as a rule: measure over a hundred of them.
    """
    ticks = 0
    for pid in pids:
        # The name, in brackets, may hold spaces.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks * 1000 / _TICKS


def rss_mb(pids: Sequence[int]) -> float:
    """Megabytes (2**20) of memory the processes hold, shared pages counted in each."""
    return sum(_status_kb(pid, "VmRSS") for pid in pids) / 1024


def peak_mb(pids: Sequence[int]) -> float:
    """The most they ever held, each by itself."""
    return sum(_status_kb(pid, "VmHWM") for pid in pids) / 1024


def _status_kb(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def wait_until(answers: object, within: float, process: Process) -> float:
    """Poll ``answers()`` until it is true; returns the seconds it took.

    Raises:
        RuntimeError: the process ended, or it took longer than ``within`` seconds.
    """
    began = time.perf_counter()
    while not answers():  # type: ignore[operator]
        process.check()
        if time.perf_counter() - began > within:
            raise RuntimeError(f"no answer within {within} s")
        time.sleep(0.005)
    return time.perf_counter() - began
