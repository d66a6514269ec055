"""Inbox, counts, reset and incoming SMS."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pytest

from otpservice.sandbox import SandboxServer, create_app, state_of
from tests.sandbox.conftest import PHONE, Client


class Customer(HTTPServer):
    """Somebody's notification URL; answers with ``status`` and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Notified)
        self.got: list[tuple[str, str, dict[str, list[str]]]] = []
        self.status = 204
        self.url = f"http://127.0.0.1:{self.server_address[1]}/webhooks/x"


class _Notified(BaseHTTPRequestHandler):
    server: Customer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = parse_qs(body, strict_parsing=True)
        self.server.got.append((self.path, self.headers["Content-Type"], fields))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def customer() -> Iterator[Customer]:
    server = Customer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def inbound(client: Client, method: str = "POST", **fields: str) -> tuple[int, dict[str, object]]:
    headers = {"Content-Type": "application/json"}
    answer = client.request(method, "/inbound", body=json.dumps(fields), headers=headers)
    return answer.status, answer.json()


def test_the_inbox_has_exactly_the_promised_fields(client: Client) -> None:
    client.send_otp()
    client.send_text()
    text, otp = client.inbox()
    fields = {"message_id", "lot_id", "kind", "phone", "sender_id", "text", "encoding"}
    fields |= {"segments", "cost", "status", "sent_at"}
    assert (set(text), text["kind"]) == (fields, "text")
    assert (set(otp), otp["kind"], otp["lot_id"]) == (fields | {"code"}, "otp", None)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", otp["sent_at"])
    assert (otp["sender_id"], otp["cost"], otp["status"]) == ("DEMO", 20, "sent")


def test_the_inbox_is_newest_first(client: Client) -> None:
    for text in ("one", "two", "three"):
        client.send_text(message=text)
    assert [message["text"] for message in client.inbox()] == ["three", "two", "one"]


@pytest.mark.parametrize("query", [PHONE, f"+{PHONE}", f"%2B{PHONE}"])
def test_the_inbox_can_be_asked_for_one_phone(client: Client, query: str) -> None:
    client.send_text(PHONE)
    client.send_text("22377000010")
    inbox = client.request("GET", f"/inbox.json?phone={query}").json()
    assert [message["phone"] for message in inbox] == [PHONE]


def test_the_page_shows_code_price_balance_and_faults(client: Client) -> None:
    client.send_otp(message="Code ##OTP## ou ##OTP##")
    client.put_fault("http_503", "otp/verify", times=3)
    page = client.request("GET", "/inbox").data.decode()
    mark = f"<mark>{client.code()}</mark>"
    assert f"<p>Code {mark} ou {mark}</p>" in page
    for words in (f"+{PHONE}", "1 part GSM-7", "20 XOF", "25520 XOF", "http_503", "3 more calls"):
        assert words in page


def test_the_page_escapes_what_others_wrote(client: Client) -> None:
    client.send_text(message="<script>alert(1)</script>")
    client.send_otp(message="##OTP##<script>")
    pages = [client.request("GET", f"/inbox{query}") for query in ("", "?phone=<script>")]
    assert all(b"<script" not in page.data for page in pages)
    assert b"&lt;script&gt;alert(1)" in pages[0].data


def test_the_page_loads_nothing_from_elsewhere(client: Client) -> None:
    page = client.request("GET", "/inbox")
    assert page.headers["Content-Type"].startswith("text/html")
    assert not re.search(rb"(src|href)=.?(https?:)?//", page.data)
    assert b"No SMS yet" in page.data


def test_the_front_door_leads_to_the_inbox(client: Client) -> None:
    assert client.request("GET", "/").headers["Location"] == "/inbox"


def test_reset_makes_all_as_new(client: Client) -> None:
    client.send_otp()
    code = client.code()
    client.put_fault("http_503", times=None)
    assert client.request("POST", "/reset").status == 204
    assert set(client.calls().values()) == {0}
    assert (client.inbox(), client.request("GET", "/faults").json()) == ([], [])
    assert client.balance() == 25540
    assert client.verify(code)["message"] == "OTP_NOT_FOUND"


