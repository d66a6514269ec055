"""Connections on which nothing can take longer, or be larger, than it was given.

urllib3's timeouts are per read: a server that drips a byte at a time never meets one. Here every
read is given only what is left of the call's time.
"""

import http.client
import io
import socket
from contextlib import suppress
from time import monotonic

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from otpservice.adapters.bounded_http.resolver import addresses

MAX_ANSWER = 64 * 1024
"""Bytes of one answer, headers included; the longest on the provider's page has about 250."""


class BoundedReader(io.RawIOBase):
    """Reads one answer from ``sock``, until its present timeout is over."""

    def __init__(self, sock: socket.socket, stream: io.RawIOBase) -> None:
        super().__init__()
        self._sock = sock
        self._stream = stream
        self._deadline = monotonic() + (sock.gettimeout() or 0)
        self._room = MAX_ANSWER
        self.ended = False

    def readable(self) -> bool:
        """Say that this can be read, for the buffer around it."""
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
        """Take what has come.

        Raises:
            TimeoutError: the answer's time is over.
            OSError: it is larger than ``MAX_ANSWER``, or the connection broke.
        """
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("answer not complete in time")
        self._sock.settimeout(left)
        count: int | None = self._stream.readinto(buffer)
        self._room -= count or 0
        self.ended = not count
        if self._room < 0:
            raise OSError("answer too large")
        return count

    def close(self) -> None:
        """Let go of the socket, as the stream it wraps would."""
        self._stream.close()
        super().close()


class BoundedResponse(http.client.HTTPResponse):
    """One answer, read through a ``BoundedReader``."""

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._reader = BoundedReader(sock, self.fp.detach())
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        """Read the status and the headers.

        Raises:
            HTTPException: they are cut or malformed. The base class takes what it got for all,
                and urllib3 logs what it could not parse. Or they are not the last word (103): the
                real answer is still to come, and must not answer the next request.
        """
        super().begin()
        if self._reader.ended or self.msg.defects or self.msg.get_payload():
            raise http.client.HTTPException("bad headers")
        if self.status < http.client.OK:
            raise http.client.HTTPException("interim answer")


class BoundedHTTPConnection(HTTPConnection):
    """Connects and shakes hands within ``timeout``, sends in one write, answers in time.

    ``max_idle`` is the seconds after which an unused connection is not used again.
    """

    response_class = BoundedResponse

    def __init__(self, *args: object, max_idle: float, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._max_idle = max_idle
        self._last_used = monotonic()
        self._outbox = bytearray()

    @property
    def is_connected(self) -> bool:
        """Whether it may carry another request."""
        fresh = monotonic() - self._last_used < self._max_idle
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

    def request(self, *args: object, **kwargs: object) -> None:
        """Send a request; headers and body leave together."""
        self._outbox.clear()
        super().request(*args, **kwargs)  # type: ignore[arg-type]
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.timeout)
        self._last_used = monotonic()
        super().send(bytes(self._outbox))

    def send(self, data: bytes) -> None:  # type: ignore[override]
        """Put ``data`` where ``request`` sends it from."""
        self._outbox += data


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
