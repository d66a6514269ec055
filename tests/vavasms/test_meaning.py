"""What an answer means for a send and for a check, row by row of the contract."""

import json

import pytest

from otpservice import vavasms
from tests.fake_provider import FakeProvider, answer, cut, hang
from tests.vavasms.test_page import balance, check, send, status, text

ID = {"message_id": "OTP-1"}
WITHOUT_CODE = "<html>no</html>"


def outcome(operation, reply, **options):
    """The class of what the operation raises, or of what it returns."""
    with FakeProvider(reply) as provider:
        client = provider.client(status_path="text/status", **options)
        try:
            return type(operation(client))
        except vavasms.VavasmsError as error:
            return type(error)
        finally:
            client.close()
            assert len(provider.requests) <= 1  # whatever happened, it was not repeated


def said(http="200 OK", /, **fields):
    return answer(json.dumps(fields), http)


@pytest.mark.parametrize("operation", [send, text])
@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        (said(code=901), vavasms.InvalidCredentials),
        (said(code=902), vavasms.InvalidSenderId),
        (said(code=903), vavasms.NumberRefused),
        (said(code=903, data=ID), vavasms.NumberRefused),
        (said(code=950), vavasms.Rejected),
        (said(code=913), vavasms.Rejected),
        (said(code="-1"), vavasms.Rejected),
        (said(code=950, data=ID), vavasms.Nonsense),
        (said(code=901, data=ID), vavasms.Nonsense),
        (said(code=950, status="INVALID_PHONE_NUMBER"), vavasms.NumberRefused),
        (said(message="INVALID_CREDENTIALS"), vavasms.InvalidCredentials),
        (said(code=0), vavasms.Nonsense),
        (said(code=0, data=[]), vavasms.Nonsense),
        (said(code=0, data={"message_id": ""}), vavasms.Nonsense),
        (said(code=0, data={"message_id": True}), vavasms.Nonsense),
        (said(code=0, data=ID, status="INVALID_PHONE_NUMBER"), vavasms.Nonsense),
        (said("503 No", code=0), vavasms.Nonsense),
        (said("500 No", code=901), vavasms.InvalidCredentials),
        (answer("{}"), vavasms.Nonsense),
        (answer(WITHOUT_CODE), vavasms.Nonsense),
        (answer("", "204 No Content"), vavasms.Nonsense),
        (hang, vavasms.OutcomeUnknown),
        (cut, vavasms.OutcomeUnknown),
    ],
)
def test_an_answer_to_a_send_means(operation, reply, meaning):
    assert outcome(operation, reply, timeout=0.3) is meaning


@pytest.mark.parametrize("operation", [send, text])
@pytest.mark.parametrize("http_status", [200, 500])
def test_code_0_with_a_message_id_is_sent_whatever_the_http_status(operation, http_status):
    reply = said(f"{http_status} X", code="0", data=ID)
    assert outcome(operation, reply) in (vavasms.OtpReceipt, vavasms.TextReceipt)


@pytest.mark.parametrize(
    ("http_status", "of_send", "of_check"),
    [
        *((code, vavasms.Rejected, vavasms.OutcomeUnknown) for code in (301, 302, 304, 307, 308)),
        *((code, vavasms.Rejected, vavasms.OutcomeUnknown) for code in (404, 405, 413)),
        *((code, vavasms.Unavailable, vavasms.Unavailable) for code in (429, 503)),
        *(
            (code, vavasms.OutcomeUnknown, vavasms.OutcomeUnknown)
            for code in (400, 401, 403, 408, 500, 502, 504)
        ),
    ],
)
def test_an_http_status_without_a_code_means(http_status, of_send, of_check):
    reply = answer("" if http_status == 304 else WITHOUT_CODE, f"{http_status} X")
    assert outcome(send, reply) is of_send
    assert outcome(text, reply) is of_send
    assert outcome(balance, reply) is of_send
    assert outcome(check, reply) is of_check


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        (said(code=913), vavasms.InvalidOtp),
        (said(code="913", message="EXPIRED_OTP"), vavasms.InvalidOtp),
        (said(message="EXPIRED_OTP"), vavasms.ExpiredOtp),
        (said(code=914, status="EXPIRED_OTP"), vavasms.ExpiredOtp),
        (said(code=709, message="OTP_NOT_FOUND"), vavasms.OtpNotFound),
        (said("404 X", status="OTP_NOT_FOUND"), vavasms.OtpNotFound),
        (said(code=901), vavasms.InvalidCredentials),
        (said(code=902), vavasms.InvalidSenderId),
        (said(code=903), vavasms.OutcomeUnknown),
        (said(code=950), vavasms.OutcomeUnknown),
        (said("503 X", code=950), vavasms.OutcomeUnknown),
        (said(code=0), vavasms.Nonsense),
        (said(code=0, data={"status": "failed"}), vavasms.Nonsense),
        (said(code=0, data=[{"status": "success"}]), vavasms.Nonsense),
        (said(code=0, data={"status": "success"}, message="INVALID_OTP"), vavasms.Nonsense),
        (said(code=0, status="success"), vavasms.Nonsense),
        (said(status="success", data={"status": "success"}), vavasms.Nonsense),
        (answer(WITHOUT_CODE), vavasms.Nonsense),
        (hang, vavasms.OutcomeUnknown),
        (cut, vavasms.OutcomeUnknown),
    ],
)
def test_an_answer_to_a_check_means(reply, meaning):
    assert outcome(check, reply, timeout=0.3) is meaning


