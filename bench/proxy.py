"""A TCP proxy before Redis: counts round trips."""

import socket
import threading
from contextlib import suppress
from typing import Self

_CHUNK = 65536


class Proxy:
    """Listens on ``port`` of loopback and passes all on to ``target``, a port of loopback too.

    Each connection has two threads, so it is for a caller or two at a time.

    Args:
        target: where Redis listens.

    Attributes:
        trips: requests that were passed on. A pipeline is one; so is whatever a client sends before
            it waits for an answer.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self.port: int = self._server.getsockname()[1]
        self.trips = 0

    @property
    def url(self) -> str:
        """For a Redis client."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for held in (self._server, *self._sockets):
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
            held.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                redis = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, redis]
                for sock in (client, redis):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ways = ((self._ask, client, redis), (self._answer, redis, client))
                for way, source, sink in ways:
                    threading.Thread(target=way, args=(source, sink), daemon=True).start()

    def _ask(self, client: socket.socket, redis: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(_CHUNK):
                self.trips += 1
                redis.sendall(data)
        _hang_up(redis)

    def _answer(self, redis: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := redis.recv(_CHUNK):
                client.sendall(data)
        _hang_up(client)


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