def test_ids_are_never_given_twice_not_even_after_a_reset(client: Client) -> None:
    before = client.send_otp()["data"]["message_id"]
    client.request("POST", "/reset")
    assert client.send_otp()["data"]["message_id"] > before


def test_two_sandboxes_share_nothing(client: Client) -> None:
    client.send_otp()
    with SandboxServer() as other:
        assert other.state.inbox() == []
        assert other.state.balance() == 25540


def test_an_incoming_sms_is_posted_as_the_page_says(client: Client, customer: Customer) -> None:
    assert inbound(client, "PUT", url=customer.url) == (200, {"url": customer.url})
    status, body = inbound(client, phone=PHONE, content="ARRÊT & fin", message_id="RMA1")
    assert (status, body) == (200, {"delivered": 204, "message_id": "RMA1"})
    path, content_type, fields = customer.got[0]
    assert (path, content_type) == ("/webhooks/x", "application/x-www-form-urlencoded")
    assert list(fields) == ["message_id", "form", "content", "sms_date"]
    assert fields["form"] == [PHONE]
    assert fields["content"] == ["ARRÊT & fin"]


def test_incoming_sms_get_ids_of_their_own_and_a_date(client: Client, customer: Customer) -> None:
    for _ in range(2):
        form = {"phone": PHONE, "content": "STOP", "url": customer.url}
        assert client.request("POST", "/inbound", fields=form).status == 200
    first, second = (fields for _, _, fields in customer.got)
    assert first["message_id"] != second["message_id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", first["sms_date"][0])


@pytest.mark.parametrize("answer", [307, 404, 500])
def test_what_the_customer_answers_is_told_and_not_followed(
    client: Client, customer: Customer, answer: int
) -> None:
    customer.status = answer
    _, body = inbound(client, phone=PHONE, content="STOP", url=customer.url)
    assert body["delivered"] == answer
    assert len(customer.got) == 1


def test_an_incoming_sms_with_nowhere_to_go_is_409(client: Client) -> None:
    assert inbound(client, phone=PHONE, content="STOP")[0] == 409


def test_an_incoming_sms_nobody_takes_is_502(client: Client) -> None:
    status, body = inbound(client, phone=PHONE, content="STOP", url="http://127.0.0.1:1/x")
    assert status == 502
    assert "not delivered" in str(body["error"])


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/",
        "http://[::2]/",
        "http://example.com/",
        "http://localhost.example.com/",
        "http://127.0.0.1@example.com/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "x",
    ],
)
def test_incoming_sms_go_to_this_machine_only(client: Client, url: str) -> None:
    assert inbound(client, "PUT", url=url)[0] == 400
    assert inbound(client, phone=PHONE, content="STOP", url=url)[0] == 400
    with pytest.raises(ValueError, match="loopback"):
        create_app(notification_url=url)


@pytest.mark.parametrize("fields", [{"phone": PHONE}, {"content": "x"}, {}])
def test_an_incoming_sms_needs_a_sender_and_words(client: Client, fields: dict[str, str]) -> None:
    status, body = inbound(client, url="http://127.0.0.1:1/", **fields)
    assert status == 400
    assert "is required" in str(body["error"])


def test_a_url_given_at_the_start_is_used_and_outlives_a_reset(customer: Customer) -> None:
    with SandboxServer(notification_url=customer.url) as server:
        client = Client(server.url)
        client.request("POST", "/reset")
        assert inbound(client, phone=PHONE, content="STOP")[0] == 200
        client.close()
    assert len(customer.got) == 1


def test_the_app_alone_speaks_the_api_without_a_server() -> None:
    app = create_app()
    form = {"username": "demo@example.com", "password": "demo-password"}
    form |= {"sender_id": "DEMO", "phone": PHONE}
    assert app.test_client().post("/api/v1/otp/send", data=form).get_json()["code"] == 0
    assert state_of(app).inbox()[0].phone == PHONE
