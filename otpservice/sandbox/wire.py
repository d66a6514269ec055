"""Ways to put an answer on the wire badly.

A view leaves one of these in the WSGI environ under ``DELIVERY``; the sandbox's own server then
calls it with the connection and the bytes of the whole answer. It returns whether the connection
can carry another request. Other WSGI servers, and Flask's test client, ignore it.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Callable

Delivery = Callable[[socket.socket, bytes], bool]

DELIVERY = "otpservice.sandbox.delivery"


def hang(seconds: float) -> Delivery:
    """Say nothing until the client leaves, or for ``seconds``; then close."""

    def deliver(connection: socket.socket, _: bytes) -> bool:
        deadline = time.monotonic() + seconds
        with contextlib.suppress(OSError):
            while (left := deadline - time.monotonic()) > 0:
                connection.settimeout(left)
                if not connection.recv(4096):
                    break
        return False

    return deliver


def reset(connection: socket.socket, _: bytes) -> bool:
    """Drop the connection with a TCP reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Any close through the socket object comes with a shutdown, and so a polite FIN before it.
    socket.close(connection.detach())
    return False


def cut(connection: socket.socket, answer: bytes) -> bool:
    """Promise the whole body, send half of it and close."""
    head, end, body = answer.partition(b"\r\n\r\n")
    connection.sendall(head + end + body[: len(body) // 2])
    return False


def drip(seconds: float) -> Delivery:
    """Send the right answer, headers and all, one byte every ``seconds``."""

    def deliver(connection: socket.socket, answer: bytes) -> bool:
        for byte in answer:
            connection.sendall(bytes([byte]))
            time.sleep(seconds)
        return True

    return deliver
