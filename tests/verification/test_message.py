"""What SMS say: placeholders filled, lines added, and what the linter thinks of the result."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpservice.verification.gsm import Encoding, encoding_of
from otpservice.verification.message import (
    BRAND,
    DO_NOT_SHARE,
    HOST,
    RETRIEVER_HASH,
    compose,
    holds_code,
    lint,
    size,
)

DEFAULT = "Votre code OTP est : ##OTP##"
HASH = "FA+9qCX9VSu"


def composed(template=DEFAULT, **given):
    return compose(template, **{"brand": "Portal", "minutes": 5, "language": "fr", **given})


def remarks(template, price_xof=20, code_length=6):
    return list(lint(template, code_length=code_length, price_xof=price_xof))


def test_with_nothing_set_the_default_text_stays_as_it_is():
    assert composed() == DEFAULT


def test_brand_and_minutes_are_filled_wherever_they_stand_and_the_code_is_not():
    template = "##BRAND## : ##OTP##, ##MINUTES## min. ##BRAND##/##OTP##"
    assert composed(template) == "Portal : ##OTP##, 5 min. Portal/##OTP##"


@pytest.mark.parametrize("brand", [r"\1 \g<0>", "BRAND", "Caf\u00e9 & Co", "100 %"])
def test_a_brand_is_put_in_as_it_is(brand):
    assert composed("##BRAND## ##OTP##", brand=brand) == f"{brand} ##OTP##"


def test_the_line_not_to_share_is_in_the_messages_language_and_gsm():
    assert composed(do_not_share=True) == f"{DEFAULT}\n{DO_NOT_SHARE['fr']}"
    assert composed(do_not_share=True, language="en") == f"{DEFAULT}\n{DO_NOT_SHARE['en']}"
    assert composed(do_not_share=True, language="bm") == DEFAULT
    assert {encoding_of(line) for line in DO_NOT_SHARE.values()} == {Encoding.GSM_7}


def test_webotps_line_is_the_last_and_the_code_comes_out_behind_its_sign():
    text = composed(webotp_host="portal.example.com", do_not_share=True)
    sms = text.replace("##OTP##", "012345").split("\n")
    assert sms == [
        "Votre code OTP est : 012345",
        DO_NOT_SHARE["fr"],
        "@portal.example.com #012345",
    ]


def test_the_retrievers_hash_is_the_last_line():
    assert composed(sms_retriever_hash=HASH) == f"{DEFAULT}\n{HASH}"


def test_webotp_and_retriever_share_the_last_line():
    text = composed(webotp_host="portal.example.com", sms_retriever_hash=HASH)
    assert text == f"{DEFAULT}\n@portal.example.com ###OTP## {HASH}"
    # As wicg.github.io/sms-one-time-codes/#parsing reads the last line: two marked tokens with a
    # space between, and of the rest only what a % or @ marks.
    line = text.replace("##OTP##", "012345").split("\n")[-1]
    host, code, rest = re.fullmatch(r"@(\S+) #(\S+)(?: (.*))?", line).groups()
    assert (host, code) == ("portal.example.com", "012345")
    assert rest[0] not in "%@"
    assert line.endswith(HASH)


def test_what_a_template_ends_with_leaves_no_empty_line_before_the_last_one():
    assert composed("##OTP##\n\n", sms_retriever_hash=HASH) == f"##OTP##\n{HASH}"
    assert composed("##OTP##\n") == "##OTP##\n"


PIECES = st.lists(
    st.sampled_from(["##OTP##", "##BRAND##", "##MINUTES##", "#", "OTP", "BRAND", " ", "\n", "x"])
).map("".join)


@given(PIECES, st.from_regex(BRAND, fullmatch=True), st.booleans(), st.booleans(), st.booleans())
def test_what_holds_the_code_before_holds_it_after(template, brand, share, webotp, retriever):
    text = compose(
        template,
        brand=brand,
        minutes=5,
        language="fr",
        do_not_share=share,
        webotp_host="a.example" if webotp else None,
        sms_retriever_hash=HASH if retriever else None,
    )
    assert "##OTP##" in text or not holds_code(template)


def test_a_placeholder_whose_signs_another_takes_is_no_place_for_the_code():
    assert holds_code("##BRAND####OTP##")
    assert holds_code("###OTP##")
    assert not holds_code("##BRAND##OTP##")
    assert not holds_code("Code")


@pytest.mark.parametrize("host", ["a.ci", "xn--caf-dma.example", "a-1.b2.example.com", "localhost"])
def test_hosts_are_taken(host):
    assert re.fullmatch(HOST, host)


@pytest.mark.parametrize(
    "host",
    [
        *[
            "",
            "a",
            "A.ci",
            "https://a.ci",
            "a.ci:443",
            "a.ci/",
            "a..ci",
            "-a.ci",
            "a-.ci",
            "a_b.ci",
        ],
        *[
            "10.0.0.1",
            "a.ci.",
            "caf\u00e9.ci",
            "a.ci\n",
            "a b.ci",
            "a" * 64 + ".ci",
            "a." * 130 + "ci",
        ],
    ],
)
def test_what_is_no_host_is_refused(host):
    assert not re.fullmatch(HOST, host)


@pytest.mark.parametrize("text", ["FA+9qCX9VS", "FA+9qCX9VSuX", "FA-9qCX9VSu", "FA+9qCX9VS=", ""])
def test_a_hash_has_eleven_characters_of_base64(text):
    assert re.fullmatch(RETRIEVER_HASH, HASH)
    assert not re.fullmatch(RETRIEVER_HASH, text)


@pytest.mark.parametrize(
    "text",
    [
        DEFAULT,
        "Ça va ? Votre code à usage unique est ##OTP##, {Portal}",
        composed("##BRAND## : ##OTP## (##MINUTES## min)", do_not_share=True, webotp_host="a.ci"),
        composed(webotp_host="portal.example.com", sms_retriever_hash=HASH, do_not_share=True),
        composed("<#> Code : ##OTP##", sms_retriever_hash=HASH),
        "Code ##OTP## : https://a.ci/x#y et #code",
        "Écrivez à aide@portal.ci : ##OTP##",
        "x" * 154 + "##OTP##",
    ],
)
def test_the_linter_has_nothing_against_a_text_that_is_well(text):
    assert remarks(text) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Code", "has no ##OTP##, where the code goes"),
        ("##OTP## ##MINUTE##", "##MINUTE## is no placeholder .* did you mean ##MINUTES##?"),
        ("##OTP## ##otp##", "##otp## is no placeholder .* did you mean ##OTP##?"),
        ("##OTP## #BRAND#", "#BRAND# is no placeholder .* did you mean ##BRAND##?"),
        ("##OTP## ##MINUTES", "##MINUTES is no placeholder .* did you mean ##MINUTES##?"),
        ("##OTP## ##NAME##", "##NAME## is no placeholder and is sent as it stands"),
        ("@a.ci ###OTP##\nCode", "line 1, '@a.ci ###OTP##', is WebOTP's only as the last line"),
        ("##OTP##\n@a.ci ###OTP## x", "the WebOTP line must be @HOST ###OTP## and nothing else"),
        ("##OTP##\n@a.ci ##OTP##", "the WebOTP line must be @HOST ###OTP## and nothing else"),
        ("##OTP##\n@a.ci #123456", "the WebOTP line must be @HOST ###OTP## and nothing else"),
        ("##OTP## @a.ci ###OTP##", "the WebOTP line must be @HOST ###OTP## and nothing else"),
        ("##OTP##\n@https://a.ci ###OTP##", "the WebOTP line .* needs a host name in lower case"),
        ("##OTP##\n@A.ci ###OTP##", "the WebOTP line .* needs a host name in lower case"),
        ("<#> ##OTP##\nabc", "begins with SMS Retriever's <#>, but does not end with a hash"),
        ("##OTP##\nFA+9qCX9VSuX", "ends with FA.9qCX9VSuX, but SMS Retriever's hash is 11 of"),
        (f"##OTP## {'x' * 122}\n{HASH}", "141 bytes: SMS Retriever reads messages of 140"),
    ],
)
def test_the_linter_names_what_is_unwise_in_one_sentence(text, said):
    (remark,) = remarks(text)
    assert re.match(said.replace("?", r"\?").replace("##", "#{2}"), remark)


def test_a_text_of_two_parts_is_told_with_its_price():
    (remark,) = remarks("x" * 155 + "##OTP##")
    assert remark.startswith("2 parts, 40 XOF each instead of 20: 161 septets, of which 160 fit")
    (remark,) = remarks("x" * 155 + "##OTP##", price_xof=None)
    assert remark.startswith("2 parts: 161 septets")
    assert remarks("x" * 155 + "##OTP##", price_xof=1000)[0].startswith("2 parts, 2,000 XOF each")


@pytest.mark.parametrize(("code_length", "parts"), [(6, 1), (7, 2), (9, 2)])
def test_parts_are_counted_with_the_code_as_long_as_it_will_be(code_length, parts):
    text = "x" * 154 + "##OTP##"
    assert size(text, code_length).parts == parts
    assert len(remarks(text, code_length=code_length)) == parts - 1


def test_characters_that_force_ucs2_are_named_once_with_place_and_replacement():
    (remark,) = remarks("Re\u00e7u : ##OTP##, l\u2019acc\u00e8s re\u00e7u\u00a0!")
    assert remark == (
        "UCS-2, where a part holds 70 characters instead of 160, because of \u00e7 at 3 (write c), "
        "\u2019 at 17 (write '), U+00A0 at 28 (write a space); so written it takes 1 part"
    )


def test_what_replacements_would_save_is_told_if_all_have_one():
    ucs2, parts = remarks("re\u00e7u " * 13 + "##OTP##")
    assert ucs2.endswith("; so written it takes 1 part")
    assert parts.startswith("2 parts, 40 XOF each instead of 20: 71 characters of 16 bits")
    assert "so written" not in remarks("re\u00e7u \U0001f600 ##OTP##")[0]


def test_an_invisible_or_combining_character_is_named_by_its_number():
    (remark,) = remarks("e\u0301\u200b##OTP##")
    assert "eU+0301 at 1 (write \u00e9), U+200B at 3 (leave it out)" in remark


def test_of_many_misfits_only_some_are_named():
    (remark,) = remarks("\u0430\u0431\u0432\u0433\u0434\u0435\u0436\u0437##OTP##")
    assert remark.endswith("\u0435 at 6 (no replacement), 2 more")


@given(PIECES | st.text())
def test_any_text_is_linted_in_single_lines_of_text(text):
    assert all(remark and "\n" not in remark for remark in remarks(text))
