"""VavaSMS's other operations by hand."""

# ruff: noqa: PLC0415 - each command imports what it needs: --help should not wait for Flask
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from otpservice.cli.printing import as_json, echo_json, parsed

if TYPE_CHECKING:
    from otpservice.config.settings import Settings
    from otpservice.vavasms import VavasmsClient


@click.command()
@as_json
def balance(as_json: bool) -> None:
    """Show what is left on the VavaSMS account."""
    from otpservice.doctor import money

    with _provider() as (_, client):
        left = client.balance()
    if as_json:
        echo_json({"amount": left.amount, "currency": left.currency})
    else:
        click.echo(money(left))


@click.group()
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
        numbers = parsed(phones, settings.default_region)
        receipt = client.send_text(
            sender_id=sender_id or settings.vavasms_sender_id or "",
            phones=[number.digits for number in numbers],
            message=text,
        )
    if receipt.lot_id:
        click.echo(f"lot  {_plain(receipt.lot_id)}")
    for number, message_id in zip(numbers, receipt.message_ids, strict=True):
        click.echo(f"{number.masked}  {_plain(message_id)}")


@sms.command("status")
@click.argument("message_id")
@click.option("--lot-id", help="The lot the message was sent with, if it is known.")
@as_json
def sms_status(message_id: str, lot_id: str | None, as_json: bool) -> None:
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
    if as_json:
        echo_json({"messages": [asdict(row) for row in rows]})
        return
    for row in rows:
        click.echo("  ".join(map(_plain, (row.message_id, row.status, row.description))).rstrip())


@contextmanager
def _provider() -> "Iterator[tuple[Settings, VavasmsClient]]":
    """The settings and their VavaSMS account; its errors become one line on standard error."""
    from otpservice.app import vavasms_client
    from otpservice.doctor import provider_problem
    from otpservice.runtime.serve import settings_or_exit
    from otpservice.vavasms import VavasmsError

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
