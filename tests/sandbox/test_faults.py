"""Every fault, as a caller on the other end of the line sees it."""

import json
import socket
import time
from typing import Any

import pytest
import urllib3

from otpservice.sandbox import SandboxServer
from tests.sandbox.conftest import PHONE, Client

SEND = {"sender_id": "DEMO", "phone": PHONE}


def read_all(connection: socket.socket) -> bytes:
    with connection:
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks)


def sent(client: Client) -> int:
    return len(client.inbox())


@pytest.mark.parametrize(("fault", "messages"), [("hang", 0), ("hang_after", 1)])
def test_hang_says_nothing_and_then_closes(client: Client, fault: str, messages: int) -> None:
    client.put_fault(fault, delay_ms=150)
    start = time.monotonic()
    assert read_all(client.raw("otp/send", **SEND)) == b""
    assert time.monotonic() - start >= 0.15
    assert sent(client) == messages


def test_hang_outlasts_an_impatient_client(client: Client) -> None:
    client.put_fault("hang")
    with client.raw("otp/send", timeout=0.1, **SEND) as connection, pytest.raises(TimeoutError):
        connection.recv(1)


@pytest.mark.parametrize(("fault", "messages"), [("reset", 0), ("reset_after", 1)])
def test_reset_is_a_tcp_reset(client: Client, fault: str, messages: int) -> None:
    client.put_fault(fault)
    with client.raw("otp/send", **SEND) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert sent(client) == messages


def test_drip_is_the_right_answer_a_byte_at_a_time(client: Client) -> None:
    client.put_fault("drip", delay_ms=1)
    with client.raw("otp/send", **SEND) as connection:
        pieces = [connection.recv(65536)]
        while not b"".join(pieces).endswith(b'"}}'):
            pieces.append(connection.recv(65536))
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert json.loads(body)["code"] == 0
    assert len(pieces) > 20
    assert sent(client) == 1


def test_cut_after_promises_more_than_it_sends(client: Client) -> None:
    client.put_fault("cut_after")
    head, _, body = read_all(client.raw("otp/send", **SEND)).partition(b"\r\n\r\n")
    promised = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < promised
    assert sent(client) == 1


@pytest.mark.parametrize("fault", ["delay", "delay_after"])
def test_delay_answers_rightly_but_late(client: Client, fault: str) -> None:
    client.put_fault(fault, delay_ms=120)
    start = time.monotonic()
    assert client.send_otp()["code"] == 0
    assert time.monotonic() - start >= 0.12
    assert sent(client) == 1


@pytest.mark.parametrize("status", [300, 404, 405, 413, 429, 500, 502, 503, 504, 599])
@pytest.mark.parametrize(("suffix", "messages"), [("", 0), ("_after", 1)])
def test_any_http_status_with_a_body_that_is_not_json(
    client: Client, status: int, suffix: str, messages: int
) -> None:
    client.put_fault(f"http_{status}{suffix}")
    answer = client.post("otp/send", **SEND)
    assert answer.status == status
    assert answer.data.startswith(b"<!doctype html>")
    assert sent(client) == messages


def test_http_304_has_no_body_and_leaves_the_connection_usable(client: Client) -> None:
    client.put_fault("http_304")
    answer = client.post("otp/send", **SEND)
    assert (answer.status, answer.data) == (304, b"")
    assert client.send_otp()["code"] == 0


@pytest.mark.parametrize(("fault", "messages"), [("html", 0), ("html_after", 1)])
def test_html_is_a_page_with_status_200(client: Client, fault: str, messages: int) -> None:
    client.put_fault(fault)
    answer = client.post("otp/send", **SEND)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")
    assert sent(client) == messages


@pytest.mark.parametrize(("fault", "messages"), [("garbage", 0), ("garbage_after", 1)])
def test_garbage_is_no_json(client: Client, fault: str, messages: int) -> None:
    client.put_fault(fault)
    answer = client.post("otp/send", **SEND)
    assert answer.status == 200
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(answer.data)
    assert sent(client) == messages


def test_trailing_comma_is_the_right_answer_as_the_page_prints_it(client: Client) -> None:
    client.put_fault("trailing_comma")
    assert client.post("otp/send", sender_id="OTHER", phone=PHONE).data.decode() == (
        '{\n    "code": "902",\n    "status": "INVALID_SENDER_ID",\n'
        '    "description": "Le sender_id n\u2019existe pas",\n}'
    )


