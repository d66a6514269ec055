"""The route to the organisation's own gateway: what it posts, and how it is signed."""

import base64
import hmac
import json
import logging
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import urllib3
from werkzeug.serving import make_server

from otpservice.routes.webhook import HttpRoute
from otpservice.verification import errors
from otpservice.verification.code import Code
from otpservice.verification.routes import Route
from tests.fake_provider import FakeProvider, after, answer, cut
from tests.routes.test_vavasms_otp import outgoing

# The secret and the signature of the Standard Webhooks libraries' own tests.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KNOWN = (
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "1614265330",
    '{"test": 2432232314}',
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
)
MESSAGE = outgoing()._replace(code=Code("012345"), template="Votre code à vous : ##OTP##")
TAKEN = answer("", "202 X")
README = Path(__file__).resolve().parents[2] / "README.md"


def signature(webhook_id, timestamp, body):
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{webhook_id}.{timestamp}.{body}".encode(), "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def posted(*messages, reply=TAKEN, path="/sms"):
    """The requests that arrive when ``messages`` are sent."""
    with FakeProvider(reply) as gateway:
        route: Route = HttpRoute(gateway.url.removesuffix("/api") + path, SECRET)
        assert {route.send(message) for message in messages} == {""}
        route.close()
        return gateway.requests


def test_an_sms_is_one_json_object_with_these_fields():
    (request,) = posted(MESSAGE)
    fields = json.loads(request.body)
    created_at = datetime.fromisoformat(fields.pop("created_at"))
    assert abs(datetime.now(UTC) - created_at) < timedelta(minutes=1)
    assert request.headers["content-type"] == "application/json"
    assert fields == {
        "id": MESSAGE.id,
        "to": "+2250709000001",
        "text": "Votre code à vous : 012345",
        "sender_id": "Portal",
        "app": "portal",
        "purpose": "login",
    }


def test_times_are_rfc_3339_in_utc():
    (request,) = posted(MESSAGE)
    time = json.loads(request.body)["created_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)


@pytest.mark.parametrize(("path", "asked"), [("/sms", "/sms"), ("/a/b/", "/a/b/"), ("", "/")])
def test_it_posts_to_the_address_as_it_is_given(path, asked):
    (request,) = posted(MESSAGE, path=path)
    assert request.line == f"POST {asked} HTTP/1.1"


def test_the_signature_is_that_of_standard_webhooks():
    assert signature(*KNOWN[:3]) == KNOWN[3]
    (request,) = posted(MESSAGE)
    webhook_id, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    assert request.headers["webhook-signature"] == signature(
        webhook_id, timestamp, request.body.decode()
    )
    assert abs(datetime.now(UTC).timestamp() - int(timestamp)) < 60
    assert "." not in webhook_id


def test_each_sms_has_a_name_of_its_own_though_the_verification_is_the_same():
    requests = posted(MESSAGE, MESSAGE, MESSAGE)
    assert len({request.headers["webhook-id"] for request in requests}) == 3
    assert {json.loads(request.body)["id"] for request in requests} == {MESSAGE.id}


def test_a_status_counts_though_the_body_after_it_is_lost():
    lost = after(b"HTTP/1.1 404 X\r\nContent-Length: 9\r\n\r\n", cut)
    with pytest.raises(errors.ProviderRejected):
        posted(MESSAGE, reply=lost)


@pytest.mark.parametrize("secret", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "hello"])
def test_a_secret_that_signs_nothing_is_refused_and_not_repeated(secret):
    with pytest.raises(ValueError, match=r"must begin with whsec_\Z") as caught:
        HttpRoute("https://sms.example/send", secret)
    assert caught.value.__context__ is None


def test_each_call_is_logged_in_one_line_of_facts(caplog):
    caplog.set_level(logging.INFO, logger="otpservice.routes")
    posted(MESSAGE)
    for reply in (answer("", "404 X"), cut):
        with pytest.raises(errors.ProviderError):
            posted(MESSAGE, reply=reply)
    facts = [(record.provider, record.outcome, record.http_status) for record in caplog.records]
    assert facts == [
        ("http", "Success", 202),
        ("http", "ProviderRejected", 404),
        ("http", "OutcomeUnknown", None),
    ]
    assert all(record.ms >= 0 for record in caplog.records)


@pytest.fixture
def receiver(monkeypatch):
    """The receiver in README, on a port, and what it was asked to send."""
    monkeypatch.setenv("SMS_SECRET", SECRET)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    namespace, sent = {"__name__": "receiver"}, []
    exec(compile(blocks[-1], README.name, "exec"), namespace)
    namespace["app"].config["SEND"] = lambda to, text: sent.append((to, text))
    server = make_server("127.0.0.1", 0, namespace["app"])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}/sms", sent
    server.shutdown()
    server.server_close()


def test_the_receiver_of_the_readme_sends_what_is_signed(receiver):
    url, sent = receiver
    HttpRoute(url, SECRET).send(MESSAGE)
    assert sent == [("+2250709000001", "Votre code à vous : 012345")]


def test_the_receiver_of_the_readme_sends_nothing_else(receiver):
    url, sent = receiver
    stranger = "whsec_" + base64.b64encode(b"another secret of 24 bytes").decode()
    with pytest.raises(errors.ProviderRejected):
        HttpRoute(url, stranger).send(MESSAGE)
    assert urllib3.request("POST", url, json={"to": "+1", "text": "x"}).status == 404
    assert sent == []
