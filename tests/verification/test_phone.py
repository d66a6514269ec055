"""Spellings of telephone numbers."""

import string

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpservice.verification.errors import DestinationBlocked, InvalidPhone
from otpservice.verification.phone import PhoneNumber

SPELLINGS = [
    "+2250709000001",
    "2250709000001",
    "002250709000001",
    "0709000001",
    " 0709000001 ",
    "07 09 00 00 01",
    "07 09 000 001",
    "07-09-00-00-01",
    "07.09.00.00.01",
    "07/09/00/00/01",
    "0709 000 001",
    "070 900 0001",
    "(07) 09 00 00 01",
    "(07)09000001",
    "07 (09) 000001",
    "+225 07 09 00 00 01",
    "+225 07-09-00-00-01",
    "+225.07.09.00.00.01",
    "+225-0709000001",
    "+225 0709000001",
    "+225 (07) 09 00 00 01",
    "+225(07)09000001",
    "+225/07/09/00/00/01",
    "225 07 09 00 00 01",
    "225-07-09-00-00-01",
    "225.0709.000.001",
    "00 225 07 09 00 00 01",
    "00225-0709000001",
    "00225 (07) 09000001",
    "+225  07  09  00  00  01",
    "  +225 07090 00001",
    "+22 50 70 90 00 00 1",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_one_number_is_one_number(spelling):
    assert PhoneNumber.parse(spelling, region="CI") == PhoneNumber("+2250709000001")


@pytest.mark.parametrize(
    "spelling",
    ["+22377000010", "22377000010", "0022377000010", "+223 77 00 00 10"],
)
def test_a_number_of_another_country_is_written_internationally(spelling):
    assert PhoneNumber.parse(spelling, region="CI").e164 == "+22377000010"


@pytest.mark.parametrize(
    "spelling",
    [
        "",
        " ",
        "+",
        "0",
        "07",
        "++2250709000001",
        "+225+0709000001",
        "0709000001;ext=5",
        "0709000001 x9",
        "0709000001#5",
        "07O9000001",
        "FLOWERS",
        "0709000001,0709000002",
        "0709000001\n",
        "0709000001\r\nphone=1",
        "0709000001\0",
        "0709000001&otp=1",
        "tel:+2250709000001",
        "\u0660\u0667\u0660\u0669\u0660\u0660\u0660\u0660\u0660\u0661",
        "\uff10\uff17\uff10\uff19\uff10\uff10\uff10\uff10\uff10\uff11",
        "\u202a+2250709000001\u202c",
        "07\u00a009\u00a0000001",
        "07\u201309\u2013000001",
        "+225 07 09 00 00 01 1",
        "07090000011",
        "07090000",
        "22509000001",
        "2721000001",
        "+2252721000001",
        "+225101",
        "110",
        "+88213000001",
        "9" * 40,
        "(((((((",
    ],
)
def test_what_is_no_mobile_number_is_refused(spelling):
    with pytest.raises(InvalidPhone) as refused:
        PhoneNumber.parse(spelling, region="CI")
    digits = "".join(c for c in spelling if c in string.digits)
    assert len(digits) < 4 or digits not in refused.value.reason


@pytest.mark.parametrize("spelling", ["22509000001", "+22509000001", "09000001", "0022509000001"])
def test_an_old_ivorian_number_is_refused_with_the_way_out(spelling):
    with pytest.raises(InvalidPhone, match="10 digits since 31 January 2021"):
        PhoneNumber.parse(spelling, region="CI")


def test_a_country_that_is_not_allowed_is_blocked():
    phone = PhoneNumber.parse("+33612345678", region="CI")
    with pytest.raises(DestinationBlocked):
        phone.require_country({"CI", "ML"})
    phone.require_country({"FR"})


def test_it_is_never_shown_whole_by_accident():
    phone = PhoneNumber("+2250709000001")
    assert phone.masked == "+225********01"
    for shown in (repr(phone), str(phone), f"{phone}", f"{[phone]}"):
        assert "0709" not in shown


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_a_refusal(text):
    try:
        phone = PhoneNumber.parse(text, region="CI")
    except InvalidPhone as error:
        assert error.reason.endswith(".")  # noqa: PT017 - most texts end here, a few do not
    else:
        assert PhoneNumber.parse(phone.e164, region="CI") == phone


@given(
    st.lists(st.sampled_from([" ", "-", ".", "/", ""]), min_size=9, max_size=9),
    st.sampled_from(["", "+225", "225", "00225"]),
)
def test_separators_never_change_the_number(separators, prefix):
    digits = "0709000001"
    spelling = "".join(d + s for d, s in zip(digits, [*separators, ""], strict=True))
    assert PhoneNumber.parse(prefix + spelling, region="CI").e164 == "+2250709000001"


EXAMPLES = [
    phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    if (number := phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE))
]
CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)
MOBILE = {
    phonenumbers.PhoneNumberType.MOBILE,
    phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
}


def as_the_library_reads(spelling, region):
    """E.164 of a mobile number, or None, by what ``phonenumbers`` is documented to do."""
    for candidate in (spelling, f"+{spelling}"):
        try:
            number = phonenumbers.parse(candidate, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number) and not number.extension:
            is_mobile = phonenumbers.number_type(number) in MOBILE
            e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            return e164 if is_mobile else None
    return None


def assert_read_alike(spelling, region):
    expected = as_the_library_reads(spelling, region)
    try:
        phone = PhoneNumber.parse(spelling, region=region)
    except InvalidPhone:
        assert expected is None
    else:
        assert phone.e164 == expected
        assert phone.country == phonenumbers.region_code_for_number(phonenumbers.parse(expected))


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_number_of_any_country_is_read_as_the_library_reads_it(example):
    for spelling in (example, example[1:], f"00{example[1:]}", f"{example[:6]} {example[6:]}"):
        assert_read_alike(spelling, "CI")


@given(
    st.sampled_from(EXAMPLES),
    st.integers(min_value=2, max_value=14),
    st.text(string.digits, max_size=3),
    st.sampled_from(["CI", "ML", "FR", "IT", "US"]),
)
def test_a_number_with_other_digits_is_read_as_the_library_reads_it(example, at, digits, region):
    assert_read_alike(example[:at] + digits + example[at + len(digits) :], region)


@given(
    st.sampled_from(["+", "", "00"]),
    st.sampled_from(CODES),
    st.text("00123456789", min_size=4, max_size=13),
)
def test_any_digits_after_a_calling_code_are_read_as_the_library_reads_them(plus, code, digits):
    assert_read_alike(f"{plus}{code}{digits}", "CI")
