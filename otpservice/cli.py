"""The otpservice command."""

# ruff: noqa: PLC0415 - each command imports what it needs: --help should not wait for Flask
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import click

from otpservice import __version__
from otpservice.bind import Address, HostPort, require_free

if TYPE_CHECKING:
    from otpservice.adapters.vavasms import VavasmsClient
    from otpservice.sandbox import SandboxServer
    from otpservice.settings import Settings
    from otpservice.verification.phone import PhoneNumber

# Each is a thread; more of them than that is a mistake.
_MOST_THREADS = 4000

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
    "--workers", type=click.IntRange(min=1), help="Processes.  [default: one for each core]"
)
@click.option(
    "--threads",
    type=click.IntRange(1, _MOST_THREADS),
    default=500,
    show_default=True,
    help="Requests one worker handles at once; the next ones are answered `overloaded`.",
)
def serve(bind: Address, workers: int | None, threads: int) -> None:
    """Run the service under gunicorn, until SIGTERM or Ctrl-C.

    Needs the Redis or Valkey that OTPSERVICE_REDIS_URL names; while that is away, requests are
    answered `store_unavailable`. Logs are JSON lines on standard error.
    """
    from otpservice import server

    server.serve(str(bind), workers, threads)


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
    from otpservice.apps import apps_file_lines, new_key

    key = new_key()
    try:
        lines = apps_file_lines(app, key)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="APP") from None
    click.echo(f"The API key of {app}, shown this once:\n\n{key}\n")
    click.echo(f"For the file that OTPSERVICE_APPS_FILE names:\n\n{lines}", nl=False)


@main.command()
def balance() -> None:
    """Show what is left on the VavaSMS account."""
    from otpservice.doctor import money

    with _provider() as (_, client):
        click.echo(money(client.balance()))


@main.group()
def sms() -> None:
    """Texts by hand, outside of any quota and limit."""


@sms.command("send")
@click.argument("phones", metavar="PHONE...", nargs=-1, required=True)
@click.option("--text", required=True, help="The text; long ones are billed as several SMS.")
@click.option("--sender-id", help="Who it is from.  [default: OTPSERVICE_VAVASMS_SENDER_ID]")
def sms_send(phones: tuple[str, ...], text: str, sender_id: str | None) -> None:
    """Send one text to one or several phones.

    Numbers are read as people write them, national ones as of OTPSERVICE_DEFAULT_REGION; one that
    is named twice gets one SMS. Shows the id of the lot and of each message.
    """
    with _provider() as (settings, client):
        numbers = _parsed(phones, settings.default_region)
        receipt = client.send_text(
            sender_id=sender_id or settings.vavasms_sender_id or "",
            phones=[number.digits for number in numbers],
            message=text,
        )
    if receipt.lot_id:
        click.echo(f"lot  {_plain(receipt.lot_id)}")
    for number, message_id in zip(numbers, receipt.message_ids, strict=True):
        click.echo(f"{number.masked}  {_plain(message_id)}")


def _parsed(phones: Sequence[str], region: str) -> "list[PhoneNumber]":
    """The numbers, each once; a wrong one is named by its place, never repeated."""
    from otpservice.verification.errors import InvalidPhone
    from otpservice.verification.phone import PhoneNumber

    numbers = []
    for place, text in enumerate(phones, start=1):
        try:
            numbers.append(PhoneNumber.parse(text, region=region))
        except InvalidPhone as error:
            raise click.BadParameter(error.reason, param_hint=f"PHONE {place}") from None
    return list(dict.fromkeys(numbers))


@sms.command("status")
@click.argument("message_id")
@click.option("--lot-id", help="The lot the message was sent with, if it is known.")
def sms_status(message_id: str, lot_id: str | None) -> None:
    """Show what VavaSMS says of a text, in its own words: `sent` does not mean delivered.

    Its page does not say where to ask: needs OTPSERVICE_VAVASMS_STATUS_PATH, which is unconfirmed.
    """
    with _provider() as (settings, client):
        if settings.vavasms_status_path is None:
            raise click.ClickException(
                "OTPSERVICE_VAVASMS_STATUS_PATH is not set. VavaSMS does not document where to ask "
                "for a status, and a wrong address might send: set it once they have told you."
            )
        rows = client.text_status(message_id, lot_id)
    for row in rows:
        click.echo("  ".join(map(_plain, (row.message_id, row.status, row.description))).rstrip())


@main.command()
def doctor() -> None:
    """Check everything the service needs, a line each.

    Settings, Redis, clock, provider account and templates. Changes nothing and sends nothing.
    Exits 1 if a line says FAIL; warnings do not count.
    """
    from otpservice.doctor import Verdict, examine

    failed = False
    for finding in examine():
        verdict = click.style(f"{finding.verdict:<7}", fg=_COLOURS[finding.verdict])
        click.echo(f"{verdict}  {finding.subject:<13}  {finding.text}")
        failed |= finding.verdict is Verdict.FAIL
    sys.exit(1 if failed else 0)


@main.command()
@click.argument("phone")
def lookup(phone: str) -> None:
    """Show what is held for PHONE: its lock, failures, SMS left, and verifications.

    Numbers are read as people write them. Nothing is changed, and no code is ever shown.
    """
    from otpservice import support

    _print_about(phone, support.lookup)


@main.command()
@click.argument("phone")
def unlock(phone: str) -> None:
    """Lift the lock of PHONE and forget its failures in a row.

    Make sure first that the person asking holds the phone: it means more guesses for whoever has
    been guessing. Logged with your user name.
    """
    from otpservice import support

    _print_about(phone, support.unlock)


@main.command()
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True)
def inbox(last: int) -> None:
    """Show incoming SMS, newest first; senders and runs of digits are masked.

    They come by POST /webhooks/vavasms/TOKEN, see OTPSERVICE_INBOUND_TOKEN.
    """
    from otpservice import support
    from otpservice.server import settings_or_exit

    settings = settings_or_exit()
    _print_from_redis(lambda: support.inbox(settings, last))


def _print_about(
    phone: str, lines_about: "Callable[[Settings, PhoneNumber], Iterator[str]]"
) -> None:
    from otpservice.logs import configure_logging
    from otpservice.server import settings_or_exit

    settings = settings_or_exit()
    configure_logging(settings.log_level)
    (number,) = _parsed([phone], settings.default_region)
    _print_from_redis(lambda: lines_about(settings, number))


def _print_from_redis(lines: "Callable[[], Iterator[str]]") -> None:
    from otpservice.verification.errors import StoreUnavailable

    try:
        for line in lines():
            click.echo(line)
    except StoreUnavailable:
        raise click.ClickException(
            "Redis does not answer at OTPSERVICE_REDIS_URL: see `otpservice doctor`."
        ) from None


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


@contextmanager
def _provider() -> "Iterator[tuple[Settings, VavasmsClient]]":
    """The settings and their VavaSMS account; its errors become one line on standard error."""
    from otpservice.adapters.vavasms import VavasmsError
    from otpservice.app import vavasms_client
    from otpservice.doctor import provider_problem
    from otpservice.server import settings_or_exit

    settings = settings_or_exit()
    with closing(vavasms_client(settings)) as client:
        try:
            yield settings, client
        except VavasmsError as error:
            raise click.ClickException(provider_problem(error)) from None
        except ValueError as error:  # an argument the provider would refuse
            raise click.UsageError(str(error)) from None


def _plain(text: str) -> str:
    """A text of the provider's without what would steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


if __name__ == "__main__":
    main(prog_name="otpservice")
