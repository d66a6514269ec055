"""No credentials, number or code in anything a failure leaves behind."""

import json
import logging
import traceback

import pytest

from otpservice import vavasms
from tests.errors import chain
from tests.fake_provider import PASSWORD, USERNAME, FakeProvider, after, answer, cut, hang

SECRET_NAME = "HUNTER_TWO"
PHONE, CODE = "22509000001", "012345"
SECRETS = (PASSWORD, USERNAME, PHONE, CODE, SECRET_NAME)
ECHO = " ".join(SECRETS)


REPLIES = [
    hang,
    cut,
    after(f"HTTP/1.1 {ECHO}\r\n\r\n".encode(), cut),
    after(f"{ECHO}\r\n\r\n".encode(), cut),
    after(f"HTTP/1.1 200 OK\r\n{ECHO}\r\n\r\n".encode(), cut),
    after(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{ECHO}\r\n".encode(), cut),
    after(f"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{ECHO}".encode(), cut),
    answer(ECHO, "500 X"),
    answer(ECHO, "302 X", f"Location: http://127.0.0.1:1/?{PASSWORD.replace('ü', '')}\r\n"),
    answer(json.dumps({"code": ECHO, "status": ECHO, "message": ECHO, "description": ECHO})),
    answer(json.dumps({"code": 901, "status": SECRET_NAME, "message": PHONE})),
    answer(json.dumps({"code": 913, "message": CODE, "data": [ECHO]})),
    answer(f'{{"code": 950, "status": "{ECHO}", "data": ["{CODE}", {PHONE}],}}'),
    answer(f'{{"code": 950, "{PHONE}": {{"{CODE}": "{SECRET_NAME}"}},}}'),
]


def send(client):
    # Not the other tests' calls: a traceback quotes the lines it went through.
    message = f"{SECRET_NAME} ##OTP##"
    client.send_otp(sender_id="Portal", phone=PHONE, message=message, length=6, expiry_minutes=5)


def check(client):
    client.verify_otp(phone=PHONE, code=CODE)


def leaks(text):
    return [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize("operation", [send, check])
@pytest.mark.parametrize("reply", REPLIES)
def test_an_error_and_its_logs_hold_no_secret(operation, reply, caplog):
    caplog.set_level(logging.DEBUG)
    with FakeProvider(reply) as provider:
        client = provider.client(password=SECRET_NAME, timeout=0.3)
        with pytest.raises(vavasms.VavasmsError) as caught:
            operation(client)
        client.close()
    for error in chain(caught.value):
        assert isinstance(error, vavasms.VavasmsError)
        assert not leaks(f"{error} {error!r} {error.args} {vars(error)}")
    assert not leaks("".join(traceback.format_exception(caught.value)))
    ours = [vars(record) for record in caplog.records if record.name == "otpservice.vavasms"]
    assert len(ours) == 1
    assert not leaks(repr(ours))
    assert not leaks(f"{client!r} {client.last_tolerated}")


def test_urllib3_logs_no_answer_and_no_request(caplog):
    caplog.set_level(logging.DEBUG)
    with FakeProvider(answer(ECHO, "302 X"), after(f"{ECHO}\r\n".encode(), cut)) as provider:
        client = provider.client(password=SECRET_NAME)
        for _ in range(2):
            with pytest.raises(vavasms.VavasmsError):
                check(client)
        client.close()
    assert caplog.records
    assert not leaks("\n".join(record.getMessage() for record in caplog.records))


def test_an_unreachable_provider_leaves_no_secret_either():
    client = vavasms.VavasmsClient(
        url="http://127.0.0.1:1/api", username=USERNAME, password=PASSWORD
    )
    with pytest.raises(vavasms.Unavailable) as caught:
        check(client)
    assert list(chain(caught.value)) == [caught.value]
    assert not leaks("".join(traceback.format_exception(caught.value)))


def test_arguments_that_are_refused_are_not_repeated():
    client = vavasms.VavasmsClient(url="https://vavasms.com/api", username="u", password="p")
    with pytest.raises(ValueError, match="A code") as caught:
        client.verify_otp(phone="22509000001", code="01234x")
    assert "01234x" not in f"{caught.value!r} {caught.value.__context__!r}"
    with pytest.raises(ValueError, match="UTF-8") as caught:
        client.send_text(sender_id="Portal", phones=["22509000001"], message="012345 \ud800")
    assert list(chain(caught.value)) == [caught.value]
    assert "012345" not in repr(caught.value)
