"""The files in which gunicorn's workers count, one set a process, and any of them adds up.

Only the server calls these, each at its point of a process's life. Without them a process counts in
its own memory, which is right where it is the only one.
"""

import os
import shutil
import tempfile

from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

_NAME = "PROMETHEUS_MULTIPROC_DIR"


def directory() -> str | None:
    """Where this process and its siblings count; None if it counts in memory."""
    return os.environ.get(_NAME)


def make_directory() -> None:
    """In the arbiter, before it has workers: they inherit the name of a directory of their own."""
    os.environ[_NAME] = tempfile.mkdtemp(prefix="otpservice-metrics-")


def count_in_files() -> None:
    """In a worker, before its application is made."""
    # The library decides on import, when this process was the arbiter, and there was no directory.
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]


def worker_is_gone(pid: int) -> None:
    """In the arbiter: what a worker had in hand is gone; what it had counted stays."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def remove_directory() -> None:
    """In the arbiter, after its workers."""
    if made := directory():
        shutil.rmtree(made, ignore_errors=True)
