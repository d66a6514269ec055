"""The files in which gunicorn's workers count, one set a process; any worker adds them up.

A process that has no directory for them counts in its own memory.
"""

import atexit
import os
import shutil
import tempfile
from functools import cache

_NAME = "PROMETHEUS_MULTIPROC_DIR"


def directory() -> str | None:
    """Where this process and its siblings count; None if it counts in memory."""
    return os.environ.get(_NAME)


@cache
def make_directory() -> None:
    """Make a directory for the workers that this process will start.

    Call it before anything imports prometheus_client, which decides then where to count.
    """
    made = os.environ[_NAME] = tempfile.mkdtemp(prefix="otpservice-metrics-")
    atexit.register(_remove_at_exit, made, os.getpid())


def _remove_at_exit(made: str, maker: int) -> None:
    if os.getpid() == maker:  # workers are forks and exit as well
        shutil.rmtree(made, ignore_errors=True)


def worker_is_gone(pid: int) -> None:
    """Forget what a worker had in hand; what it counted stays."""
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - see above

    if directory():
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


def remove_directory() -> None:
    """Remove the directory after the workers, in an arbiter that may be a daemon's fork."""
    if made := directory():
        shutil.rmtree(made, ignore_errors=True)
