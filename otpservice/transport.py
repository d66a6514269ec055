"""One POST over HTTP: within its deadline, to one server, and never twice.

``Transport`` says whether a request can have left this process. That decides whether an SMS may be
sent by another route, and whether a guess stays counted.
"""

import http
import http.client
import io
import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock, Thread
from time import monotonic
from typing import Any, TypeVar

from urllib3 import HTTPConnectionPool, HTTPResponse, Timeout
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ClosedPoolError, HTTPError, LocationParseError
from urllib3.util import Url, parse_url, wait_for_read, wait_for_write
from urllib3.util.response import assert_header_parsing

MAX_ANSWER = 64 * 1024
"""Bytes of one answer, head included; the longest on the provider's page has about 250."""

MAX_TRIES = 2
"""Tries to connect. Nothing was sent by the first, so the second repeats nothing."""

MAX_IDLE = 4.0
"""Seconds an idle connection is kept: less than the 5 after which Apache closes one by default, so
that a request does not meet a server that is just hanging up."""

TURNED_AWAY = frozenset({429, 503})
"""HTTP statuses of a server that was too busy to look at the request."""

NOT_DONE = frozenset({*range(300, 400), 404, 405, 413})
"""HTTP statuses that mean that the server did nothing: not here, not so, not that much."""

# Servers and clients read folded headers, and lines that end in any other way, differently.
_LINE = re.compile(
    rb"(HTTP/1\.[01] [0-9]{3}( [^\r\n]*)?"  # status line
    rb"|[!-9;-~]+:[^\r\n\0]*"  # header or trailer
    rb"|[0-9A-Fa-f]+[ \t]*(;[^\r\n]*)?"  # size of a chunk
    rb")?\r\n"
)

T = TypeVar("T")


class NoConnection(Exception):
    """No connection was made, so not one byte of the request left."""


class AnswerLost(Exception):
    """The request or a part of it may have left, and no complete answer came back.

    ``status`` is the answer's if its head was complete and only the body was lost; else None.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer."""

    status: int
    body: bytes = field(repr=False)


class Transport:
    """Connections to one server, shared by any number of threads or greenlets.

    Args:
        url: the server's address, or what all its paths begin with; https, or http to a loopback
            address.
        timeout: seconds for one call in all.
        connect_timeout: seconds for one try to connect: name look-up, TCP and TLS. A try takes a
            quarter of the call's time at most, so that two leave half of it for the answer.
        pool_size: idle connections that are kept. More are opened when needed, then closed.
        max_idle: seconds after which an idle connection is not used again.
        ssl_context: other trusted certificates than the system's.

    Raises:
        ValueError: the address or the context would expose what is sent.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        connect_timeout: float = 3.0,
        pool_size: int = 500,
        max_idle: float = MAX_IDLE,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        target = _safe(url)
        self._path = target.path or "/"
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._headers = {
            "Host": target.netloc or "",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "otpservice",
        }
        tls = _checking(ssl_context) if target.scheme == "https" else None
        server = _Server((target.host or "").strip("[]"), target.port or (443 if tls else 80), tls)
        self._pool = _Pool(
            server.name, maxsize=pool_size, retries=False, server=server, max_idle=max_idle
        )

    def post(
        self,
        body: bytes,
        headers: Mapping[str, str],
        *,
        below: str = "",
        within: float | None = None,
    ) -> Reply:
        """Send ``body`` to the address, or to the path ``below`` it; return the complete answer.

        Args:
            body: what to send.
            headers: headers to add to the transport's own.
            below: a path relative to the address.
            within: seconds, if fewer than ``timeout`` are left.

        Raises:
            NoConnection: not sent.
            AnswerLost: perhaps sent.
            ValueError: a header is not printable ASCII; not sent.
        """
        texts = "".join([*headers, *headers.values()])
        if not (texts.isascii() and texts.isprintable()):
            raise ValueError("A header must be printable ASCII.")
        path = f"{self._path.rstrip('/')}/{below}" if below else self._path
        total = self._timeout if within is None else min(self._timeout, within)
        connect = min(self._connect_timeout, total / (2 * MAX_TRIES))
        deadline, failure = monotonic() + total, "TimeoutError"
        for _ in range(MAX_TRIES):
            if (left := deadline - monotonic()) <= 0:
                break
            try:
                return self._ask(path, body, headers, Timeout(connect=connect, total=left))
            except NoConnection as error:
                failure = str(error)
        raise NoConnection(failure)

    def close(self) -> None:
        """Close the idle connections; later calls raise ``NoConnection``."""
        self._pool.close()

    def _ask(self, path: str, body: bytes, headers: Mapping[str, str], timeout: Timeout) -> Reply:
        status, sent = None, {**self._headers, **headers}
        try:
            response = self._pool.urlopen(
                "POST", path, body, sent, redirect=False, timeout=timeout, preload_content=False
            )
            status = response.status
            return Reply(status, b"".join(response.stream(MAX_ANSWER, decode_content=False)))
        except ClosedPoolError as error:
            raise NoConnection(_reason(error)) from None
        except (http.client.HTTPException, HTTPError, OSError, ValueError) as error:
            failure = _reason(error)
        # Outside the handler: the texts of the errors hold addresses and parts of answers.
        raise AnswerLost(failure, status)


class _Server:
    """Makes connected sockets to ``name``, with TLS if there is a context for it."""

    def __init__(self, name: str, port: int, tls: ssl.SSLContext | None) -> None:
        self.name = name
        self._port = port
        self._tls = tls
        self._lock = Lock()
        self._look_up = Thread()
        self._found: list[tuple[Any, ...]] = []

    def connect(self, timeout: float) -> socket.socket:
        """Connect to the first address that takes the connection.

        Raises:
            NoConnection: none did, or not in time.
        """
        reason, deadline = "NoAddress", monotonic() + timeout
        addresses = self._addresses(timeout)
        for position, address in enumerate(addresses):
            # An address that swallows packets leaves the others their share of the time.
            share = (deadline - monotonic()) / (len(addresses) - position)
            try:
                return self._open(address, monotonic() + share)
            except (OSError, ValueError) as error:
                reason = type(error).__name__
        raise NoConnection(reason)

    def _addresses(self, timeout: float) -> list[tuple[Any, ...]]:
        # getaddrinfo takes no timeout and cannot be interrupted, so a thread runs it. All callers
        # wait for the same one: gevent looks names up in ten threads, and Redis needs some too.
        with self._lock:
            if not self._look_up.is_alive():
                self._found = []
                self._look_up = Thread(target=self._find, args=(self._found,), daemon=True)
                self._look_up.start()
            look_up, found = self._look_up, self._found
        look_up.join(timeout)
        return list(found)

    def _find(self, found: list[tuple[Any, ...]]) -> None:
        with suppress(OSError, UnicodeError):
            entries = socket.getaddrinfo(self.name, self._port, type=socket.SOCK_STREAM)
            found.extend(address for *_, address in entries)

    def _open(self, address: tuple[Any, ...], deadline: float) -> socket.socket:
        if (timeout := deadline - monotonic()) <= 0:
            raise TimeoutError
        sock = socket.create_connection(address[:2], timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls:
                # Under gevent a timeout holds for each read of a handshake, not for all of it.
                sock.settimeout(0)
                sock = self._tls.wrap_socket(
                    sock, server_hostname=self.name.rstrip("."), do_handshake_on_connect=False
                )
                _in_time(sock, deadline, sock.do_handshake)
        except BaseException:
            sock.close()
            raise
        return sock


class _Wire(io.RawIOBase):
    """The bytes of one answer, all within the timeout that ``sock`` has when it is made.

    A socket's timeout holds for each read, so a server that sends a byte at a time never meets it.
    urllib3 sets it to what is left of the call before it makes an answer.
    """

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._room = MAX_ANSWER
        self._deadline = monotonic() + (sock.gettimeout() or 0)
        sock.settimeout(0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        count = _in_time(self._sock, self._deadline, lambda: self._sock.recv_into(buffer))
        self._room -= count
        if self._room < 0:
            raise http.client.HTTPException("too large")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Lines(io.BufferedReader):
    """Gives ``http.client`` the head of an answer and its chunks' sizes, line by line."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not _LINE.fullmatch(line):
            raise http.client.HTTPException("malformed or cut")
        return line


