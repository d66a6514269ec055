"""What several workers count is one count, however they live and end."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import COMMANDS, ROOT, free_port

PROBE = {"Authorization": "Bearer otps_probe-key"}
PHONE = "+2250709000001"


class Server:
    """The service under gunicorn with two workers, and where it keeps its temporary files."""

    def __init__(self, url, process, temporary):
        self.url, self.process, self.temporary = url, process, temporary

    def get(self, path):
        # A connection each, so that any worker may take it.
        headers = {**PROBE, "Connection": "close"}
        return urllib3.request("GET", self.url + path, headers=headers, retries=False, timeout=10)

    def metric(self, name, **labels):
        text = self.get("/metrics").data.decode()
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == f"otpservice_{name}" and labels.items() <= sample.labels.items()
        )

    def until(self, holds):
        end = time.monotonic() + 20
        while not holds():
            assert self.process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)

    def answers(self):
        try:
            return self.get("/health/live").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def workers(self):
        pid = self.process.pid
        return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


@contextmanager
def running(command, environment, tmp_path):
    port = free_port()
    words = [*COMMANDS[command], "--bind", f"127.0.0.1:{port}", "--workers", "2"]
    env = {**os.environ, **environment, "TMPDIR": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=env, stderr=log)
    server = Server(f"http://127.0.0.1:{port}", process, tmp_path)
    try:
        server.until(server.answers)
        server.until(lambda: server.metric("requests_in_flight_limit") == 1000)
        yield server
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def settings(environment, valkey_url, valkey):
    own = {"OTPSERVICE_REDIS_URL": valkey_url, "OTPSERVICE_DRAIN_SECONDS": "0"}
    return {**environment, **own}


@pytest.mark.parametrize("command", COMMANDS)
def test_two_workers_add_up_and_leave_nothing_behind(command, settings, tmp_path):
    with running(command, settings, tmp_path) as server:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: server.get("/nowhere"), range(40)))
        for _ in range(6):  # whichever worker is asked
            assert server.metric("requests_total", endpoint="unmatched", code="not_found") == 40
            assert server.metric("request_duration_seconds_count", endpoint="unmatched") == 40
            assert server.metric("requests_in_flight") == 1
        assert [path.name[:19] for path in tmp_path.glob("otpservice-*")] == ["otpservice-metrics-"]
        counting = {path.name for path in tmp_path.glob("otpservice-metrics-*/counter_*.db")}
        assert len(counting) == 2
    assert list(tmp_path.glob("otpservice-*")) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_start_that_fails_leaves_nothing_behind(command, tmp_path):
    env = {**os.environ, "OTPSERVICE_NONSENSE": "1", "TMPDIR": str(tmp_path)}
    words = [sys.executable, "-m", *COMMANDS[command]]
    assert subprocess.run(words, cwd=ROOT, env=env, stderr=-1, timeout=30).returncode == 2
    assert list(tmp_path.glob("otpservice-*")) == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks /proc for the workers")
def test_what_a_killed_worker_counted_stays_and_its_places_go(settings, tmp_path):
    with running("otpservice serve", settings, tmp_path) as server:
        for _ in range(20):
            server.get("/nowhere")
        before = server.workers()
        for pid in before:
            os.kill(int(pid), signal.SIGKILL)
        server.until(lambda: len(server.workers() - before) == 2 and server.answers())
        server.until(lambda: server.metric("requests_in_flight_limit") == 1000)
        assert server.metric("requests_total", endpoint="unmatched") == 20
        assert server.metric("requests_in_flight") == 1
