"""Connections whose timeouts the kernel keeps.

Python polls before each read and each write of a socket that has a timeout, and gives the
interpreter's lock away for it: among many threads that costs more than the read.
"""

import socket
from struct import pack

from redis.connection import Connection, UnixDomainSocketConnection


class TcpConnection(Connection):
    """By TCP without TLS: after a read that came to no end in time, TLS would go on reading."""

    def _connect(self) -> socket.socket:
        return _timed_by_kernel(super()._connect())  # type: ignore[no-untyped-call]


class UnixConnection(UnixDomainSocketConnection):
    """By a socket of this machine."""

    def _connect(self) -> socket.socket:
        return _timed_by_kernel(super()._connect())  # type: ignore[no-untyped-call]


def _timed_by_kernel(connected: socket.socket) -> socket.socket:
    seconds = connected.gettimeout() or 0  # which is none
    timeval = pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
    connected.settimeout(None)
    return connected
