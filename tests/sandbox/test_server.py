"""The HTTP server under the sandbox."""

import socket
import time

import pytest

from otpservice.sandbox import SandboxServer
from tests.sandbox.conftest import Client

BALANCE = b"username=demo%40example.com&password=demo-password"


def post(body: bytes, *headers: bytes, version: bytes = b"1.1") -> bytes:
    lines = [
        b"POST /api/v1/check/balance HTTP/" + version,
        b"Host: sandbox",
        b"Content-Type: application/x-www-form-urlencoded",
        *headers,
    ]
    return b"\r\n".join([*lines, b"", body])


def request(body: bytes = BALANCE, *headers: bytes, version: bytes = b"1.1") -> bytes:
    length = b"Content-Length: %d" % len(body)
    return post(body, length, *headers, version=version)


def connect(server: SandboxServer) -> socket.socket:
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def answer(connection: socket.socket) -> tuple[bytes, bytes]:
    stream = connection.makefile("rb")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        assert line, "closed before the answer was whole"
        head += line
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, stream.read(length)


def test_one_connection_carries_many_requests(server: SandboxServer) -> None:
    with connect(server) as connection:
        for _ in range(5):
            connection.sendall(request())
            head, body = answer(connection)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Connection: keep-alive" in head
            assert b'"code": 0' in body


@pytest.mark.parametrize(
    ("version", "header"), [(b"1.1", b"Connection: close"), (b"1.0", b"X-Nothing: 1")]
)
def test_a_client_that_wants_it_closed_gets_it_closed(
    server: SandboxServer, version: bytes, header: bytes
) -> None:
    with connect(server) as connection:
        connection.sendall(request(BALANCE, header, version=version))
        head, _ = answer(connection)
        assert b"Connection: close" in head
        assert connection.recv(1) == b""


def test_a_body_nobody_reads_does_not_become_the_next_request(server: SandboxServer) -> None:
    with connect(server) as connection:
        connection.sendall(request().replace(b"check/balance", b"no/such/thing"))
        assert answer(connection)[0].startswith(b"HTTP/1.1 404")
        connection.sendall(request())
        assert answer(connection)[0].startswith(b"HTTP/1.1 200")


def test_a_chunked_body_is_read(server: SandboxServer) -> None:
    chunks = b"8\r\n" + BALANCE[:8] + b"\r\n%x\r\n" % len(BALANCE[8:]) + BALANCE[8:]
    with connect(server) as connection:
        connection.sendall(post(chunks + b"\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"))
        assert b'"code": 0' in answer(connection)[1]
        connection.sendall(request())
        assert b'"code": 0' in answer(connection)[1]


def test_a_client_may_ask_before_it_sends_a_body(server: SandboxServer) -> None:
    with connect(server) as connection:
        head, _, body = request(BALANCE, b"Expect: 100-continue").partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b'"code": 0' in answer(connection)[1]


@pytest.mark.parametrize(
    ("length", "status"), [(b"nope", b"400"), (b"-1", b"400"), (b"1048577", b"413")]
)
def test_a_length_that_makes_no_sense_is_refused(
    server: SandboxServer, length: bytes, status: bytes
) -> None:
    with connect(server) as connection:
        connection.sendall(post(b"", b"Content-Length: " + length) + b"a" * 1_048_577)
        assert connection.recv(12) == b"HTTP/1.1 " + status


def test_head_has_no_body(server: SandboxServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"HEAD /inbox HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert connection.makefile("rb").read().endswith(b"\r\n\r\n")


def test_five_hundred_clients_are_served_at_once(server: SandboxServer) -> None:
    connections = [connect(server) for _ in range(500)]
    for connection in connections:
        connection.sendall(request())
    assert all(b'"code": 0' in answer(connection)[1] for connection in connections)
    for connection in connections:
        connection.close()


def test_a_stopped_server_closes_its_port_and_its_connections() -> None:
    server = SandboxServer().start()
    with connect(server) as idle:
        idle.sendall(request())
        answer(idle)
        server.stop()
        assert idle.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_a_server_that_was_never_started_can_be_stopped() -> None:
    start = time.monotonic()
    server = SandboxServer()
    server.stop()
    assert time.monotonic() - start < 5
    with pytest.raises(ConnectionRefusedError):
        connect(server)


def test_the_port_is_the_one_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with SandboxServer(port=port) as server:
        assert server.url == f"http://127.0.0.1:{port}"
        client = Client(server.url)
        assert client.balance() == 25540
        client.close()
