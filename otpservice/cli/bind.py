"""Where a command listens: HOST:PORT."""

import re
import socket
from typing import NamedTuple

import click

_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_LAST_PORT = 65_535


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class HostPort(click.ParamType[Address]):
    """The type of a --bind option."""

    name = "HOST:PORT"

    def convert(
        self,
        value: str | Address,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Address:
        """Read ``127.0.0.1:8000`` or ``[::1]:8000``."""
        if isinstance(value, Address):
            return value
        match = _HOST_PORT.fullmatch(value)
        if match is None or int(match[2]) > _LAST_PORT:
            self.fail(f"{value!r} is not like 127.0.0.1:8000 or [::1]:8000.", param, ctx)
        return Address(match[1].strip("[]"), int(match[2]))


def require_free(bind: Address) -> None:
    """Try the address before a server does, which would end the process with several lines.

    Raises:
        click.ClickException: nothing can listen there.
    """
    family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(bind)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise click.ClickException(f"cannot listen on {bind}: {reason}") from None