def test_trailing_comma_does_the_work(client: Client) -> None:
    client.put_fault("trailing_comma")
    text = client.post("otp/send", **SEND).data.decode()
    assert json.loads(text.removesuffix(",\n}") + "}")["code"] == 0
    assert sent(client) == 1


def test_redirect_leads_where_a_follower_is_counted(client: Client) -> None:
    client.put_fault("redirect", times=2)
    answer = client.post("otp/send", **SEND)
    assert (answer.status, answer.headers["Location"]) == (307, "/followed")
    assert client.calls()["followed"] == 0
    with urllib3.PoolManager() as careless:
        url = f"{client.url}/api/v1/otp/send"
        assert careless.request("POST", url, fields=SEND).json()["code"] == 0
    assert (client.calls()["followed"], sent(client)) == (1, 0)


@pytest.mark.parametrize(
    ("operation", "code", "expected"),
    [
        ("otp/send", "901", {"code": "901", "status": "INVALID_CREDENTIALS"}),
        ("otp/send", 902, {"code": "902", "status": "INVALID_SENDER_ID"}),
        ("text/single", "903", {"code": "903", "status": "INVALID_PHONE_NUMBER"}),
        ("check/balance", "901", {"code": 901, "message": "INVALID_CREDENTIALS", "data": []}),
        ("otp/verify", "913", {"code": 913, "message": "INVALID_OTP", "data": []}),
        ("text/status", 709, {"code": "709", "message": "EXECUTION_ERROR", "data": []}),
        ("otp/verify", "EXPIRED_OTP", {"code": 999, "message": "EXPIRED_OTP", "data": []}),
        ("otp/verify", "OTP_NOT_FOUND", {"code": 999, "message": "OTP_NOT_FOUND", "data": []}),
        ("otp/send", "999", {"code": "999", "message": "UNDOCUMENTED_ERROR"}),
        ("otp/send", 777, {"code": 777, "message": "UNDOCUMENTED_ERROR"}),
        ("otp/verify", 0, {"code": 0, "message": "OPERATION_SUCCES"}),
    ],
)
def test_a_vavasms_code_is_answered_in_the_operations_shape(
    client: Client, operation: str, code: str | int, expected: dict[str, Any]
) -> None:
    client.put_fault(code, operation)
    answer = client.post(operation, **SEND, message="x")
    body = answer.json()
    assert {name: body[name] for name in expected} == expected
    assert (answer.status, sent(client)) == (200, 0)


def test_a_vavasms_code_may_come_with_another_http_status(client: Client) -> None:
    client.put_fault("901", http_status=401)
    answer = client.post("otp/send", **SEND)
    assert (answer.status, answer.json()["code"]) == (401, "901")


@pytest.mark.parametrize("operation", ["otp/send", "text/single"])
def test_no_message_id_is_a_success_that_does_not_name_what_it_sent(
    client: Client, operation: str
) -> None:
    client.put_fault("no_message_id", operation)
    answer = client.call(operation, **SEND, message="##OTP##")
    assert answer["code"] == 0
    assert "message_id" not in answer["data"]
    assert sent(client) == 1


def test_a_fault_before_the_work_leaves_the_code_and_one_after_uses_it_up(client: Client) -> None:
    client.send_otp()
    client.put_fault("http_500", "otp/verify")
    assert client.post("otp/verify", phone=PHONE, otp=client.code()).status == 500
    client.put_fault("http_500_after", "otp/verify")
    assert client.post("otp/verify", phone=PHONE, otp=client.code()).status == 500
    assert client.verify(client.code())["message"] == "OTP_NOT_FOUND"


def test_calls_that_a_fault_ate_are_counted(client: Client) -> None:
    client.put_fault("reset", "*", times=2)
    for operation in ("otp/send", "otp/verify"):
        with client.raw(operation) as connection, pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert client.calls() == {
        "check/balance": 0,
        "text/single": 0,
        "text/status": 0,
        "otp/send": 1,
        "otp/verify": 1,
        "followed": 0,
    }


@pytest.mark.parametrize("fault", ["hang", "delay", "drip"])
def test_stopping_does_not_wait_for_a_fault(fault: str) -> None:
    server = SandboxServer().start()
    client = Client(server.url)
    client.put_fault(fault, delay_ms=30_000)
    with client.raw("otp/send", **SEND) as connection:
        while not client.calls()["otp/send"]:
            time.sleep(0.01)
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 5
        assert len(connection.recv(65536)) <= 1
    client.close()
