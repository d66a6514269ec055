"""One sandbox on a real port for all tests here, as new before each."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

from otpservice.sandbox import SandboxServer

PHONE = "2250709000001"


class Client:
    """A caller of the provider's API who knows nothing but its page."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(maxsize=120, retries=False, timeout=10)

    def request(self, method: str, path: str, **kwargs: Any) -> urllib3.BaseHTTPResponse:
        return self._pool.request(method, self.url + path, redirect=False, **kwargs)

    def post(self, operation: str, **fields: str) -> urllib3.BaseHTTPResponse:
        form = {"username": "demo@example.com", "password": "demo-password"} | fields
        return self.request("POST", f"/api/v1/{operation}", fields=form, encode_multipart=False)

    def call(self, operation: str, **fields: str) -> dict[str, Any]:
        return self.post(operation, **fields).json()

    def send_otp(self, phone: str = PHONE, **fields: str) -> dict[str, Any]:
        return self.call("otp/send", **{"sender_id": "DEMO", "phone": phone, **fields})

    def send_text(self, phone: str = PHONE, message: str = "Bonjour") -> dict[str, Any]:
        return self.call("text/single", sender_id="DEMO", phone=phone, message=message)

    def verify(self, otp: str, phone: str = PHONE) -> dict[str, Any]:
        return self.call("otp/verify", phone=phone, otp=otp)

    def balance(self) -> int:
        return self.call("check/balance")["data"]["amount"]

    def inbox(self, phone: str = "") -> list[dict[str, Any]]:
        return self.request("GET", "/inbox.json", fields={"phone": phone}).json()

    def code(self, phone: str = PHONE) -> str:
        return self.inbox(phone)[0]["code"]

    def calls(self) -> dict[str, int]:
        return self.request("GET", "/calls.json").json()

    def put_fault(self, fault: str | int, operation: str = "otp/send", **more: Any) -> Any:
        body = json.dumps({"operation": operation, "fault": fault, **more})
        return self.request("PUT", "/faults", body=body)

    def close(self) -> None:
        self._pool.clear()

    def raw(self, operation: str, timeout: float = 5, **fields: str) -> socket.socket:
        """A connection on which the call was just made, by hand."""
        form = {"username": "demo@example.com", "password": "demo-password"} | fields
        body = urlencode(form).encode()
        head = (
            f"POST /api/v1/{operation} HTTP/1.1\r\nHost: sandbox\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        host, port = self.url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)), timeout=timeout)
        connection.sendall(head.encode() + body)
        return connection


@pytest.fixture(scope="session")
def server(sandbox_server: SandboxServer) -> SandboxServer:
    return sandbox_server


@pytest.fixture
def client(server: SandboxServer) -> Iterator[Client]:
    caller = Client(server.url)
    caller.request("POST", "/reset")
    yield caller
    caller.close()
