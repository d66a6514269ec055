"""Waiting for a socket until a deadline."""

import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from urllib3.util import wait_for_read, wait_for_write

T = TypeVar("T")


def in_time(sock: socket.socket, deadline: float, act: Callable[[], T]) -> T:
    """Return what ``act`` returns once the non-blocking ``sock`` is ready for it."""
    while (left := deadline - monotonic()) > 0:
        try:
            return act()
        except (BlockingIOError, ssl.SSLWantReadError):
            wait_for_read(sock, left)
        except ssl.SSLWantWriteError:
            wait_for_write(sock, left)
    raise TimeoutError
