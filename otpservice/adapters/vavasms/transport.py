"""One POST to the provider: within its deadline, to nobody else, and never twice."""

import http.client
import ipaddress
import ssl
from dataclasses import dataclass, field
from time import monotonic

from urllib3 import Timeout
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from otpservice.adapters.vavasms.connection import (
    MAX_ANSWER,
    BoundedHTTPConnection,
    BoundedHTTPSConnection,
)

MAX_TRIES = 2
"""Tries to connect; the second only because nothing was sent by the first."""

_HEADERS = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "otpservice",
}


class NoConnection(Exception):
    """Not one byte of the request left."""


class AnswerLost(Exception):
    """The request left, all of it or a part, and no whole answer came back."""


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
        url: the API's base address; https, or http to a loopback address.
        timeout: seconds for one call in all.
        connect_timeout: of these, for name lookup, connecting and the TLS handshake together.
        pool_size: connections kept for reuse; more are opened when needed, then closed.
        max_idle: seconds after which a kept connection is not trusted to be alive.
        ssl_context: other trusted certificates than the system's.

    Raises:
        ValueError: the address or the context would put the password at risk.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        connect_timeout: float,
        pool_size: int,
        max_idle: float,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        target = _safe(url)
        self._base = (target.path or "").rstrip("/")
        self._timeout = timeout
        self._connect_timeout = connect_timeout
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

    def post(self, path: str, form: str) -> Reply:
        """Send the URL-encoded ``form`` to ``path`` and return the whole answer.

        Raises:
            NoConnection: surely not sent.
            AnswerLost: perhaps sent.
        """
        deadline = monotonic() + self._timeout
        failure = "Timeout"
        for _ in range(MAX_TRIES):
            left = deadline - monotonic()
            if left <= 0:
                break
            try:
                return self._exchange(f"{self._base}/{path}", form, left)
            except ConnectTimeoutError as error:
                failure = _reason(error)
        # Outside the handler: urllib3's errors hold addresses and bodies, and would be chained.
        raise NoConnection(failure)

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.close()

    def _exchange(self, path: str, form: str, left: float) -> Reply:
        failure = ""
        try:
            return self._ask(path, form, left)
        except ConnectTimeoutError:
            raise
        except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            failure = _reason(error)
        raise AnswerLost(failure)

    def _ask(self, path: str, form: str, left: float) -> Reply:
        response = self._pool.urlopen(
            "POST",
            path,
            body=form.encode("ascii"),
            headers=_HEADERS,
            retries=False,
            redirect=False,
            timeout=Timeout(connect=min(self._connect_timeout, left), total=left),
            preload_content=False,
            decode_content=False,
        )
        body = bytearray()
        try:
            # Until it is empty: only then urllib3 tells a body that was cut from one that ended.
            while chunk := response.read(MAX_ANSWER, decode_content=False):
                body += chunk
        finally:
            response.close()
        return Reply(response.status, bytes(body))


def _reason(error: BaseException) -> str:
    """Class names only: the texts of urllib3's errors hold addresses and parts of answers."""
    inner = [type(arg).__name__ for arg in error.args if isinstance(arg, BaseException)]
    return " ".join([type(error).__name__, *inner])


def _safe(url: str) -> Url:
    try:
        target = parse_url(url)
    except LocationParseError:
        raise ValueError("The VavaSMS address is not a URL.") from None
    if not target.host or target.auth or target.query or target.fragment:
        raise ValueError("The VavaSMS address must be scheme, host and path only.")
    if target.scheme == "https" or (target.scheme == "http" and _is_loopback(target.host)):
        return target
    raise ValueError("The VavaSMS address must be https; plain http only to a loopback address.")


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
