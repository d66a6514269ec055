"""What several commands do alike: read phones, and print for programs."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from otpservice.verification.phone import PhoneNumber

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


def echo_json(value: dict[str, Any]) -> None:
    """Print one object on one line, in ASCII: whatever reads it, nothing steers a terminal."""
    click.echo(json.dumps(value))


def parsed(phones: Sequence[str], region: str) -> "list[PhoneNumber]":
    """The numbers, each once; a wrong one is named by its place, never repeated."""
    from otpservice.verification.errors import InvalidPhone  # noqa: PLC0415 - see cli.py
    from otpservice.verification.phone import PhoneNumber  # noqa: PLC0415

    numbers = []
    for place, text in enumerate(phones, start=1):
        try:
            numbers.append(PhoneNumber.parse(text, region=region))
        except InvalidPhone as error:
            raise click.BadParameter(error.reason, param_hint=f"PHONE {place}") from None
    return list(dict.fromkeys(numbers))
