"""What leaves for the provider, byte by byte."""

import pytest

from otpservice import vavasms
from tests.fake_provider import PASSWORD, USERNAME, FakeProvider, answer
from tests.vavasms import replies as page
from tests.vavasms.test_page import balance, check, send, status, text

PHONE = "+2250709000001"


def sent(reply, operation, **options):
    """The one request an operation makes."""
    with FakeProvider(answer(reply)) as provider:
        client = provider.client(**options)
        operation(client)
        client.close()
        (request,) = provider.requests
        return request


@pytest.mark.parametrize(
    ("operation", "reply", "path", "fields"),
    [
        (balance, page.BALANCE_OK, "check/balance", {}),
        (
            text,
            page.TEXT_OK,
            "text/single",
            {"sender_id": "Portal", "phone": "22509000001", "message": "Bonjour"},
        ),
        (status, page.STATUS_OK, "text/where", {"message_id": "SM-20190617-1445914"}),
        (
            send,
            page.OTP_SEND_OK,
            "otp/send",
            {
                "sender_id": "Portal",
                "phone": "22509000001",
                "otp_length": "6",
                "otp_expiry": "5",
                "message": "##OTP##",
            },
        ),
        (check, page.OTP_VERIFY_OK, "otp/verify", {"phone": "22509000001", "otp": "012345"}),
    ],
)
def test_an_operation_posts_its_documented_fields_and_no_others(operation, reply, path, fields):
    request = sent(reply, operation, status_path="text/where")
    assert request.line == f"POST /api/v1/{path} HTTP/1.1"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept-encoding"] == "identity"
    assert dict(request.pairs) == {"username": USERNAME, "password": PASSWORD, **fields}
    assert len(request.pairs) == len(fields) + 2


def test_leading_zeros_of_a_code_survive():
    assert b"&otp=012345" in sent(page.OTP_VERIFY_OK, check).body


@pytest.mark.parametrize(
    "message",
    [
        "##OTP##&phone=22377000010",
        "a=b;c ##OTP## +1 %41",
        "##OTP##\r\n\r\nPOST /api/v1/otp/send HTTP/1.1\r\n",
        "##OTP##\x00tail",
        "é ç “##OTP##” 😀\u00a0",
        "Code\n@portal.example ###OTP##",
    ],
)
def test_any_message_arrives_as_one_field_and_unchanged(message):
    request = sent(
        page.OTP_SEND_OK,
        lambda client: client.send_otp(
            sender_id="Portal", phone=PHONE, message=message, length=6, expiry_minutes=5
        ),
    )
    assert [value for key, value in request.pairs if key == "message"] == [message]
    assert len(request.pairs) == 7


@pytest.mark.parametrize("phone", ["2250709000001", "+2250709000001"])
@pytest.mark.parametrize(
    ("plus_sign", "wire"), [(False, "2250709000001"), (True, "+2250709000001")]
)
def test_a_number_is_written_one_way_whichever_way_it_was_given(phone, plus_sign, wire):
    request = sent(
        page.OTP_VERIFY_OK,
        lambda client: client.verify_otp(phone=phone, code="012345"),
        plus_sign=plus_sign,
    )
    assert request.form["phone"] == wire


def test_several_numbers_go_in_one_field_and_come_back_as_one_id_each():
    reply = '{"code": 0, "data": {"lot_id": "LOT-1", "message_id": ["SM-1", "SM-2"]}}'
    with FakeProvider(answer(reply)) as provider:
        client = provider.client()
        receipt = client.send_text(
            sender_id="Portal", phones=["22509000001", "+22377000010"], message="x"
        )
        client.close()
    assert provider.requests[0].form["phone"] == "22509000001,22377000010"
    assert receipt.message_ids == ("SM-1", "SM-2")


def test_a_check_names_the_sender_id_only_if_told_to():
    def with_sender(client):
        return client.verify_otp(phone=PHONE, code="012345", sender_id="Portal")

    assert "sender_id" not in sent(page.OTP_VERIFY_OK, with_sender).form
    request = sent(page.OTP_VERIFY_OK, with_sender, verify_sender_id=True)
    assert request.form["sender_id"] == "Portal"


