"""Start everything, walk through a verification, and stop everything."""

import secrets
import socket
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
import urllib3

from otpservice.config.apps import apps_file_lines, new_key
from otpservice.demo.embedded import NoRedisServer, embedded_redis
from otpservice.demo.processes import Child, DemoFailed, StopSignals
from otpservice.demo.walk import Walk, curl
from otpservice.sandbox import DEMO_ACCOUNT

APP = "portal"

# Seconds; on an idle machine it takes two.
_READY_WITHIN = 60.0

_POLL = 0.1

# What a shell reports of a program that Ctrl-C ended.
_INTERRUPTED = 130


class _Stopped(Exception):
    """Somebody asked for the end."""


class _Stack:
    """The service, its sandbox and its Redis, as processes on loopback.

    Everything it writes is in ``directory``; every process ends with ``processes``.
    """

    def __init__(self, directory: Path, processes: ExitStack, signals: StopSignals) -> None:
        self._signals = signals
        self.key = new_key()
        service, sandbox = _free_port("service", 8000), _free_port("sandbox", 8025)
        self.service_url = f"http://127.0.0.1:{service}"
        self.sandbox_url = f"http://127.0.0.1:{sandbox}"
        redis_url = processes.enter_context(embedded_redis())
        settings = self._settings(directory, redis_url)
        commands = {
            "sandbox": ["sandbox", "--bind", f"127.0.0.1:{sandbox}"],
            "service": ["serve", "--bind", f"127.0.0.1:{service}", "--workers", "2"],
        }
        self.children: list[Child] = []
        for name, command in commands.items():
            child = Child(name, command, settings, directory / f"{name}.log")
            processes.callback(child.stop)
            self.children.append(child)

    def _settings(self, directory: Path, redis_url: str) -> dict[str, str]:
        apps_file = directory / "apps.toml"
        scopes = 'scopes = ["verify", "admin", "metrics"]\n'
        apps_file.write_text(apps_file_lines(APP, self.key) + scopes)
        return {
            "OTPSERVICE_REDIS_URL": redis_url,
            "OTPSERVICE_SECRET_KEY": secrets.token_hex(32),
            "OTPSERVICE_APPS_FILE": str(apps_file),
            "OTPSERVICE_VAVASMS_URL": f"{self.sandbox_url}/api",
            "OTPSERVICE_VAVASMS_USERNAME": DEMO_ACCOUNT.username,
            "OTPSERVICE_VAVASMS_PASSWORD": DEMO_ACCOUNT.password,
            "OTPSERVICE_VAVASMS_SENDER_ID": DEMO_ACCOUNT.sender_ids[0],
        }

    def wait_until_ready(self, pool: urllib3.PoolManager) -> None:
        """Return when both answer.

        Raises:
            DemoFailed: one ended, or they took too long.
            _Stopped: somebody asked for the end.
        """
        until = time.monotonic() + _READY_WITHIN
        for child, url in zip(
            self.children,
            (f"{self.sandbox_url}/inbox.json", f"{self.service_url}/health/ready"),
            strict=True,
        ):
            while not _answers(pool, url):
                self.check()
                if time.monotonic() > until:
                    raise DemoFailed(f"The {child.name} is not ready. {child.last_words()}")
                time.sleep(_POLL)

    def stay(self) -> None:
        """Return when somebody asks for the end; DemoFailed if a process ends before."""
        while not self._signals.asked:
            for child in self.children:
                child.check()
            time.sleep(_POLL)

    def check(self) -> None:
        """Return if all is well and nobody wants to stop; raises as ``wait_until_ready``."""
        if self._signals.asked:
            raise _Stopped
        for child in self.children:
            child.check()


def run_demo(*, once: bool) -> int:
    """Run the demo until it is done, has failed, or is told to stop.

    Args:
        once: stop after the walk.

    Returns:
        The exit code: 0 if the walk went well and what was left running ran until it was stopped.
    """
    with StopSignals() as signals, ExitStack() as processes:
        temporary = tempfile.TemporaryDirectory(prefix="otpservice-demo-")
        directory = Path(processes.enter_context(temporary))
        pool = processes.enter_context(urllib3.PoolManager(retries=False, timeout=20.0))
        try:
            stack = _start(directory, processes, signals, pool)
            _walk(stack, pool)
            if not once:
                _show_addresses(stack)
                stack.stay()
        except (_Stopped, DemoFailed, NoRedisServer) as error:
            # A terminal's Ctrl-C ends Valkey too, so that what failed may have failed of that.
            if signals.asked:
                click.echo("\nStopped before the walk was done.", err=True)
                return _INTERRUPTED
            click.echo(f"\n{click.style('FAIL', fg='red')}  {error}", err=True)
            return 1
        click.echo("\nStopping.")
    return 0


def _start(
    directory: Path, processes: ExitStack, signals: StopSignals, pool: urllib3.PoolManager
) -> _Stack:
    began = time.monotonic()
    click.echo("Starting an embedded Valkey, the VavaSMS sandbox and the service.")
    stack = _Stack(directory, processes, signals)
    stack.wait_until_ready(pool)
    click.echo(f"Ready after {time.monotonic() - began:.1f} s. No SMS leaves this machine.")
    return stack


def _walk(stack: _Stack, pool: urllib3.PoolManager) -> None:
    try:
        Walk(pool, stack.service_url, stack.sandbox_url, stack.key, stack.check).go()
    except DemoFailed as error:
        service = stack.children[-1]
        raise DemoFailed(f"{error} {service.last_words()}") from None


def _show_addresses(stack: _Stack) -> None:
    click.echo(f"\nThe service is up. {click.style('Ctrl-C stops it.', bold=True)}\n")
    click.echo(f"  service   {stack.service_url}")
    click.echo(f"  inbox     {stack.sandbox_url}/inbox")
    click.echo(f"  API key   {stack.key}")
    click.echo(f"  logs      {'  '.join(str(child.log) for child in stack.children)}")
    click.echo("\nSend a code, then read it in the inbox:\n")
    click.echo(curl(f"{stack.service_url}/login-code", {"phone": "+223 77 00 00 10"}))


def _free_port(name: str, preferred: int) -> int:
    """``preferred``, or a free port if another program has that."""
    for port in (preferred, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as probe:
                free: int = probe.getsockname()[1]
        except OSError as error:
            reason = error
        else:
            if free != preferred:
                click.echo(f"Port {preferred} is taken; the {name} uses {free} instead.")
            return free
    raise DemoFailed(f"No port is free for the {name}: {reason}.")


def _answers(pool: urllib3.PoolManager, url: str) -> bool:
    try:
        return pool.request("GET", url, timeout=2.0).status == 200  # noqa: PLR2004
    except urllib3.exceptions.HTTPError:
        return False
