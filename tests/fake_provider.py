"""An HTTP server scripted byte by byte, to play a provider on its worst days."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from otpservice.vavasms import VavasmsClient

Reply = bytes | Callable[[socket.socket], None]

USERNAME = "owner@example.com"
PASSWORD = "s3cret&=ünd+more"


def answer(body, status="200 OK", headers=""):
    """A complete answer whose connection stays open."""
    body = body.encode() if isinstance(body, str) else body
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def drip(data, pause=0.05):
    """Send ``data`` a byte at a time."""

    def play(sock):
        for position in range(len(data)):
            sock.sendall(data[position : position + 1])
            time.sleep(pause)

    return play


def after(data, then):
    """Send ``data`` at once, then do something else."""

    def play(sock):
        sock.sendall(data)
        then(sock)

    return play


def hang(sock):
    """Say nothing until the caller gives up."""
    sock.settimeout(20)
    while sock.recv(4096):
        pass


def cut(sock):
    """Hang up in the usual way."""
    sock.shutdown(socket.SHUT_RDWR)


def reset(sock):
    """Hang up with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@dataclass
class Request:
    """What arrived."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def pairs(self):
        """The form's fields in order, decoded."""
        return parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)

    @property
    def form(self):
        return dict(self.pairs)


class FakeProvider:
    """Plays ``replies`` one a request; the last is repeated. Use as a context manager."""

    def __init__(self, *replies, tls=None, before_request=None):
        self.replies = list(replies)
        self.requests = []
        self.connections = 0
        self._tls = tls
        self._before_request = before_request
        self._open = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/api"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self._listener.close()
        for sock in self._open:
            sock.close()

    def client(self, **options):
        """A client of this server with the test account."""
        options = {"url": self.url, "username": USERNAME, "password": PASSWORD} | options
        return VavasmsClient(**options)

    def close_connections(self):
        """Hang up on everybody who is connected."""
        with self._lock:
            for sock in self._open:
                sock.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            if self._before_request:
                self._before_request(sock)
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
                with self._lock:
                    self._open.append(sock)
            while request := _read_request(sock):
                self._play(sock, request)
        except (OSError, ssl.SSLError, ValueError):
            pass
        finally:
            sock.close()

    def _play(self, sock, request):
        with self._lock:
            self.requests.append(request)
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if callable(reply):
            reply(sock)
        else:
            sock.sendall(reply)


def _read_request(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        if not (chunk := sock.recv(65536)):
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = {key.lower(): value for key, _, value in (text.partition(": ") for text in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        if not (chunk := sock.recv(65536)):
            return None
        body += chunk
    return Request(line, headers, body)