class _Answer(http.client.HTTPResponse):
    """An answer that can be read in one way only.

    ``http.client`` takes a negative length, two lengths, or a length beside chunks for a 200, and a
    head that was cut off for a complete one.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **kwargs)
        self.fp = _Lines(_Wire(sock, self.fp.detach()))

    def begin(self) -> None:
        super().begin()
        # urllib3 does this too, but only logs what it finds, with lines of the answer.
        assert_header_parsing(self.msg)
        lengths = self.msg.get_all("Content-Length", [])
        codings = self.msg.get_all("Transfer-Encoding", [])
        plain = all(re.fullmatch("[0-9]{1,15} *", length) for length in lengths)
        chunked = all(coding.lower() == "chunked" for coding in codings)
        if len(lengths + codings) > 1 or not plain or not chunked:
            raise http.client.HTTPException("ambiguous framing")
        if self.status < http.HTTPStatus.OK:
            raise http.client.HTTPException("interim answer")


class _Connection(HTTPConnection):
    """A connection to ``server`` that the pool drops when it was idle for ``max_idle`` seconds."""

    response_class = _Answer

    def __init__(self, *args: Any, server: _Server, max_idle: float, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._server = server
        self._max_idle = max_idle
        self._answered = 0.0

    @property
    def is_connected(self) -> bool:
        return monotonic() - self._answered < self._max_idle and super().is_connected

    def connect(self) -> None:
        self.sock = self._server.connect(self.timeout or 0)
        self.sock.settimeout(self.timeout)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3 overrides it so too
        response = super().getresponse()
        self._answered = monotonic()
        return response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


def _in_time(sock: socket.socket, deadline: float, act: Callable[[], T]) -> T:
    """Return what ``act`` returns once the non-blocking ``sock`` is ready for it."""
    while (left := deadline - monotonic()) > 0:
        try:
            return act()
        except (BlockingIOError, ssl.SSLWantReadError):
            wait_for_read(sock, left)
        except ssl.SSLWantWriteError:
            wait_for_write(sock, left)
    raise TimeoutError


def _reason(error: BaseException) -> str:
    """Class names only: the texts of the errors hold addresses and parts of answers."""
    inner = [type(arg).__name__ for arg in error.args if isinstance(arg, BaseException)]
    return " ".join([type(error).__name__, *inner])


def _safe(url: str) -> Url:
    try:
        target = parse_url(url)
    except LocationParseError:
        raise ValueError("The provider's address is not a URL.") from None
    if not target.host or target.auth or target.query or target.fragment:
        raise ValueError("The provider's address must be scheme, host and path only.")
    if target.scheme == "https" or (target.scheme == "http" and _is_loopback(target.host)):
        return target
    raise ValueError("The provider's address must be https; plain http only to a loopback address.")


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    return host == "localhost"


def _checking(context: ssl.SSLContext | None) -> ssl.SSLContext:
    # Made once: loading the system's certificates takes longer than a call.
    context = context or ssl.create_default_context()
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ValueError("The TLS context must check certificates and host names.")
    return context
