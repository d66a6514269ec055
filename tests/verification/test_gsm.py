"""Encodings and parts of texts, against the standard's numbers and the sandbox's own count."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpservice.sandbox.segments import measure as counted_by_the_sandbox
from otpservice.verification.gsm import Encoding, Size, encoding_of, measure, misfits

EURO, FACE, QUOTE, NBSP = "\u20ac", "\U0001f600", "\u2019", "\u00a0"

# 3GPP TS 23.038, 6.2.1: by column of 16, without the escape of 0x1B.
DEFAULT_ALPHABET = (
    "@£$¥èéùìòÇ\nØø\rÅå",
    "Δ_ΦΓΛΩΠΨΣΘΞÆæßÉ",
    " !\"#¤%&'()*+,-./",
    "0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZÄÖÑÜ§",
    "¿abcdefghijklmno",
    "pqrstuvwxyzäöñüà",
)
EXTENSION = "\f^{}\\[~]|€"

BASIC = st.text(st.sampled_from("".join(DEFAULT_ALPHABET)), max_size=700)
MIXED = st.text(st.sampled_from("aé @€{|ç😀\u2019") | st.characters(exclude_categories=["Cs"]))


def test_the_alphabet_is_the_standards_and_nothing_more():
    every = (chr(n) for n in range(0x20000) if not 0xD800 <= n < 0xE000)
    inside = {character for character in every if encoding_of(character) is Encoding.GSM_7}
    assert inside == set("".join(DEFAULT_ALPHABET)) | set(EXTENSION)
    assert len(inside) == 127 + 10


def test_a_character_of_the_extension_counts_two_and_any_other_one():
    assert {measure(c).length for c in "".join(DEFAULT_ALPHABET)} == {1}
    assert {measure(c).length for c in EXTENSION} == {2}


@pytest.mark.parametrize(
    ("text", "encoding", "length", "parts"),
    [
        ("", "GSM-7", 0, 1),
        ("hellohello", "GSM-7", 10, 1),
        ("a" * 160, "GSM-7", 160, 1),
        ("a" * 161, "GSM-7", 161, 2),
        ("a" * 306, "GSM-7", 306, 2),
        ("a" * 307, "GSM-7", 307, 3),
        ("a" * 459, "GSM-7", 459, 3),
        (EURO * 80, "GSM-7", 160, 1),
        (EURO * 80 + "a", "GSM-7", 161, 2),
        # 153 is odd: the 77th does not fit into a part whole.
        (EURO * 152, "GSM-7", 304, 2),
        (EURO * 153, "GSM-7", 306, 3),
        ("a" + EURO * 152, "GSM-7", 305, 2),
        ("Ç" * 160, "GSM-7", 160, 1),
        ("ç", "UCS-2", 1, 1),
        ("ç" * 70, "UCS-2", 70, 1),
        ("ç" * 71, "UCS-2", 71, 2),
        ("ç" * 134, "UCS-2", 134, 2),
        ("ç" * 135, "UCS-2", 135, 3),
        (FACE * 35, "UCS-2", 70, 1),
        (FACE * 36, "UCS-2", 72, 2),
        # 67 is odd: the 34th does not fit into a part whole.
        (FACE * 66, "UCS-2", 132, 2),
        (FACE * 67, "UCS-2", 134, 3),
        (EURO + QUOTE, "UCS-2", 2, 1),
        ("\x1b", "UCS-2", 1, 1),
    ],
)
def test_known_texts_take_what_calculators_say(text, encoding, length, parts):
    assert measure(text) == Size(Encoding(encoding), length, parts)


@given(BASIC)
@settings(deadline=None)
def test_text_of_basic_characters_fills_its_parts_to_the_brim(text):
    length = len(text)
    assert measure(text).parts == (1 if length <= 160 else -(-length // 153))


@given(st.text(st.sampled_from("a€ç😀"), max_size=400), st.sampled_from("a€ç😀"))
@settings(deadline=None)
def test_a_longer_text_never_takes_fewer_parts(text, more):
    assert measure(text).parts <= measure(text + more).parts


@given(MIXED)
@settings(deadline=None)
def test_the_sandbox_which_has_its_own_table_counts_the_same(text):
    mine, sandboxs = measure(text * 20), counted_by_the_sandbox(text * 20)
    assert (mine.encoding, mine.parts) == (sandboxs.encoding, sandboxs.count)


@given(MIXED)
def test_text_is_gsm_exactly_if_it_has_no_misfit(text):
    assert (encoding_of(text) is Encoding.GSM_7) == (not list(misfits(text)))


@given(MIXED)
def test_a_replacement_is_gsm_and_stands_for_what_is_at_its_position(text):
    for misfit in misfits(text):
        assert text[misfit.position :].startswith(misfit.text)
        assert misfit.replacement is None or encoding_of(misfit.replacement) is Encoding.GSM_7


@pytest.mark.parametrize(
    ("text", "replacement"),
    [
        ("ç", "c"),
        ("ê", "e"),
        ("î", "i"),
        ("ô", "o"),
        ("û", "u"),
        ("â", "a"),
        ("ë", "e"),
        ("ï", "i"),
        ("À", "A"),
        ("È", "E"),
        ("œ", "oe"),
        ("Œ", "OE"),
        ("\u2018", "'"),
        (QUOTE, "'"),
        ("\u201c", '"'),
        ("\u201d", '"'),
        ("«", '"'),
        ("»", '"'),
        (NBSP, " "),
        ("\u202f", " "),
        ("\t", " "),
        ("\u2026", "..."),
        ("\u2011", "-"),
        ("\u2013", "-"),
        ("\u2014", "-"),
        ("\u200b", ""),
        ("\ufeff", ""),
        ("e\u0301", "é"),
        ("c\u0327", "c"),
        ("n\u0303", "ñ"),
        ("\ufb01", "fi"),
        ("ɛ", "è"),
        ("ɔ", "ò"),
        ("ɲ", "ny"),
        ("ŋ", "ng"),
        (FACE, None),
        ("ب", None),
        ("Ж", None),
    ],
)
def test_a_character_that_is_not_gsm_has_a_replacement_if_there_is_one(text, replacement):
    (misfit,) = misfits(f"ab{text}cd")
    assert (misfit.text, misfit.position, misfit.replacement) == (text, 2, replacement)


def test_misfits_are_told_in_order_and_each_time():
    found = [(misfit.text, misfit.position) for misfit in misfits("ça va, ça\u2026 é à ù Ç €")]
    assert found == [("ç", 0), ("ç", 7), ("\u2026", 9)]
