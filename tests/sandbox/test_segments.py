"""Parts and prices of texts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpservice.sandbox.segments import measure
from tests.sandbox.conftest import Client

EURO, FACE = "€", "😀"
GSM7 = st.text(st.sampled_from("aZ09 éèàùÇ@\n£€{}|"), max_size=700)


@pytest.mark.parametrize(
    ("text", "encoding", "count"),
    [
        ("", "GSM-7", 1),
        ("a" * 160, "GSM-7", 1),
        ("a" * 161, "GSM-7", 2),
        ("a" * 306, "GSM-7", 2),
        ("a" * 307, "GSM-7", 3),
        ("éèàù" * 40, "GSM-7", 1),
        (EURO * 80, "GSM-7", 1),
        (EURO * 80 + "a", "GSM-7", 2),
        # 153 is odd: the 77th € does not fit into the first part and is not cut in half.
        (EURO * 153, "GSM-7", 3),
        ("a" + EURO * 152, "GSM-7", 2),
        ("ç", "UCS-2", 1),
        ("ç" * 70, "UCS-2", 1),
        ("ç" * 71, "UCS-2", 2),
        ("ç" * 134, "UCS-2", 2),
        ("ç" * 135, "UCS-2", 3),
        (FACE * 35, "UCS-2", 1),
        (FACE * 36, "UCS-2", 2),
        (FACE * 67, "UCS-2", 3),
        ("ç" + FACE * 66, "UCS-2", 2),
        ("\u2019" + "a" * 69, "UCS-2", 1),
        ("a\u00a0b", "UCS-2", 1),
        ("`", "UCS-2", 1),
    ],
)
def test_parts_are_counted_as_networks_do(text: str, encoding: str, count: int) -> None:
    size = measure(text)
    assert (size.encoding, size.count) == (encoding, count)


@given(GSM7)
@settings(max_examples=150, deadline=None)
def test_gsm_text_takes_at_least_what_its_septets_fill_and_at_most_one_part_more(text: str) -> None:
    septets = sum(2 if character in "€{}|" else 1 for character in text)
    size = measure(text)
    assert size.encoding == "GSM-7"
    if septets <= 160:
        assert size.count == 1
    else:
        assert -(-septets // 153) <= size.count <= -(-septets // 152)


@given(st.text(max_size=300))
@settings(max_examples=150, deadline=None)
def test_one_foreign_character_makes_any_text_ucs2_by_utf16_units(text: str) -> None:
    size = measure(text + "ç")
    units = len((text + "ç").encode("utf-16-le", "surrogatepass")) // 2
    assert size.encoding == "UCS-2"
    if units <= 70:
        assert size.count == 1
    else:
        assert -(-units // 67) <= size.count <= -(-units // 66)


def test_each_part_to_each_phone_is_paid(client: Client) -> None:
    client.send_text("22509000001,22377000010", "a" * 161)
    assert client.balance() == 25540 - 2 * 2 * 20
    message = client.inbox()[0]
    assert (message["segments"], message["cost"], message["encoding"]) == (2, 40, "GSM-7")


def test_a_code_is_paid_with_its_digits_in_the_text(client: Client) -> None:
    client.send_otp(message="a" * 152 + "##OTP##", otp_length="9")
    assert client.inbox()[0]["segments"] == 2
    client.send_otp(message="a" * 156 + "##OTP##", otp_length="4")
    assert client.inbox()[0]["segments"] == 1


def test_text_arrives_as_it_was_sent(client: Client) -> None:
    text = "Ça va ? 100 % & <b>+</b> €\n😀 “x”"
    client.send_text(message=text)
    assert client.inbox()[0]["text"] == text
    assert client.inbox()[0]["encoding"] == "UCS-2"
