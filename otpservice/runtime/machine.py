"""What the machine gives a process: cores to run on, and files to have open."""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def usable_cores(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int:
    """The cores this process may use, at least 1.

    A container may be bound to some cores (affinity), or have a quota of CPU time on all of them;
    a quota of 1.5 cores counts as 2.

    Args:
        cgroups: where the cgroup file systems are mounted.
        own: the file that names the cgroups of this process.
    """
    quotas = map(ceil, _quotas(cgroups, own))
    return max(1, min((_cores_by_affinity(), *quotas)))


def _cores_by_affinity() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(cgroups: Path, own: Path) -> Iterator[float]:
    """The quotas of this process's cgroup and of those above it, in cores."""
    with suppress(OSError, ValueError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for mount in _mounts(cgroups, controllers):
                group = mount / path.lstrip("/")
                # A container sees its own group as the root, yet may know it by its full path.
                for folder in (group, *group.parents):
                    if folder.is_relative_to(mount):
                        yield from _quota(folder)


def _mounts(cgroups: Path, controllers: str) -> list[Path]:
    if not controllers:  # version 2 has one hierarchy and names none
        return [cgroups]
    if "cpu" in controllers.split(","):
        return [cgroups / "cpu", cgroups / controllers]
    return []


def _quota(folder: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):  # no such file, or "max"
        quota, period = (folder / "cpu.max").read_text().split()
        yield int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota, period = (
            (folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
        )
        if int(quota) > 0:  # -1 is no quota
            yield int(quota) / int(period)


def allow_open_files(wanted: int) -> int:
    """Raise the limit of open files to ``wanted``, or as far as this process may.

    Returns:
        The limit from now on, ``wanted`` at most.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [limit for limit in (wanted, hard) if limit != resource.RLIM_INFINITY]
    if soft != resource.RLIM_INFINITY and soft < min(limits):
        with suppress(OSError, ValueError):  # a system call filter may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits), hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, soft)
