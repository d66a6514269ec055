"""Every answer printed on the provider's page is understood."""

import pytest

from otpservice import vavasms
from tests.fake_provider import FakeProvider, answer
from tests.vavasms import replies as page

PHONE = "22509000001"


def balance(client):
    return client.balance()


def text(client):
    return client.send_text(sender_id="Portal", phones=[PHONE], message="Bonjour")


def status(client):
    return client.text_status("SM-20190617-1445914")


def send(client):
    return client.send_otp(
        sender_id="Portal", phone=PHONE, message="##OTP##", length=6, expiry_minutes=5
    )


def check(client):
    return client.verify_otp(phone=PHONE, code="012345")


def ask(operation, reply, **options):
    with FakeProvider(answer(reply)) as provider:
        client = provider.client(status_path="text/status", **options)
        try:
            return operation(client)
        finally:
            client.close()


@pytest.mark.parametrize(
    ("operation", "reply", "receipt"),
    [
        (balance, page.BALANCE_OK, vavasms.Balance(25540, "XOF")),
        (
            text,
            page.TEXT_OK,
            vavasms.TextReceipt("LOT-20190623-1217676", ("SM-20190623-1217879",)),
        ),
        (
            status,
            page.STATUS_OK,
            (vavasms.TextStatus("LOT-20190617-1445425", "SM-20190617-1445914", "sent", "Envoyé"),),
        ),
        (send, page.OTP_SEND_OK, vavasms.OtpReceipt("OTP-20190621-2234509")),
        (check, page.OTP_VERIFY_OK, vavasms.OtpVerified("OTP-20190621-2250698")),
    ],
)
def test_a_printed_success_is_returned(operation, reply, receipt):
    assert ask(operation, reply) == receipt


@pytest.mark.parametrize(
    ("operation", "reply", "error", "code", "name"),
    [
        (balance, page.BALANCE_901, vavasms.InvalidCredentials, 901, "INVALID_CREDENTIALS"),
        (text, page.TEXT_901, vavasms.InvalidCredentials, 901, "INVALID_CREDENTIALS"),
        (text, page.TEXT_902, vavasms.InvalidSenderId, 902, "INVALID_SENDER_ID"),
        (text, page.TEXT_903, vavasms.NumberRefused, 903, "INVALID_PHONE_NUMBER"),
        (status, page.STATUS_901, vavasms.InvalidCredentials, 901, "INVALID_CREDENTIALS"),
        (status, page.STATUS_709, vavasms.UnknownMessage, 709, "EXECUTION_ERROR"),
        (send, page.OTP_SEND_901, vavasms.InvalidCredentials, 901, "INVALID_CREDENTIALS"),
        (send, page.OTP_SEND_902, vavasms.InvalidSenderId, 902, "INVALID_SENDER_ID"),
        (send, page.OTP_SEND_903, vavasms.NumberRefused, 903, "INVALID_PHONE_NUMBER"),
        (check, page.OTP_VERIFY_901, vavasms.InvalidCredentials, 901, "INVALID_CREDENTIALS"),
        (check, page.OTP_VERIFY_902, vavasms.InvalidSenderId, 902, "INVALID_SENDER_ID"),
        (check, page.OTP_VERIFY_913, vavasms.InvalidOtp, 913, "INVALID_OTP"),
    ],
)
def test_a_printed_error_is_raised(operation, reply, error, code, name):
    with pytest.raises(vavasms.VavasmsError) as caught:
        ask(operation, reply)
    assert type(caught.value) is error
    assert (caught.value.code, caught.value.name) == (code, name)
    assert caught.value.http_status == 200


def test_answers_with_a_trailing_comma_are_counted_and_a_redacted_one_is_kept():
    echo = '{"code": "902", "status": "INVALID_SENDER_ID", "description": "2250 x", "n": 12345,}'
    with FakeProvider(
        answer(page.OTP_SEND_OK), answer(page.OTP_SEND_901), answer(echo)
    ) as provider:
        client = provider.client()
        send(client)
        assert (client.tolerated, client.last_tolerated) == (0, None)
        for error in (vavasms.InvalidCredentials, vavasms.InvalidSenderId):
            with pytest.raises(error):
                send(client)
        client.close()
    assert client.tolerated == 2
    assert client.last_tolerated == (
        '{"code": "902", "status": "INVALID_SENDER_ID", "description": "…", "…": "…",}'
    )


def test_a_status_is_not_asked_for_where_nobody_said_where():
    with FakeProvider(answer(page.STATUS_OK)) as provider:
        with pytest.raises(ValueError, match="OTPSERVICE_VAVASMS_STATUS_PATH"):
            provider.client().text_status("SM-1")
        assert provider.connections == 0


@pytest.mark.parametrize("sender_field", ["form", "from"])
def test_an_incoming_sms_is_read_under_either_name_of_its_sender(sender_field):
    fields = {"message_id": "M1", sender_field: "22509000001", "content": "STOP", "sms_date": "d"}
    sms = vavasms.VavasmsClient.parse_incoming(fields)
    assert sms == vavasms.IncomingSms("M1", "22509000001", "STOP", "d")
    assert "22509000001" not in repr(sms)


def test_an_incoming_sms_without_an_id_or_a_sender_is_refused():
    for fields in ({"form": "22509000001"}, {"message_id": "M1"}, {}):
        with pytest.raises(ValueError, match="message_id"):
            vavasms.VavasmsClient.parse_incoming(fields)
