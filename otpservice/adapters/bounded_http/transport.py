"""One POST to a provider: within its deadline, to nobody else, and never twice."""

import ipaddress
import ssl
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from urllib3.exceptions import ConnectTimeoutError, LocationParseError
from urllib3.util import Url, parse_url

from otpservice.adapters.bounded_http.answer import (
    AnswerCut,
    AnswerMalformed,
    AnswerReader,
    AnswerTooLarge,
)
from otpservice.adapters.bounded_http.connection import (
    BoundedHTTPConnection,
    BoundedHTTPSConnection,
)

MAX_TRIES = 2
"""Tries to connect; the second only because nothing was sent by the first."""

MAX_IDLE = 4.0
"""Seconds a connection is kept unused: less than the 5 after which Apache closes one by default,
so that a request does not meet a server that is just hanging up."""

TURNED_AWAY = frozenset({429, 503})
"""HTTP statuses of a server that took no notice of the request: too busy."""

NOT_DONE = frozenset({*range(300, 400), 404, 405, 413})
"""HTTP statuses that say for sure that nothing was done: not here, not so, not that much."""

_PORTS = {"http": 80, "https": 443}

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "otpservice",
}


class NoConnection(Exception):
    """Not one byte of the request left."""


class AnswerLost(Exception):
    """The request left, all of it or a part, and no whole answer came back.

    ``status`` is the answer's, if its headers came whole and only the body was lost; else None.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer that came whole."""

    status: int
    body: bytes = field(repr=False)


class Transport:
    """Connections to one server, shared by any number of threads.

    Args:
        url: the server's address, or that of all its paths; https, or http to a loopback address.
        timeout: seconds for one call in all.
        connect_timeout: of these at most, for name lookup, connecting and the TLS handshake, and
            a quarter of them: there is a second try, and half the time is for the answer.
        pool_size: connections kept for reuse; more are opened when needed, then closed.
        max_idle: seconds after which a kept connection is not trusted to be alive.
        ssl_context: other trusted certificates than the system's.

    Raises:
        ValueError: the address or the context would put what is sent at risk.
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
        self._lines = _written({"Host": _host_field(target), **_HEADERS})
        self._timeout = timeout
        self._connect_timeout = min(connect_timeout, timeout)
        self._connection = _connections(target, max_idle, ssl_context)
        self._pool_size = pool_size
        # The one used last is used next: it is the least likely to be closed by now.
        self._kept: deque[BoundedHTTPConnection] = deque()
        weakref.finalize(self, _close_all, self._kept)

    def post(
        self,
        body: bytes,
        headers: Mapping[str, str],
        *,
        below: str = "",
        within: float | None = None,
    ) -> Reply:
        """Send ``body`` to the address, or to the path ``below`` it; return the whole answer.

        Args:
            body: what to send.
            headers: what to send before it.
            below: the path, if it is not the address's own.
            within: seconds, if there are fewer than ``timeout`` left.

        Raises:
            NoConnection: surely not sent.
            AnswerLost: perhaps sent.
        """
        request = self._request(body, headers, below)
        total = self._timeout if within is None else min(self._timeout, within)
        # Half of the time is for the answer, or for whoever is asked if nobody can be reached here.
        connect = min(self._connect_timeout, total / (2 * MAX_TRIES))
        deadline = monotonic() + total
        failure = "Timeout"
        for _ in range(MAX_TRIES):
            left = deadline - monotonic()
            if left <= 0:
                break
            try:
                connection = self._connected(min(connect, left))
            except ConnectTimeoutError as error:
                failure = _reason(error)
            else:
                return self._exchange(connection, request, deadline)
        # Outside the handler: urllib3's errors hold addresses, and would be chained.
        raise NoConnection(failure)

    def close(self) -> None:
        """Close the connections that are not in use, and keep none from now on."""
        self._pool_size = 0
        _close_all(self._kept)

    def _request(self, body: bytes, headers: Mapping[str, str], below: str) -> bytes:
        path = f"{self._path.rstrip('/')}/{below}" if below else self._path
        lines = f"POST {path} HTTP/1.1\r\n{self._lines}{_written(headers)}"
        return f"{lines}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body

    def _connected(self, timeout: float) -> BoundedHTTPConnection:
        """A kept connection that is still good, or a new one."""
        with suppress(IndexError):
            while True:
                kept = self._kept.pop()
                if kept.is_connected:
                    return kept
                kept.close()
        connection = self._connection(timeout=timeout)
        connection.connect()
        return connection

    def _exchange(
        self, connection: BoundedHTTPConnection, request: bytes, deadline: float
    ) -> Reply:
        answer, failure = AnswerReader(connection.sock, deadline), ""
        try:
            connection.deliver(request, max(deadline - monotonic(), 0.001))
            body = answer.body()
        except (AnswerCut, AnswerMalformed, AnswerTooLarge, OSError) as error:
            failure = _reason(error)
        finally:
            self._let_go(connection, reusable=answer.reusable)
        if failure or answer.status is None:
            raise AnswerLost(failure, answer.status)
        return Reply(answer.status, body)

    def _let_go(self, connection: BoundedHTTPConnection, *, reusable: bool) -> None:
        if reusable and len(self._kept) < self._pool_size:
            connection.unused_since = monotonic()
            self._kept.append(connection)
        else:
            connection.close()


def _close_all(connections: deque[BoundedHTTPConnection]) -> None:
    with suppress(IndexError):
        while True:
            connections.pop().close()


def _reason(error: BaseException) -> str:
    """Class names only: the texts of urllib3's errors hold addresses."""
    inner = [type(arg).__name__ for arg in error.args if isinstance(arg, BaseException)]
    return " ".join([type(error).__name__, *inner])


def _written(headers: Mapping[str, str]) -> str:
    """The headers as they are sent, a line each."""
    lines = ""
    for name, value in headers.items():
        line = f"{name}: {value}"
        if not (line.isascii() and line.isprintable()):
            raise ValueError("A header must be printable ASCII.")
        lines += f"{line}\r\n"
    return lines


def _host_field(target: Url) -> str:
    host = (target.host or "").partition("%")[0].rstrip(".")
    closed = f"{host}]" if host.startswith("[") and not host.endswith("]") else host
    usual = target.port in {None, _PORTS[target.scheme or ""]}
    return closed if usual else f"{closed}:{target.port}"


def _connections(
    target: Url, max_idle: float, ssl_context: ssl.SSLContext | None
) -> Callable[..., BoundedHTTPConnection]:
    """What makes a connection to ``target``; of its arguments only the timeout is left."""
    host, scheme = (target.host or "").strip("[]"), target.scheme or ""
    port = target.port or _PORTS[scheme]
    if scheme == "http":
        return partial(BoundedHTTPConnection, host, port, max_idle=max_idle)
    context = _checking(ssl_context)
    return partial(BoundedHTTPSConnection, host, port, max_idle=max_idle, ssl_context=context)


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
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _checking(context: ssl.SSLContext | None) -> ssl.SSLContext:
    # Made once: loading the system's certificates takes longer than a call.
    context = context or ssl.create_default_context()
    if context.verify_mode is not ssl.CERT_REQUIRED or not context.check_hostname:
        raise ValueError("The TLS context must check certificates and host names.")
    return context
