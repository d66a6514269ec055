"""The machine it runs on: who may read its secrets, and where its workers count."""

import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from otpservice.config.settings import SETTINGS
from otpservice.doctor.finding import Finding, Verdict

# Readable by everybody they would do harm; whoever can write any of the others decides too.
_SECRET = ("REDIS_URL", "SECRET_KEY", "VAVASMS_PASSWORD", "HTTP_ROUTE_SECRET", "INBOUND_TOKEN")
_PATHS = ("OTPSERVICE_APPS_FILE", "OTPSERVICE_DENY_FILE", "OTPSERVICE_ALLOW_FILE")


def file_findings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Rights of the files that settings come from, and the directory for metrics.

    Args:
        environ: names the files.
    """
    warnings = [*_readable(environ), *_writable(environ)]
    yield from (Finding(Verdict.WARNING, "files", warning) for warning in warnings)
    if not warnings:
        yield Finding(Verdict.OK, "files", "secrets and lists are kept from others")
    yield _room_to_count()


def _readable(environ: Mapping[str, str]) -> Iterator[str]:
    for setting in SETTINGS:
        name = setting.file_variable
        if setting.name in _SECRET and _others_may(environ.get(name), stat.S_IROTH):
            yield f"everybody on this machine can read {name}: chmod o= {environ[name]}"


def _writable(environ: Mapping[str, str]) -> Iterator[str]:
    named = [setting.file_variable for setting in SETTINGS if setting.file_variant]
    for name in (*_PATHS, *named):
        if _others_may(environ.get(name), stat.S_IWOTH):
            yield f"everybody on this machine can change {name}: chmod o-w {environ[name]}"


def _others_may(path: str | None, right: int) -> bool:
    return bool(path) and bool(Path(str(path)).stat().st_mode & right)


def _room_to_count() -> Finding:
    try:
        with tempfile.TemporaryDirectory(prefix="otpservice-metrics-") as directory:
            Path(directory, "room").write_bytes(bytes(1024))
    except OSError as error:
        why = error.strerror or "no directory is usable"
        return Finding(
            Verdict.FAIL,
            "metrics files",
            f"workers cannot count, and serve does not start: {why}; set TMPDIR to a directory in "
            "memory",
        )
    return Finding(Verdict.OK, "metrics files", f"fit in {tempfile.gettempdir()}")
