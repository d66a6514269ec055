"""What the help desk asks: a phone's state, its lock lifted, incoming SMS."""

# ruff: noqa: PLC0415 - each command imports what it needs: --help should not wait for Flask
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from otpservice.cli.printing import as_json, echo_json, parsed

if TYPE_CHECKING:
    from otpservice.config.settings import Settings
    from otpservice.verification.inbound import InboundSms
    from otpservice.verification.phone import PhoneNumber
    from otpservice.verification.ports import PhoneState


@click.command()
@click.argument("phone")
@as_json
def lookup(phone: str, as_json: bool) -> None:
    """Show what is held for PHONE: its lock, failures, SMS left, and verifications.

    Numbers are read as people write them. Nothing is changed, and no code is ever shown.
    """
    from otpservice.cli import phones

    with _asking() as settings:
        (number,) = parsed([phone], settings.default_region)
        state = phones.lookup(settings, number)
    if as_json:
        echo_json(_state(number, state))
    else:
        _echo(_state_lines(number, state))


@click.command()
@click.argument("phone")
def unlock(phone: str) -> None:
    """Lift the lock of PHONE and forget its failures in a row.

    Make sure first that the person asking holds the phone: it means more guesses for whoever has
    been guessing. Logged with your user name.
    """
    from otpservice.cli import phones

    with _asking() as settings:
        (number,) = parsed([phone], settings.default_region)
        before = phones.unlock(settings, number)
    failures = before.failures_in_all
    click.echo(f"{number.masked} was {_lock(before)}, after {failures} failures in a row.")
    click.echo("It is not locked any more, and its failures are forgotten.")


@click.command()
@click.option("--last", type=click.IntRange(1, 1000), default=20, show_default=True)
@as_json
def inbox(last: int, as_json: bool) -> None:
    """Show incoming SMS, newest first; senders and runs of digits are masked.

    They come by POST /webhooks/vavasms/TOKEN, see OTPSERVICE_INBOUND_TOKEN.
    """
    from otpservice.cli import phones

    with _asking() as settings:
        texts = phones.inbox(settings, last)
    if as_json:
        echo_json({"messages": [_text(sms) for sms in texts]})
    else:
        _echo(map(_text_line, texts) if texts else ["No incoming SMS."])


@contextmanager
def _asking() -> "Iterator[Settings]":
    """The settings; that Redis is away becomes one line on standard error."""
    from otpservice.runtime.serve import settings_or_exit
    from otpservice.telemetry.logs import configure_logging
    from otpservice.verification.errors import StoreUnavailable

    settings = settings_or_exit()
    configure_logging(settings.log_level)
    try:
        yield settings
    except StoreUnavailable:
        raise click.ClickException(
            "Redis does not answer at OTPSERVICE_REDIS_URL: see `otpservice doctor`."
        ) from None


def _echo(lines: "Iterable[str]") -> None:
    for line in lines:
        click.echo(line)


def _state(phone: "PhoneNumber", state: "PhoneState") -> dict[str, Any]:
    return {
        "phone_masked": phone.masked,
        "locked": state.locked_for != 0,
        "locked_for": state.locked_for,
        "failures_in_all": state.failures_in_all,
        "sends_left": state.sends_left,
        "verifications": [
            {"id": id, "app": app, "purpose": purpose, "status": status}
            for id, app, purpose, status in state.verifications
        ],
    }


def _state_lines(phone: "PhoneNumber", state: "PhoneState") -> "Iterator[str]":
    yield f"phone          {phone.masked}"
    yield f"lock           {_lock(state)}"
    yield f"failures       {state.failures_in_all} in a row"
    left = "no quota" if state.sends_left is None else f"{state.sends_left} may still be sent now"
    yield f"SMS            {left}"
    for id, app, purpose, status in state.verifications:
        yield f"verification   {status:<18} {app}, {purpose}  {id}"


def _lock(state: "PhoneState") -> str:
    if state.locked_for is None:
        return "locked until it is unlocked by hand"
    return f"locked for {state.locked_for} seconds more" if state.locked_for else "not locked"


def _text(sms: "InboundSms") -> dict[str, Any]:
    return {
        "received_at": f"{sms.received_at:%Y-%m-%dT%H:%M:%SZ}",
        "sender_masked": sms.sender,
        "text": sms.text,
    }


def _text_line(sms: "InboundSms") -> str:
    text = "".join(char if char.isprintable() else " " for char in sms.text)
    return f"{sms.received_at:%Y-%m-%d %H:%M} UTC  {sms.sender:<16}  {text}"
