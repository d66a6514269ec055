"""The otpservice command."""

# ruff: noqa: PLC0415 - each command imports what it needs: --help should not wait for Flask
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from otpservice import __version__
from otpservice.cli.bind import Address, HostPort, require_free
from otpservice.cli.printing import as_json, echo_json
from otpservice.cli.provider import balance, sms
from otpservice.cli.support import inbox, lookup, unlock

if TYPE_CHECKING:
    from otpservice.sandbox import SandboxServer

# Each takes memory and a connection; more of them than that is a mistake.
_MOST_REQUESTS = 4000

_COLOURS = {"ok": "green", "warning": "yellow", "FAIL": "red"}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="otpservice", message="%(prog)s %(version)s")
def main() -> None:
    """SMS verification codes for every app of an organisation, over VavaSMS.

    Settings are environment variables, OTPSERVICE_*. Commands exit 2 if these, or their own
    arguments, have mistakes, and 1 if what was asked for did not work.
    """


@main.command()
@click.option("--bind", type=HostPort(), default="127.0.0.1:8000", show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes.  [default: one for each core it may use]",
)
@click.option(
    "--requests",
    "--threads",
    "requests",
    type=click.IntRange(1, _MOST_REQUESTS),
    default=500,
    show_default=True,
    help="Requests one worker handles at once; the next ones are answered `overloaded`.",
)
def serve(bind: Address, workers: int | None, requests: int) -> None:
    """Run the service under gunicorn, until SIGTERM or Ctrl-C.

    Needs the Redis or Valkey that OTPSERVICE_REDIS_URL names; while that is away, requests are
    answered `store_unavailable`. Logs are JSON lines on standard error.
    """
    from gevent import monkey

    monkey.patch_all()  # first: what is imported unpatched would block all requests when it waits

    from otpservice.telemetry import metric_files

    metric_files.make_directory()  # before prometheus_client, which looks for it when imported

    from otpservice.runtime import serve as runtime

    runtime.serve(str(bind), workers, requests)


@main.command()
@click.option("--bind", type=HostPort(), default="127.0.0.1:8025", show_default=True)
@click.option(
    "--notification-url",
    metavar="URL",
    help="Where incoming SMS are posted to; a loopback address.",
)
def sandbox(bind: Address, notification_url: str | None) -> None:
    """Run a stand-in for VavaSMS.

    It sends nothing to any phone and shows every SMS in its inbox.
    """
    server = _sandbox_server(bind, notification_url)
    account = server.state.account
    click.echo(f"VavaSMS sandbox on {server.url}, until Ctrl-C. Nothing is sent to any phone.")
    click.echo(f"  API (OTPSERVICE_VAVASMS_URL)  {server.url}/api")
    click.echo(f"  account                       {account.username} / {account.password}")
    click.echo(f"  sender ID                     {', '.join(account.sender_ids)}")
    click.echo(f"  inbox                         {server.url}/inbox")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        server.serve_forever()
    server.stop()


def _sandbox_server(bind: Address, notification_url: str | None) -> "SandboxServer":
    from otpservice.sandbox import SandboxServer

    require_free(bind)
    try:
        return SandboxServer(bind.host, bind.port, notification_url=notification_url)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--notification-url") from None


@main.group()
def keys() -> None:
    """API keys of the apps that call the service."""


@keys.command("new")
@click.argument("app")
def keys_new(app: str) -> None:
    """Make an API key for APP, and the lines for the apps file.

    The key is shown this once and kept nowhere: the apps file holds only its hash. To replace a
    key, put the new hash beside the old one, key_sha256 = ["new", "old"], and take the old one out
    when the app has changed over.
    """
    from otpservice.config.apps import apps_file_lines, new_key

    key = new_key()
    try:
        lines = apps_file_lines(app, key)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="APP") from None
    click.echo(f"The API key of {app}, shown this once:\n\n{key}\n")
    click.echo(f"For the file that OTPSERVICE_APPS_FILE names:\n\n{lines}", nl=False)


@main.command()
@as_json
def doctor(as_json: bool) -> None:
    """Check everything the service needs, a line each.

    Settings, apps, files, Redis, clock, provider account and templates. Changes nothing and sends
    nothing. Exits 0 if all is well, 1 if a line says FAIL; warnings do not count.
    """
    from otpservice.doctor import Verdict, examine, overall

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:  # at once: the next check may take seconds
            verdict = click.style(f"{finding.verdict:<7}", fg=_COLOURS[finding.verdict])
            click.echo(f"{verdict}  {finding.subject:<13}  {finding.text}")
    if as_json:
        echo_json(
            {
                "verdict": overall(findings).lower(),
                "findings": [
                    {"name": found.name, "verdict": found.verdict.lower(), "text": found.text}
                    for found in findings
                ],
            }
        )
    sys.exit(1 if overall(findings) is Verdict.FAIL else 0)


for command in (balance, sms, lookup, unlock, inbox):
    main.add_command(command)


@main.command()
@click.option("--once", is_flag=True, help="Stop everything after the walk.")
def demo(once: bool) -> None:
    """Show the whole service on this machine.

    Starts an embedded Valkey, the sandbox and the service, on ports 8000 and 8025 or on others if
    these are taken, and walks through one verification, request by request. Needs no settings,
    sends nothing and leaves nothing behind. Stays up until Ctrl-C.
    """
    from otpservice.demo.run import run_demo

    sys.exit(run_demo(once=once))
