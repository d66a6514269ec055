"""The route over text/single: what it asks for, and of whom."""

import pytest

from otpservice import vavasms
from otpservice.routes.vavasms_text import VavasmsTextRoute
from otpservice.verification import errors
from otpservice.verification.code import Code
from otpservice.verification.routes import Route
from tests.fake_provider import FakeProvider, answer
from tests.routes.test_vavasms_otp import outgoing
from tests.vavasms import replies as page

MESSAGE = outgoing()._replace(code=Code("012345"))


def test_a_send_asks_for_one_text_to_one_number_with_the_code_in_place():
    with FakeProvider(answer(page.TEXT_OK)) as provider:
        client = provider.client()
        route: Route = VavasmsTextRoute(client)
        assert route.send(MESSAGE) == "SM-20190623-1217879"
        client.close()
    (request,) = provider.requests
    assert request.line == "POST /api/v1/text/single HTTP/1.1"
    assert request.form.keys() == {"username", "password", "sender_id", "phone", "message"}
    assert (request.form["sender_id"], request.form["phone"]) == ("Portal", "2250709000001")
    assert request.form["message"] == "Votre code : 012345"


def test_a_receipt_for_two_texts_is_none_for_one():
    two = '{"code": 0, "data": {"lot_id": "L", "message_id": ["SM-1", "SM-2"]}}'
    with FakeProvider(answer(two)) as provider:
        client = provider.client()
        with pytest.raises(errors.OutcomeUnknown):
            VavasmsTextRoute(client).send(MESSAGE)
        client.close()


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (page.TEXT_901, vavasms.InvalidCredentials),
        (page.TEXT_902, vavasms.InvalidSenderId),
        (page.TEXT_903, vavasms.NumberRefused),
        ("{}", vavasms.Nonsense),
    ],
)
def test_what_vavasms_answered_is_the_cause(body, cause):
    with FakeProvider(answer(body)) as provider:
        client = provider.client()
        with pytest.raises(errors.ProviderError) as caught:
            VavasmsTextRoute(client).send(MESSAGE)
        client.close()
    assert type(caught.value.__cause__) is cause


def test_a_message_without_a_code_of_ours_is_not_sent():
    with FakeProvider(answer(page.TEXT_OK)) as provider:
        with pytest.raises(ValueError, match="hosted"):
            VavasmsTextRoute(provider.client()).send(outgoing())
        assert provider.connections == 0
