"""The sandbox's own HTTP server: threads, keep-alive, and connections that break on request."""

import io
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Self

from flask import Flask
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from otpservice.sandbox.account import DEMO_ACCOUNT, Account
from otpservice.sandbox.app import create_app, state_of
from otpservice.sandbox.state import State
from otpservice.sandbox.wire import DELIVERY, Delivery

_log = logging.getLogger(__name__)

# Bytes of a request's body. A text of many parts to a thousand phones is a tenth of it.
_LARGEST_BODY = 1_048_576

# Connections waiting to be accepted: a test may open a thousand at once.
_BACKLOG = 1024

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
    foreground. The port is open from the beginning. A port in use ends the process with a message.
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
        self._server = _Server(host, port, self.app, _Handler)
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
        self._server.drop_connections()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadedWSGIServer):
    request_queue_size = _BACKLOG

    def __init__(self, host: str, port: int, app: Flask, handler: type[WSGIRequestHandler]) -> None:
        self._open: set[Any] = set()
        self._open_lock = threading.Lock()
        super().__init__(host, port, app, handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for our name, which takes seconds on some machines.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, self.server_address[1]

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        with self._open_lock:
            self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            with self._open_lock:
                self._open.discard(request)

    def drop_connections(self) -> None:
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        _log.debug("connection failed", exc_info=True)


class _Handler(WSGIRequestHandler):
    """One connection. Werkzeug's own closes it after each answer; this one keeps it open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        environ = self.environ = self.make_environ()
        body = self._body(environ)
        if body is None:
            return
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        answer = self._call(environ)
        delivery: Delivery = environ.get(DELIVERY, _send_whole)
        self.close_connection |= not delivery(self.connection, answer)

    def _body(self, environ: dict[str, Any]) -> bytes | None:
        """The request's body, read whole so that the next request starts where this one ends."""
        length = environ.get("CONTENT_LENGTH") or "0"
        refusal = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        if environ.get("wsgi.input_terminated"):  # chunked
            body = io.BufferedReader(environ["wsgi.input"]).read(_LARGEST_BODY + 1)
        elif length.isascii() and length.isdigit():
            body = self.rfile.read(min(int(length), _LARGEST_BODY + 1))
        else:
            body, refusal = None, HTTPStatus.BAD_REQUEST
        if body is None or len(body) > _LARGEST_BODY:
            self._refuse(refusal)
            return None
        return body

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer without the app, which cannot be asked, and close."""
        self.close_connection = True
        headers = [("Content-Length", "0")]
        self.connection.sendall(self._head(f"{status.value} {status.phrase}", headers))

    def _call(self, environ: dict[str, Any]) -> bytes:
        """The whole answer of the app, as bytes."""
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> Any:  # noqa: ANN401
            started[:] = [status, headers]

        chunks: Iterable[bytes] = self.server.app(environ, start_response)
        body = b"".join(chunks)
        if close := getattr(chunks, "close", None):
            close()
        return self._head(*started) + (b"" if self.command == "HEAD" else body)

    def _head(self, status: str, headers: list[tuple[str, str]]) -> bytes:
        connection = "close" if self.close_connection else "keep-alive"
        lines = [f"HTTP/1.1 {status}", "Server: sandbox", f"Date: {self.date_time_string()}"]
        lines += [f"{name}: {value}" for name, value in headers]
        lines += [f"Connection: {connection}", "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002, ANN401
        _log.debug(f"%s {message}", type, *args)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def _send_whole(connection: socket.socket, answer: bytes) -> bool:
    connection.sendall(answer)
    return True