SUCCESS = '"data": {"status": "success", "message_id": "OTP-1"}'


@pytest.mark.parametrize("code", ["0", '"0"'])
def test_code_0_and_success_is_a_yes(code):
    assert outcome(check, answer(f'{{"code": {code}, {SUCCESS}}}')) is vavasms.OtpVerified


@pytest.mark.parametrize(
    "code",
    [
        "false",
        "true",
        "0.0",
        '" 0"',
        '"0 "',
        '"00"',
        '"-0"',
        '"\\u0660"',
        '""',
        "null",
        "[0]",
        "NaN",
        "0e0",
        '{"code": 0}',
        "1" + "0" * 5000,
        '"0\\n"',
        "-0.0",
    ],
)
def test_no_other_spelling_of_0_is_a_yes(code):
    assert outcome(check, answer(f'{{"code": {code}, {SUCCESS}}}')) is vavasms.Nonsense


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"0",
        b'"success"',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"code": 913, "code": 0, ' + SUCCESS.encode() + b"}",
        b'{"code": 0, "x": Infinity, ' + SUCCESS.encode() + b"}",
        b'{"code": 0,, ' + SUCCESS.encode() + b"}",
        b'{"code": 0, ' + SUCCESS.encode() + b",,}",
        b'{"code": 0, ' + SUCCESS.encode(),
        b'"\\"' * 20_000,
        b"\xff\xfe\x00",
        b"," * 60_000,
        b'{"code": 0, ' + SUCCESS.encode() + b"}" + b" " * 70_000,
    ],
)
def test_an_answer_that_cannot_be_read_is_never_a_yes(body):
    assert issubclass(outcome(check, answer(body)), vavasms.OutcomeUnknown)


def test_a_trailing_comma_is_taken_out_but_never_from_inside_a_text():
    body = '{"code": 0, "data": {"amount": 1, "currency": "a,} ,] \\",}", },\n}'
    with FakeProvider(answer(body)) as provider:
        client = provider.client()
        assert client.balance() == vavasms.Balance(1, 'a,} ,] ",}')
        client.close()


@pytest.mark.parametrize("body", [b'\xef\xbb\xbf{"code": 913}', b'{"code": 913, "d": "envoy\xe9"}'])
def test_a_byte_order_mark_or_bytes_that_are_not_utf_8_hide_no_code(body):
    assert outcome(check, answer(body)) is vavasms.InvalidOtp


@pytest.mark.parametrize("ids", [["SM-1"], ["SM-1", None], ["SM-1", "SM-2", "SM-3"], "SM-1"])
def test_another_number_of_message_ids_than_of_phones_is_unknown(ids):
    def to_two(client):
        return client.send_text(
            sender_id="Portal", phones=["22509000001", "22509000002"], message="x"
        )

    assert outcome(to_two, said(code=0, data={"message_id": ids})) is vavasms.Nonsense


@pytest.mark.parametrize(
    ("operation", "reply", "meaning"),
    [
        (balance, said(code=0, data={"amount": "abc", "currency": "XOF"}), vavasms.Nonsense),
        (balance, said(code=0, data={"amount": True, "currency": "XOF"}), vavasms.Nonsense),
        (balance, said(code=0, data={"amount": "7", "currency": "XOF"}), vavasms.Balance),
        (balance, said(code=950), vavasms.Rejected),
        (status, said(code=0, data=[]), vavasms.Nonsense),
        (status, said(code=0, data={"message_id": "S", "status": "sent"}), tuple),
        (status, said(code="709"), vavasms.UnknownMessage),
        (send, said(code="709"), vavasms.Rejected),
    ],
)
def test_an_answer_to_the_other_operations_means(operation, reply, meaning):
    assert outcome(operation, reply) is meaning
