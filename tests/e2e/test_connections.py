"""Connections that send slowly, half, or nothing cost nobody else anything, and end in time."""

import json
import socket
import time
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest

from tests.conftest import KEYS
from tests.e2e.test_stopping import OPEN, PHONES

REQUESTS = 50
BODY = json.dumps({"phone": "+2250709000001"}).encode()
HALF_A_HEAD = b"POST /login-code HTTP/1.1\r\nHost: x\r\n"
HEAD = (
    HALF_A_HEAD
    + f"Authorization: Bearer {KEYS['portal']}\r\n".encode()
    + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
)


def connected(service):
    at = urlsplit(service.url)
    return socket.create_connection((at.hostname, at.port), timeout=30)


@contextmanager
def dripping(*dripped):
    """Sends one byte a second of what each connection still has to send."""
    over = Event()

    def drip():
        for position in range(max(len(rest) for _, rest in dripped)):
            for connection, rest in dripped:
                with suppress(OSError):  # the other side has closed it
                    connection.sendall(rest[position : position + 1])
            if over.wait(1):
                return

    thread = Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def said(connection):
    """All that comes until the connection ends."""
    pieces = []
    with connection, suppress(ConnectionResetError):  # it ended while a byte was on its way
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces).decode()


def ends_after(connection):
    """The seconds until the other side closes a connection on which it says nothing."""
    began = time.monotonic()
    assert said(connection) == ""
    return time.monotonic() - began


@pytest.fixture(scope="module")
def service(run):
    with run("--workers", "1", "--requests", str(REQUESTS), **OPEN, keep_alive="4") as service:
        yield service


def test_four_times_as_many_slow_connections_as_requests_keep_nobody_out(run_service):
    with (
        run_service("--workers", "1", "--requests", str(REQUESTS), **OPEN) as service,
        ExitStack() as stack,
    ):
        connections = [stack.enter_context(connected(service)) for _ in range(12 * REQUESTS)]
        half, slow = connections[: 4 * REQUESTS], connections[-4 * REQUESTS :]
        for connection in half:
            connection.sendall(HALF_A_HEAD)
        for connection in slow:
            connection.sendall(HEAD)
        stack.enter_context(dripping(*((connection, BODY) for connection in slow)))
        time.sleep(1)
        slowest = 0.0
        for _ in range(20):
            began = time.monotonic()
            service.close()  # a connection from before would get through in any case
            assert service.call("GET", "/health/live").status == 200
            assert service.call("GET", "/health/ready").status == 200
            assert service.send(next(PHONES)).status == 201
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 2


def test_a_body_that_drips_is_answered_408_after_ten_seconds_and_closed(service):
    connection = connected(service)
    connection.sendall(HEAD)
    began = time.monotonic()
    with dripping((connection, BODY)):
        head, _, body = said(connection).partition("\r\n\r\n")
    assert 9 < time.monotonic() - began < 12
    assert head.startswith("HTTP/1.1 408 ")
    assert "\r\nConnection: close\r\n" in head
    assert "\r\nContent-Type: application/problem+json\r\n" in head
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (408, "request_timeout")
    assert f"\r\nX-Request-Id: {problem['request_id']}\r\n" in head
    assert '"outcome": "request_timeout"' in service.log.read_text()


def test_a_head_that_drips_is_given_up_after_keep_alive(service):
    connection = connected(service)
    with dripping((connection, HEAD)):
        assert 3 < ends_after(connection) < 6


@pytest.mark.parametrize("begun", [b"", HALF_A_HEAD])
def test_a_connection_without_a_whole_head_is_closed_after_keep_alive(service, begun):
    connection = connected(service)
    connection.sendall(begun)
    assert 3 < ends_after(connection) < 6


def answered(connection):
    """The answer to one more request on a connection."""
    connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b'{"status":"live"}\n'):
        answer += connection.recv(65536)
    return answer.decode()


def test_an_answered_connection_is_kept_for_keep_alive_and_then_closed(service):
    connection = connected(service)
    for _ in range(2):
        assert "\r\nConnection: keep-alive\r\n" in answered(connection)
        time.sleep(2)
    assert 1 < ends_after(connection) < 4


def test_without_keep_alive_every_answer_ends_its_connection(run_service):
    with run_service("--workers", "1", keep_alive="0") as service:
        connection = connected(service)
        assert "\r\nConnection: close\r\n" in answered(connection)
        assert ends_after(connection) < 1


def test_an_idle_connection_is_closed_when_the_service_stops(run_service):
    with run_service("--workers", "1") as service:
        idle, begun = connected(service), connected(service)
        answered(idle)
        begun.sendall(HALF_A_HEAD)
        service.close()
        service.process.terminate()
        assert ends_after(idle) < 4
        assert ends_after(begun) < 1
        assert service.process.wait(5) == 0
        assert "Traceback" not in service.log.read_text()


def test_a_body_that_still_comes_is_waited_for_when_the_service_stops(run_service):
    with run_service("--workers", "1", **{**OPEN, "drain_seconds": "0"}) as service:
        connection = connected(service)
        connection.sendall(HEAD + BODY[:-1])
        time.sleep(0.2)
        service.close()
        service.process.terminate()
        time.sleep(4)  # idle connections are closed after two seconds
        connection.sendall(BODY[-1:])
        answer = said(connection)
        assert answer.startswith("HTTP/1.1 201 ")
        assert "\r\nConnection: close\r\n" in answer
        assert service.process.wait(5) == 0
