"""What was typed as a code."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpservice.verification.code import Code
from otpservice.verification.errors import InvalidCode

FOREIGN_DIGITS = [
    char
    for char in map(chr, range(128, sys.maxunicode + 1))
    if unicodedata.category(char) in {"Nd", "Nl", "No", "Zs", "Zl", "Zp", "Cf"}
]


@given(st.from_regex(r"[0-9]{4,9}", fullmatch=True))
def test_four_to_nine_digits_are_a_code_zeros_and_all(text):
    assert Code.parse(text).digits == text


@given(st.text(max_size=12).filter(lambda t: not (t.isascii() and t.isdigit())))
def test_anything_else_is_not(text):
    with pytest.raises(InvalidCode):
        Code.parse(text)


@pytest.mark.parametrize("text", ["", "123", "1234567890", "123456\n", " 123456", "12 34", "-1234"])
def test_the_edges(text):
    with pytest.raises(InvalidCode):
        Code.parse(text)


def test_no_other_digit_or_separator_of_unicode_is_taken():
    for char in FOREIGN_DIGITS:
        for text in (f"12345{char}", f"{char}12345", char * 6):
            with pytest.raises(InvalidCode):
                Code.parse(text)


def test_it_does_not_show_its_digits():
    assert "123456" not in repr(Code("123456"))
