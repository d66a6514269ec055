"""The sandbox on a TCP port: werkzeug's threaded server, with connections that break on request."""

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Self

from flask import Flask
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import get_input_stream

from otpservice.sandbox.account import DEMO_ACCOUNT, Account
from otpservice.sandbox.app import create_app, state_of
from otpservice.sandbox.state import State
from otpservice.sandbox.wire import DELIVERY, Delivery

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# Connections waiting to be accepted: a test may open a thousand at once.
_BACKLOG = 1024

# Bytes of a request's body. A text of many parts to a thousand phones is a tenth of it.
_LARGEST_BODY = 1_048_576

# Seconds until stop() is noticed.
_POLL = 0.05


class SandboxServer:
    """A sandbox on a TCP port; ``url`` + ``/api`` is what a client takes for the provider.

    Args:
        host: the address to listen on.
        port: 0 takes any free one.
        account: see ``create_app``, as the next two.
        notification_url: where incoming SMS go.
        clock: seconds since 1970.

    Use it as a context manager, or ``start()`` and ``stop()``, or ``serve_forever()`` in the
    foreground. The port is open from the beginning.

    Raises:
        OSError: the port is in use.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        account: Account = DEMO_ACCOUNT,
        notification_url: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.app: Flask = create_app(
            account=account, notification_url=notification_url, clock=clock
        )
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: set[socket.socket] = set()
        with socket.create_server((host, port), family=family, backlog=_BACKLOG) as listener:
            self._server = make_server(
                host,
                port,
                self.app,
                threaded=True,
                request_handler=type("Handler", (_Handler,), {"connections": self._open}),
                fd=listener.fileno(),
            )
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """``http://127.0.0.1:8025``, without a slash at its end."""
        host, port = self._server.host, self._server.port
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def state(self) -> State:
        """What the sandbox remembers, for tests in the same process."""
        return state_of(self.app)

    def start(self) -> Self:
        """Serve in the background."""
        self._thread = threading.Thread(target=self.serve_forever, name="sandbox", daemon=True)
        self._thread.start()
        return self

    def serve_forever(self) -> None:
        """Serve in the foreground, until Ctrl-C."""
        self._server.serve_forever(poll_interval=_POLL)

    def stop(self) -> None:
        """Close the port and every connection, those that hang included."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):  # the client has closed it already
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Handler(WSGIRequestHandler):
    """One connection. Werkzeug closes it after each answer; these methods keep it open.

    ``connections`` is the server's set of those that are open.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    connections: ClassVar[set[socket.socket]]

    def setup(self) -> None:
        super().setup()
        self.connections.add(self.connection)

    def finish(self) -> None:
        self.connections.discard(self.connection)
        super().finish()

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        environ = self.make_environ()
        app: Callable[..., Iterable[bytes]] = self.server.app
        try:
            environ["wsgi.input"] = io.BytesIO(_body(environ))
        except HTTPException as refusal:
            app, self.close_connection = refusal, True
        answer = self._call(app, environ)
        delivery: Delivery = environ.get(DELIVERY, _send_whole)
        self.close_connection |= not delivery(self.connection, answer)

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST  # noqa: N815

    def _call(self, app: Callable[..., Iterable[bytes]], environ: "WSGIEnvironment") -> bytes:
        """Return the whole answer of the app, as bytes."""
        started: list[Any] = []
        chunks = app(environ, lambda *status_and_headers: started.extend(status_and_headers))
        content = b"".join(chunks)
        connection = "close" if self.close_connection else "keep-alive"
        headers = [("Server", "sandbox"), ("Date", self.date_time_string()), *started[1]]
        headers.append(("Connection", connection))
        lines = [f"HTTP/1.1 {started[0]}", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + content

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Log nothing: tests make thousands of requests."""


def _body(environ: "WSGIEnvironment") -> bytes:
    """Read the body whole, so that the next request starts where this one ends."""
    if not environ.get("CONTENT_LENGTH", "0").isdecimal():
        raise BadRequest
    body = get_input_stream(environ, max_content_length=_LARGEST_BODY).read()
    environ["CONTENT_LENGTH"] = str(len(body))
    return body


def _send_whole(connection: socket.socket, answer: bytes) -> bool:
    connection.sendall(answer)
    return True
