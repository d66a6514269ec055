"""The service as it is run: gunicorn with several workers, a real Valkey, the sandbox."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3

from otpservice.sandbox import SandboxServer
from tests.conftest import KEYS

BOOTS_WITHIN = 20
ROOT = Path(__file__).parents[2]

COMMANDS = {
    "otpservice serve": ("otpservice.cli", "serve"),
    "gunicorn": ("gunicorn", "-c", "deploy/gunicorn.conf.py", "wsgi:app"),
}


class Service:
    """A caller of the service at ``url``."""

    def __init__(self, url, process, sandbox, log):
        self.url, self.process, self.sandbox, self.log = url, process, sandbox, log
        self._http = urllib3.PoolManager(maxsize=256, retries=False, timeout=20)

    def call(self, method, path, body=None, app="portal", **headers):
        headers = {"Authorization": f"Bearer {KEYS[app]}", **headers}
        answer = self._http.request(method, self.url + path, json=body, headers=headers)
        answer.body = json.loads(answer.data) if answer.data else {}
        return answer

    def close(self):
        self._http.clear()

    def send(self, phone, **body):
        return self.call("POST", "/login-code", {"phone": phone, **body})

    def confirm(self, code, **body):
        return self.call("POST", "/confirm", {"code": code, **body})

    def inbox(self, phone):
        return self._sandbox("GET", f"/inbox.json?phone={phone.lstrip('+')}")

    def calls(self, operation):
        return self._sandbox("GET", "/calls.json").get(operation, 0)

    def fault(self, operation, fault, **more):
        self._sandbox("PUT", "/faults", {"operation": operation, "fault": fault, **more})

    def _sandbox(self, method, path, body=None):
        answer = self._http.request(method, self.sandbox.url + path, json=body)
        assert answer.status < 300, answer.data
        return json.loads(answer.data) if answer.data else {}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextmanager
def running_service(
    environment: Mapping[str, str],
    sandbox,
    tmp_path,
    *options,
    command="otpservice serve",
    directory=ROOT,
) -> Iterator[Service]:
    port = free_port()
    words = [sys.executable, "-m", *COMMANDS[command], "--bind", f"127.0.0.1:{port}", *options]
    env = {**os.environ, **environment}
    log = tmp_path / "service.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(words, env=env, stderr=stderr, cwd=directory)
    service = Service(f"http://127.0.0.1:{port}", process, sandbox, log)
    try:
        until = time.monotonic() + BOOTS_WITHIN
        while True:
            try:
                service.call("GET", "/health/live")
                break
            except urllib3.exceptions.HTTPError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.05)
        yield service
    finally:
        service.close()  # a stopping worker waits for connections that are kept alive
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture(scope="session")
def run(environment, valkey_url, sandbox, tmp_path_factory):
    """A context manager that runs the service with changed settings."""

    def run(*options, redis_url=valkey_url, command="otpservice serve", directory=ROOT, **changes):
        names = {f"OTPSERVICE_{name.upper()}": value for name, value in changes.items()}
        own = {
            **environment,
            "OTPSERVICE_REDIS_URL": redis_url,
            "OTPSERVICE_VAVASMS_URL": f"{sandbox.url}/api",
            # Races send hundreds of requests about one phone; the door has tests of its own.
            "OTPSERVICE_PHONE_RATE_LIMIT": "100000/minute",
            "OTPSERVICE_APP_RATE_LIMIT": "100000/minute",
            "OTPSERVICE_DRAIN_SECONDS": "0",  # nobody waits for the end of most services here
            **names,
        }
        tmp_path = tmp_path_factory.mktemp("service")
        options = ("--workers", "2", *options)
        return running_service(
            own, sandbox, tmp_path, *options, command=command, directory=directory
        )

    return run


@pytest.fixture(scope="session")
def standing_service(run):
    # One test's faults must not open a breaker for the next; breakers have tests of their own.
    with run(breaker_failures="0") as service:
        yield service


@pytest.fixture
def run_service(run, valkey, sandbox):
    sandbox.state.reset()
    return run


@pytest.fixture
def service(standing_service, valkey, sandbox):
    """The service with its default settings, with nothing in Redis and nothing sent yet."""
    sandbox.state.reset()
    return standing_service
