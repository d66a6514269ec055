"""Name lookups that end in time: ``getaddrinfo`` itself takes no timeout."""

import socket
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread

Address = tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]
Lookup = Callable[[str, int], list[Address]]


def look_up(host: str, port: int) -> list[Address]:
    """Ask the system's resolver, however long it takes."""
    return _ask(host, port)


def addresses(host: str, port: int, timeout: float, lookup: Lookup = look_up) -> list[Address]:
    """Where ``host`` can be reached, after at most ``timeout`` seconds.

    Raises:
        OSError: the name has no address (``socket.gaierror``), or none in time (``TimeoutError``).
    """
    try:
        return _ask(host, port, socket.AI_NUMERICHOST)
    except socket.gaierror:
        return _in_time(host, port, timeout, lookup)


def _ask(host: str, port: int, flags: int = 0) -> list[Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]


def _in_time(host: str, port: int, timeout: float, lookup: Lookup) -> list[Address]:
    # A thread each, not a pool: stuck lookups must not keep later ones waiting, and a pool made
    # before a fork has no threads after it.
    outcome: SimpleQueue[list[Address] | OSError] = SimpleQueue()
    Thread(target=_run, args=(outcome, host, port, lookup), daemon=True).start()
    try:
        found = outcome.get(timeout=timeout)
    except Empty:
        raise TimeoutError("name lookup") from None
    if isinstance(found, OSError):
        raise found
    return found


def _run(
    outcome: SimpleQueue[list[Address] | OSError], host: str, port: int, lookup: Lookup
) -> None:
    try:
        outcome.put(lookup(host, port))
    except OSError as error:
        outcome.put(error)
    except UnicodeError:  # a label too long or empty
        outcome.put(socket.gaierror(socket.EAI_NONAME, "not a host name"))
