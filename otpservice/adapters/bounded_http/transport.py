"""One POST to a provider: within its deadline, to nobody else, and never twice."""

import http.client
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

from urllib3 import BaseHTTPResponse, Timeout
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from otpservice.adapters.bounded_http.connection import (
    MAX_ANSWER,
    BoundedHTTPConnection,
    BoundedHTTPSConnection,
)
from otpservice.turns import aside

MAX_TRIES = 2
"""Tries to connect; the second only because nothing was sent by the first."""

MAX_IDLE = 4.0
"""Seconds a connection is kept unused: less than the 5 after which Apache closes one by default,
so that a request does not meet a server that is just hanging up."""

TURNED_AWAY = frozenset({429, 503})
"""HTTP statuses of a server that took no notice of the request: too busy."""

NOT_DONE = frozenset({*range(300, 400), 404, 405, 413})
"""HTTP statuses that say for sure that nothing was done: not here, not so, not that much."""

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


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = BoundedHTTPConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = BoundedHTTPSConnection


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
        self._timeout = timeout
        self._connect_timeout = min(connect_timeout, timeout)
        if target.scheme == "http":
            self._pool: HTTPConnectionPool = _PlainPool(
                target.host or "", target.port, maxsize=pool_size, max_idle=max_idle
            )
        else:
            self._pool = _TlsPool(
                target.host or "",
                target.port,
                maxsize=pool_size,
                max_idle=max_idle,
                ssl_context=_checking(ssl_context),
            )

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
        path = f"{self._path.rstrip('/')}/{below}" if below else self._path
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
                timeout = Timeout(connect=min(connect, left), total=left)
                with aside():
                    return self._exchange(path, body, headers, timeout)
            except ConnectTimeoutError as error:
                failure = _reason(error)
        # Outside the handler: urllib3's errors hold addresses and bodies, and would be chained.
        raise NoConnection(failure)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.close()

    def _exchange(
        self, path: str, body: bytes, headers: Mapping[str, str], timeout: Timeout
    ) -> Reply:
        response, failure = None, ""
        try:
            response = self._ask(path, body, headers, timeout)
            return Reply(response.status, _whole_body(response))
        except ConnectTimeoutError:
            raise
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            failure = _reason(error)
        raise AnswerLost(failure, response.status if response else None)

    def _ask(
        self, path: str, body: bytes, headers: Mapping[str, str], timeout: Timeout
    ) -> BaseHTTPResponse:
        return self._pool.urlopen(
            "POST",
            path,
            body=body,
            headers={**_HEADERS, **headers},
            retries=False,
            redirect=False,
            timeout=timeout,
            preload_content=False,
            decode_content=False,
        )


def _whole_body(response: BaseHTTPResponse) -> bytes:
    body = bytearray()
    try:
        # Until it is empty: only then urllib3 tells a body that was cut from one that ended.
        while chunk := response.read(MAX_ANSWER, decode_content=False):
            body += chunk
    finally:
        response.close()
    return bytes(body)


def _reason(error: BaseException) -> str:
    """Class names only: the texts of urllib3's errors hold addresses and parts of answers."""
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
