"""One POST over HTTP: within its deadline, to one server, and never twice.

``Transport`` says whether a request can have left this process. That decides whether an SMS may be
sent by another route, and whether a guess stays counted.
"""

import http.client
import ipaddress
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPResponse, Timeout
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ClosedPoolError, HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from otpservice.transport.answer import MAX_ANSWER, Answer
from otpservice.transport.errors import AnswerLost, NoConnection
from otpservice.transport.server import Server

__all__ = [
    "MAX_ANSWER",
    "MAX_IDLE",
    "MAX_TRIES",
    "NOT_DONE",
    "TURNED_AWAY",
    "AnswerLost",
    "NoConnection",
    "Reply",
    "Transport",
]

MAX_TRIES = 2
"""Tries to connect. Nothing was sent by the first, so the second repeats nothing."""

MAX_IDLE = 4.0
"""Seconds an idle connection is kept: less than the 5 after which Apache closes one by default, so
that a request does not meet a server that is just hanging up."""

TURNED_AWAY = frozenset({429, 503})
"""HTTP statuses of a server that was too busy to look at the request."""

NOT_DONE = frozenset({*range(300, 400), 404, 405, 413})
"""HTTP statuses that mean that the server did nothing: not here, not so, not that much."""


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
        server = Server((target.host or "").strip("[]"), target.port or (443 if tls else 80), tls)
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


class _Connection(HTTPConnection):
    """A connection to ``server`` that the pool drops when it was idle for ``max_idle`` seconds."""

    response_class = Answer

    def __init__(self, *args: Any, server: Server, max_idle: float, **kwargs: Any) -> None:  # noqa: ANN401
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
