"""Connections that are made in time, and over which one request is sent at a time."""

import socket
from contextlib import suppress
from time import monotonic

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from otpservice.adapters.bounded_http.resolver import addresses


class BoundedHTTPConnection(HTTPConnection):
    """Connects and shakes hands within ``timeout``.

    ``max_idle`` is the seconds after which an unused connection is not used again.

    Attributes:
        unused_since: when its last answer had come, by ``monotonic``.
    """

    def __init__(self, *args: object, max_idle: float, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._max_idle = max_idle
        self.unused_since = monotonic()

    @property
    def is_connected(self) -> bool:
        """Whether it may carry another request."""
        fresh = monotonic() - self.unused_since < self._max_idle
        return fresh and super().is_connected

    def connect(self) -> None:
        """Connect, TLS included.

        Raises:
            ConnectTimeoutError: it did not work, for whatever reason. Raised by nothing else, so
                that it means: not one byte of a request has left.
        """
        failure = ""
        try:
            super().connect()
        except ConnectTimeoutError:
            raise
        except (HTTPError, OSError, ValueError) as error:
            failure = type(error).__name__
        if failure:
            self.close()
            raise NewConnectionError(self, failure)

    def _new_conn(self) -> socket.socket:
        deadline = monotonic() + (self.timeout or 0)
        failure = "no address"
        try:
            found = addresses(self._dns_host.strip("[]"), self.port, deadline - monotonic())
        except OSError as error:
            found, failure = [], type(error).__name__
        for position, (family, address) in enumerate(found):
            # An address that swallows packets leaves the others their share of the time.
            share = (deadline - monotonic()) / (len(found) - position)
            try:
                sock = _open(family, address, share)
            except OSError as error:
                failure = type(error).__name__
                continue
            sock.settimeout(max(deadline - monotonic(), 0.001))
            return sock
        raise NewConnectionError(self, failure)

    def deliver(self, request: bytes, timeout: float) -> None:
        """Send ``request``, head and body in one write.

        Raises:
            OSError: perhaps not all of it left.
        """
        self.sock.settimeout(timeout)
        # A server may hang up on a request that it has read enough of, and answer all the same.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(request)


class BoundedHTTPSConnection(BoundedHTTPConnection, HTTPSConnection):
    """The same with TLS."""


def _open(
    family: socket.AddressFamily, address: tuple[str | int | bytes, ...], timeout: float
) -> socket.socket:
    if timeout <= 0:
        raise TimeoutError("connect")
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(timeout)
        sock.connect(address)
    except OSError:
        with suppress(OSError):
            sock.close()
        raise
    return sock
