"""Sockets to one server: name look-up, TCP and TLS within one timeout."""

import socket
import ssl
from contextlib import suppress
from threading import Lock, Thread
from time import monotonic
from typing import Any

from otpservice.transport.errors import NoConnection
from otpservice.transport.waiting import in_time


class Server:
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
                in_time(sock, deadline, sock.do_handshake)
        except BaseException:
            sock.close()
            raise
        return sock
