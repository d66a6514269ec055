"""The client against the sandbox: each operation, and each thing that can go wrong with it."""

import json

import pytest
import urllib3

from otpservice import vavasms

PHONE = "2250709000001"


@pytest.fixture
def sandbox(sandbox_server):
    sandbox_server.state.reset()
    yield sandbox_server
    sandbox_server.state.faults.clear()


@pytest.fixture
def client(sandbox):
    client = vavasms.VavasmsClient(
        url=f"{sandbox.url}/api",
        username="demo@example.com",
        password="demo-password",
        status_path="text/status",
        timeout=0.5,
    )
    yield client
    client.close()


def get(sandbox, path):
    return urllib3.request("GET", sandbox.url + path).json()


def put_fault(sandbox, **fault):
    answer = urllib3.request("PUT", f"{sandbox.url}/faults", body=json.dumps(fault))
    assert answer.status == 200, answer.data


def send(client, **changes):
    fields = {"sender_id": "DEMO", "phone": PHONE, "message": "Code ##OTP##", "length": 6}
    return client.send_otp(**(fields | changes), expiry_minutes=5)


def inbox(sandbox):
    return get(sandbox, f"/inbox.json?phone={PHONE}")


def outcome(act):
    try:
        return type(act())
    except vavasms.VavasmsError as error:
        return type(error)


def test_a_code_is_sent_arrives_and_is_right_once(sandbox, client):
    receipt = send(client)
    (message,) = inbox(sandbox)
    assert message["message_id"] == receipt.message_id
    assert message["text"] == f"Code {message['code']}"
    assert len(message["code"]) == 6
    with pytest.raises(vavasms.InvalidOtp):
        client.verify_otp(phone=PHONE, code=f"{(int(message['code']) + 1) % 10**6:06}")
    assert client.verify_otp(phone=PHONE, code=message["code"]).message_id
    with pytest.raises(vavasms.WrongCode):
        client.verify_otp(phone=PHONE, code=message["code"])


def test_a_code_nobody_sent_is_not_found(client):
    with pytest.raises(vavasms.OtpNotFound):
        client.verify_otp(phone=PHONE, code="123456")


def test_texts_arrive_cost_money_and_have_a_status(sandbox, client):
    before = client.balance()
    receipt = client.send_text(sender_id="DEMO", phones=[PHONE, "22377000010"], message="Bonjour")
    assert [message["text"] for message in inbox(sandbox)] == ["Bonjour"]
    assert client.balance().amount < before.amount
    (status,) = client.text_status(receipt.message_ids[0])
    assert (status.lot_id, status.message_id) == (receipt.lot_id, receipt.message_ids[0])
    with pytest.raises(vavasms.UnknownMessage):
        client.text_status("SM-nobody")


def test_wrong_credentials_sender_ids_and_numbers_are_told_apart(sandbox, client):
    stranger = vavasms.VavasmsClient(url=f"{sandbox.url}/api", username="x", password="y")
    assert outcome(stranger.balance) is vavasms.InvalidCredentials
    stranger.close()
    assert outcome(lambda: send(client, sender_id="OTHER")) is vavasms.InvalidSenderId
    assert outcome(lambda: send(client, phone="1234567")) is vavasms.NumberRefused
    assert inbox(sandbox) == []


# What each fault means for a send and a check, and whether the SMS left all the same.
FAULTS = [
    ("delay", vavasms.OtpReceipt, vavasms.OtpVerified, True),
    ("delay_after", vavasms.OtpReceipt, vavasms.OtpVerified, True),
    ("hang", vavasms.OutcomeUnknown, vavasms.OutcomeUnknown, False),
    ("hang_after", vavasms.OutcomeUnknown, vavasms.OutcomeUnknown, True),
    ("reset", vavasms.OutcomeUnknown, vavasms.OutcomeUnknown, False),
    ("reset_after", vavasms.OutcomeUnknown, vavasms.OutcomeUnknown, True),
    ("cut_after", vavasms.OutcomeUnknown, vavasms.OutcomeUnknown, True),
    ("drip", vavasms.OutcomeUnknown, vavasms.OutcomeUnknown, True),
    ("html", vavasms.Nonsense, vavasms.Nonsense, False),
    ("garbage", vavasms.Nonsense, vavasms.Nonsense, False),
    ("no_message_id", vavasms.Nonsense, vavasms.OtpVerified, True),
    ("trailing_comma", vavasms.OtpReceipt, vavasms.OtpVerified, True),
    ("redirect", vavasms.Rejected, vavasms.OutcomeUnknown, False),
    ("http_500", vavasms.OutcomeUnknown, vavasms.OutcomeUnknown, False),
    ("http_500_after", vavasms.OutcomeUnknown, vavasms.OutcomeUnknown, True),
    ("http_404", vavasms.Rejected, vavasms.OutcomeUnknown, False),
    ("http_429", vavasms.Unavailable, vavasms.Unavailable, False),
    ("http_503", vavasms.Unavailable, vavasms.Unavailable, False),
    ("0", vavasms.Nonsense, vavasms.Nonsense, False),
    ("901", vavasms.InvalidCredentials, vavasms.InvalidCredentials, False),
    ("902", vavasms.InvalidSenderId, vavasms.InvalidSenderId, False),
    ("903", vavasms.NumberRefused, vavasms.OutcomeUnknown, False),
    ("709", vavasms.Rejected, vavasms.OutcomeUnknown, False),
    (913, vavasms.Rejected, vavasms.InvalidOtp, False),
    ("EXPIRED_OTP", vavasms.Rejected, vavasms.ExpiredOtp, False),
    ("OTP_NOT_FOUND", vavasms.Rejected, vavasms.OtpNotFound, False),
    (12345, vavasms.Rejected, vavasms.OutcomeUnknown, False),
]


def times(fault):
    """Short waits, except where the point is that they are long."""
    if str(fault).startswith("delay"):
        return {"delay_ms": 50}
    return {"delay_ms": 1500} if str(fault).startswith("hang") else {}


@pytest.mark.parametrize(("fault", "meaning", "_", "left"), FAULTS)
def test_a_fault_means_for_a_send(sandbox, client, fault, meaning, _, left):
    put_fault(sandbox, operation="otp/send", fault=fault, **times(fault))
    assert outcome(lambda: send(client)) is meaning
    assert len(inbox(sandbox)) == left
    calls = get(sandbox, "/calls.json")
    assert (calls["otp/send"], calls["followed"]) == (1, 0)


@pytest.mark.parametrize(("fault", "_", "meaning", "left"), FAULTS)
def test_a_fault_means_for_a_check(sandbox, client, fault, _, meaning, left):
    send(client)
    (message,) = inbox(sandbox)
    put_fault(sandbox, operation="otp/verify", fault=fault, **times(fault))
    assert outcome(lambda: client.verify_otp(phone=PHONE, code=message["code"])) is meaning
    calls = get(sandbox, "/calls.json")
    assert (calls["otp/verify"], calls["followed"]) == (1, 0)


def test_a_trailing_comma_is_counted(sandbox, client):
    put_fault(sandbox, operation="*", fault="trailing_comma", times=3)
    send(client)
    client.balance()
    with pytest.raises(vavasms.InvalidOtp):
        client.verify_otp(phone=PHONE, code="1234")
    assert client.tolerated == 3
    assert '"code": 913' in client.last_tolerated
