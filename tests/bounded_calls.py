"""Calls that a server or a resolver tries to stretch, most of them 50 at once.

Run by ``test_transport.py``; the argument ``green`` runs them under gevent, as the service does.
Prints a JSON object: for each case what the calls came to, the seconds of the slowest and the
connections that were made.
"""

import sys
import time

GREEN = sys.argv[1:] == ["green"]

if GREEN:
    import _socket as resolver  # what gevent's own threads ask
else:
    import socket as resolver

ask, sleep = resolver.getaddrinfo, time.sleep


def getaddrinfo(host, port, *args, **kwargs):
    if host == "hangs.example":
        sleep(3)
    if host == "localhost":
        # A server at the first address takes no connection and refuses none.
        return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.1")]
    return ask(host, port, *args, **kwargs)


resolver.getaddrinfo = getaddrinfo

if GREEN:
    from gevent import monkey

    monkey.patch_all()

import json  # noqa: E402
import socket  # noqa: E402
import ssl  # noqa: E402
import tempfile  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402

from otpservice.transport import AnswerLost, NoConnection, Transport  # noqa: E402
from tests.fake_provider import FakeProvider, after, answer, drip, hang  # noqa: E402
from tests.vavasms.test_tls import certificate  # noqa: E402

TIMEOUT = 1.0
CALLS = 50
YES = answer("{}")


def call(transport):
    started = time.monotonic()
    try:
        outcome = str(transport.post(b"x=1", {}).status)
    except (AnswerLost, NoConnection) as error:
        outcome = type(error).__name__
    return outcome, time.monotonic() - started


def at_once(url, context=None, calls=CALLS):
    transport = Transport(url, timeout=TIMEOUT, ssl_context=context)
    with ThreadPoolExecutor(calls) as threads:
        found = list(threads.map(call, [transport] * calls))
    transport.close()
    return {outcome for outcome, _ in found}, max(seconds for _, seconds in found)


def played(reply, url="http://127.0.0.1:{}/", context=None, calls=CALLS, **options):
    with FakeProvider(reply, **options) as provider:
        outcomes, seconds = at_once(url.format(provider.port), context, calls)
        return sorted(outcomes), seconds, provider.connections


def first_address_swallows_packets():
    with FakeProvider(YES) as provider:
        full = socket.create_server(("127.0.0.2", provider.port), backlog=0)
        with full, socket.create_connection(full.getsockname()):
            outcomes, seconds = at_once(f"http://localhost:{provider.port}/")
            return sorted(outcomes), seconds, provider.connections


def closed_while_idle():
    with FakeProvider(YES) as provider:
        transport = Transport(provider.url, timeout=TIMEOUT)
        first = call(transport)
        provider.close_connections()
        time.sleep(0.1)
        second = call(transport)
        transport.close()
        return [first[0], second[0]], second[1], provider.connections


def drip_a_record(context):
    """Shake hands, read the request, and drip one TLS record."""

    def play(sock):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        def finish(act):
            while True:
                try:
                    return act()
                except ssl.SSLWantReadError:
                    sock.sendall(outgoing.read())
                    incoming.write(sock.recv(65536))

        finish(tls.do_handshake)
        finish(lambda: tls.read(65536))
        tls.write(YES * 20)
        drip(outgoing.read())(sock)

    return play


def tls_record():
    with tempfile.TemporaryDirectory() as folder:
        server, trusting = certificate(Path(folder), "IP:127.0.0.1")
        return played(hang, HTTPS, trusting, calls=5, before_request=drip_a_record(server))


HTTPS = "https://127.0.0.1:{}/"
FLOOD = b"HTTP/1.1 100 X\r\n\r\n" * 9999  # each call reads 64 KiB of it without a pause
HANDSHAKE = drip(b"\x16\x03\x03\x02\x00" + b"\x00" * 500)

CASES = {
    "answered": lambda: played(YES),
    "hanging": lambda: played(hang),
    "dripping head": lambda: played(drip(b"HTTP/1.1 200 X\r\nX: " + b"y" * 500)),
    "dripping body": lambda: played(after(b"HTTP/1.1 200 X\r\n\r\n", drip(b" " * 500))),
    "dripping interim answers": lambda: played(drip(b"HTTP/1.1 100 X\r\n\r\n" * 50)),
    "flood of interim answers": lambda: played(FLOOD, calls=5),
    "dripping handshake": lambda: played(hang, HTTPS, before_request=HANDSHAKE),
    "dripping TLS record": tls_record,
    "hanging look-up": lambda: played(hang, "https://hangs.example:{}/"),
    "after a hanging look-up": lambda: played(YES),
    "first address swallows packets": first_address_swallows_packets,
    "closed while idle": closed_while_idle,
}

if __name__ == "__main__":
    json.dump({name: case() for name, case in CASES.items()}, sys.stdout)