def test_the_language_is_sent_only_if_one_is_set():
    assert sent(page.BALANCE_OK, balance, lang="fr").form["lang"] == "fr"


BAD_PHONES = [
    "22509000001,22377000010",
    "",
    "+",
    "0709000001",
    "225 0709000001",
    "22507\n",
    "٢٢٥٠٧٠٩٠٠٠٠٠١",
]
BAD_PHONES += [
    "2250709000001\n",
    "2250709000001;ext=5",
    "1" * 16,
    "++2250709000001",
    "22507x9000001",
]


@pytest.mark.parametrize("phone", BAD_PHONES)
def test_what_is_not_one_number_is_refused_before_anything_is_sent(phone):
    with FakeProvider(answer(page.OTP_SEND_OK)) as provider:
        client = provider.client()
        calls = (
            lambda: client.send_text(sender_id="Portal", phones=[phone], message="x"),
            lambda: client.send_text(sender_id="Portal", phones=phone, message="x"),
            lambda: client.verify_otp(phone=phone, code="012345"),
            lambda: client.send_otp(
                sender_id="Portal", phone=phone, message="##OTP##", length=6, expiry_minutes=5
            ),
        )
        for call in calls:
            with pytest.raises(ValueError, match="number") as caught:
                call()
            assert len(phone) < 2 or phone not in str(caught.value)
        assert provider.connections == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"message": "no code in here"},
        {"message": "##OTP## \ud800"},
        {"length": 3},
        {"length": 10},
        {"expiry_minutes": 0},
        {"sender_id": "no"},
        {"sender_id": "Twelve123456"},
        {"sender_id": "a&b=c"},
    ],
)
def test_a_send_the_provider_would_refuse_is_refused_before_anything_is_sent(wrong):
    right = {"message": "##OTP##", "length": 6, "expiry_minutes": 5, "sender_id": "Portal"}
    with FakeProvider(answer(page.OTP_SEND_OK)) as provider:
        with pytest.raises(ValueError, match=r"must|has"):
            provider.client().send_otp(phone=PHONE, **(right | wrong))
        assert provider.connections == 0


@pytest.mark.parametrize(
    "code", ["123", "1234567890", "12345 ", "١٢٣٤٥٦", "", "123456\n", "12a456"]
)
def test_a_code_that_is_not_4_to_9_digits_is_refused_before_anything_is_sent(code):
    with FakeProvider(answer(page.OTP_VERIFY_OK)) as provider:
        with pytest.raises(ValueError, match="A code"):
            provider.client().verify_otp(phone=PHONE, code=code)
        assert provider.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "http://vavasms.com/api",
        "http://10.0.0.1/api",
        "http://127.0.0.1.example.com/api",
        "http://localhost.example.com",
        "http://127.0.0.1@example.com/api",
        "http://example.com#@127.0.0.1",
        "http://0.0.0.0",
        "http://[2001:db8::1]/api",
        "https://user:password@vavasms.com/api",
        "https://vavasms.com/api?x=1",
        "ftp://127.0.0.1/api",
        "vavasms.com/api",
        "http:///api",
        "",
    ],
)
def test_an_address_that_would_show_the_password_is_refused(url):
    with pytest.raises(ValueError, match="The provider's address"):
        vavasms.VavasmsClient(url=url, username=USERNAME, password=PASSWORD)


@pytest.mark.parametrize(
    "url",
    [
        "https://vavasms.com/api",
        "http://127.8.9.1:8025/api",
        "http://[::1]:8025",
        "HTTP://LOCALHOST",
    ],
)
def test_https_or_a_loopback_address_is_taken_and_shown_without_credentials(url):
    client = vavasms.VavasmsClient(url=url, username=USERNAME, password=PASSWORD)
    assert url in repr(client)
    assert USERNAME not in repr(client)
    assert PASSWORD not in repr(client)


@pytest.mark.parametrize("path", ["../../other", "/text", "a?b", "text single", "http://x"])
def test_a_status_path_stays_below_the_api(path):
    with pytest.raises(ValueError, match="status path"):
        vavasms.VavasmsClient(
            url="https://vavasms.com/api", username="u", password="p", status_path=path
        )
