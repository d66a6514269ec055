"""The hosted route speaks the domain's language."""

import pytest

from otpservice import vavasms
from otpservice.routes.vavasms_otp import VavasmsOtpRoute
from otpservice.verification import errors
from otpservice.verification.code import Code
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.routes import OutgoingCode, Route
from tests.fake_provider import FakeProvider, answer, cut
from tests.vavasms import replies as page

PHONE = PhoneNumber.parse("+2250709000001", region="CI")
EXPIRED = '{"code": 914, "message": "EXPIRED_OTP"}'
NOT_FOUND = '{"code": 914, "message": "OTP_NOT_FOUND"}'


def outgoing(ttl=300):
    return OutgoingCode(
        id="ver_" + "0" * 36,
        owner=Owner("portal", "login"),
        phone=PHONE,
        sender_id="Portal",
        template="Votre code : ##OTP##",
        length=6,
        ttl=ttl,
    )


def send(route):
    return route.send(outgoing())


def check(route):
    return route.check(PHONE, Code("012345"))


def error_of(act, reply):
    with FakeProvider(reply) as provider:
        client = provider.client()
        with pytest.raises(errors.ProviderError) as caught:
            act(VavasmsOtpRoute(client))
        client.close()
        return caught.value


@pytest.mark.parametrize(
    ("ttl", "minutes"), [(1, "1"), (60, "1"), (61, "2"), (300, "5"), (599, "10"), (600, "10")]
)
def test_a_send_asks_for_whole_minutes_never_fewer_than_the_code_lives(ttl, minutes):
    with FakeProvider(answer(page.OTP_SEND_OK)) as provider:
        client = provider.client()
        route: Route = VavasmsOtpRoute(client)
        assert route.send(outgoing(ttl)) == "OTP-20190621-2234509"
        client.close()
    form = provider.requests[0].form
    assert form["otp_expiry"] == minutes
    assert (form["phone"], form["otp_length"]) == ("2250709000001", "6")
    assert (form["sender_id"], form["message"]) == ("Portal", "Votre code : ##OTP##")


def test_a_check_returns_nothing_when_the_code_is_right():
    with FakeProvider(answer(page.OTP_VERIFY_OK)) as provider:
        client = provider.client()
        assert check(VavasmsOtpRoute(client)) is None
        client.close()
    assert provider.requests[0].form["otp"] == "012345"
    assert "sender_id" not in provider.requests[0].form


def test_a_check_names_the_sender_id_where_the_client_is_set_to():
    with FakeProvider(answer(page.OTP_VERIFY_OK)) as provider:
        client = provider.client(verify_sender_id=True)
        check(VavasmsOtpRoute(client, sender_id="Portal"))
        client.close()
    assert provider.requests[0].form["sender_id"] == "Portal"


@pytest.mark.parametrize(
    ("act", "reply", "error"),
    [
        (send, answer(page.OTP_SEND_901), errors.ProviderRejected),
        (send, answer(page.OTP_SEND_902), errors.ProviderRejected),
        (send, answer(page.OTP_SEND_903), errors.NumberRefused),
        (send, answer('{"code": 950}'), errors.ProviderRejected),
        (send, answer("", "302 X"), errors.ProviderRejected),
        (send, answer("", "503 X"), errors.ProviderUnavailable),
        (send, answer("", "502 X"), errors.OutcomeUnknown),
        (send, answer('{"code": 0}'), errors.OutcomeUnknown),
        (send, cut, errors.OutcomeUnknown),
        (check, answer(page.OTP_VERIFY_901), errors.ProviderRejected),
        (check, answer(page.OTP_VERIFY_902), errors.ProviderRejected),
        (check, answer(page.OTP_VERIFY_913), errors.CodeRefused),
        (check, answer(EXPIRED), errors.CodeRefused),
        (check, answer(NOT_FOUND), errors.CodeForgotten),
        (check, answer("", "429 X"), errors.ProviderUnavailable),
        (check, answer("", "404 X"), errors.OutcomeUnknown),
        (check, answer('{"code": 903}'), errors.OutcomeUnknown),
        (check, cut, errors.OutcomeUnknown),
    ],
)
def test_what_vavasms_answers_becomes_an_error_of_the_domain(act, reply, error):
    raised = error_of(act, reply)
    assert type(raised) is error
    assert isinstance(raised.__cause__, vavasms.VavasmsError)


@pytest.mark.parametrize("act", [send, check])
def test_an_unreachable_provider_is_unavailable(act):
    client = vavasms.VavasmsClient(url="http://127.0.0.1:1/api", username="u", password="p")
    with pytest.raises(errors.ProviderUnavailable):
        act(VavasmsOtpRoute(client))
