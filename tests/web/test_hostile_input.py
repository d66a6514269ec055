"""Whatever is typed or forged, it is refused in words, and nothing is sent, asked or echoed."""

import json
import sys
import unicodedata
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from otpservice.verification.errors import InvalidPhone
from otpservice.verification.phone import PhoneNumber
from otpservice.web.api.schemas import ConfirmRequest
from tests.conftest import KEYS
from tests.web.conftest import PHONE

CODE = "123456"
TOKEN = "inbound-token-of-the-tests-" + "x" * 16
KEY = "idempotency-key-of-the-tests"

# Digits and numbers of all scripts, separators, controls, invisible marks, dashes, signs.
SUSPECT = {"Nd", "Nl", "No", "Zs", "Zl", "Zp", "Cc", "Cf", "Pd", "Pc", "Sk", "Mn", "Me"}
LOOKALIKES = [
    character
    for character in map(chr, range(128, sys.maxunicode + 1))
    if unicodedata.category(character) in SUSPECT
]
ASCII = [chr(n) for n in range(128)]

FULLWIDTH = "\uff11\uff12\uff13\uff14\uff15\uff16"
INJECTIONS = [
    "&otp=000000",
    "%26otp%3D000000",
    "\r\nX-Evil: 1",
    "\n",
    "\0",
    ",+2250709000002",
    "+2250709000001,+2250709000002",
    ";ext=5",
    "../../health",
    "..%2f",
    "' OR '1'='1",
    "{{7*7}}${7*7}",
    "\u202e",
    "\ud800",
    "\ufeff",
    FULLWIDTH,
    "\u0661\u0662\u0663\u0664\u0665\u0666",
    "1\u20e32\u20e33\u20e34\u20e3",
    "x" * 3000,
]
WRONG_TYPES = [None, True, False, 0, 7, -1, 3.5, 10**30, [], ["+2250709000001"], {}, {"a": "b"}]

SEND = {"phone": PHONE, "purpose": "login", "locale": "fr", "client_ip": "192.0.2.1"}
CHECK = {"code": CODE, "phone": PHONE, "purpose": "login", "client_ip": "192.0.2.1"}
BY_ID = {"code": CODE, "id": "ver_" + "0" * 36}
FIELDS = [
    *(("/login-code", SEND, name) for name in SEND),
    *(("/confirm", CHECK, name) for name in CHECK),
    ("/confirm", BY_ID, "id"),
]

many = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def client(make_client):
    wide = {"phone_rate_limit": "1000000/minute", "app_rate_limit": "1000000/minute"}
    return make_client(inbound_token=TOKEN, **wide)


@pytest.fixture
def untouched(client, route):
    """The client; at the end nobody was sent anything or asked about anything."""
    yield client
    assert (route.sent, route.checked) == ([], [])


def refused(answer, *statuses):
    """A problem of one of these statuses that repeats no secret; returns its code."""
    problem = answer.get_json()
    assert answer.status_code in statuses, answer.get_data()
    assert answer.mimetype == "application/problem+json"
    assert problem["status"] == answer.status_code
    assert "X-Evil" not in answer.headers
    for secret in (CODE, PHONE[1:], "2250709000002", FULLWIDTH, KEYS["portal"], KEY, TOKEN):
        assert secret not in json.dumps(problem, ensure_ascii=False)
        assert secret not in str(answer.headers)
    return problem["code"]


# Every character there is


def spellings(digits, character):
    """The character before, among, after and in place of the digits."""
    yield character + digits
    yield digits[:3] + character + digits[3:]
    yield digits + character
    yield digits[:3] + character + digits[4:]


def test_no_other_character_passes_for_a_digit_of_a_code():
    schema = ConfirmRequest()
    others = [character for character in ASCII if character not in "0123456789"]
    for character in [*others, *LOOKALIKES]:
        for code in spellings(CODE, character):
            with pytest.raises(ValidationError) as refusal:
                schema.load({"code": code, "id": "x"})
            assert set(refusal.value.messages) == {"code"}


def test_no_other_character_passes_in_a_phone_number():
    others = [character for character in ASCII if character not in "0123456789 +().-/"]
    for character in [*others, *LOOKALIKES]:
        for number in spellings(PHONE, character):
            with pytest.raises(InvalidPhone):
                PhoneNumber.parse(number, region="CI")


def test_a_plus_is_only_at_the_front_of_a_phone_number():
    for at in range(1, len(PHONE) + 1):
        with pytest.raises(InvalidPhone):
            PhoneNumber.parse(f"{PHONE[:at]}+{PHONE[at:]}", region="CI")


@many
@given(st.text(alphabet=st.sampled_from("+0123456789 ().-/"), max_size=40))
@example("+225 07 09 00 00 01")
@example("07/09/00/00/01")
@example("(07) 09.00-00 01 ")
def test_whatever_is_typed_on_a_keypad_is_a_number_or_refused(text):
    try:
        phone = PhoneNumber.parse(text, region="CI")
    except InvalidPhone:
        return
    digits = "".join(filter(str.isdigit, text))
    assert phone.e164.isascii()
    assert phone.digits.endswith(digits.lstrip("0")[-8:])
    assert PhoneNumber.parse(phone.e164, region="CI") == phone


@many
@given(st.text(max_size=12) | st.from_regex(r"\A\d{3,10}\s?\Z"))
def test_only_four_to_nine_ascii_digits_are_a_code(text):
    good = 4 <= len(text) <= 9 and text.isascii() and text.isdigit()
    try:
        loaded = ConfirmRequest().load({"code": text, "id": "x"})
    except ValidationError:
        assert not good
    else:
        assert good
        assert loaded["code"].digits == text


@many
@given(st.sampled_from(LOOKALIKES), st.integers(0, 3), st.sampled_from(["json", "form"]))
def test_lookalikes_are_refused_at_the_door(untouched, character, place, kind):
    for path, name in (("/confirm", "code"), ("/confirm", "phone"), ("/login-code", "phone")):
        fields = dict(CHECK if path == "/confirm" else SEND)
        fields[name] = list(spellings(fields[name], character))[place]
        body = {"json": fields} if kind == "json" else {"data": fields}
        assert refused(untouched.post(path, **body), 400).startswith("invalid_")


# Types and shapes


@pytest.mark.parametrize(("path", "fields", "name"), FIELDS)
def test_a_value_of_another_type_is_refused(untouched, path, fields, name):
    for value in WRONG_TYPES:
        answer = untouched.post(path, json={**fields, name: value})
        assert refused(answer, 400) == "invalid_request"
        assert list(answer.get_json()["errors"]) == [name]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(["phone", "code", "id", "purpose", "locale", "client_ip", "x"])


@many
@given(
    path=st.sampled_from(["/login-code", "/confirm"]),
    body=st.dictionaries(NAMES, JSON | st.sampled_from(INJECTIONS), max_size=5) | JSON,
)
def test_no_json_is_an_error_of_ours(untouched, path, body):
    kind = "application/json"
    refused(untouched.post(path, data=json.dumps(body), content_type=kind), 400, 403, 404, 413)


@many
@given(
    path=st.sampled_from(["/login-code", "/confirm", f"/webhooks/vavasms/{TOKEN}"]),
    body=st.binary(max_size=200),
    kind=st.sampled_from(
        [
            "application/json",
            "application/json; charset=utf-16",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain",
            "application/",
            ";",
        ]
    ),
)
def test_no_bytes_are_an_error_of_ours(untouched, path, body, kind):
    answer = untouched.post(path, data=body, content_type=kind)
    if path.startswith("/webhooks") and answer.status_code == 204:
        return
    refused(answer, 400, 403, 404, 413, 415)


@pytest.mark.parametrize("length", [4097, 100_000])
@pytest.mark.parametrize("path", ["/login-code", "/confirm"])
def test_a_long_body_is_refused_unread(untouched, path, length):
    answer = untouched.post(path, data=b"9" * length, content_type="application/json")
    assert refused(answer, 413) == "payload_too_large"


@pytest.mark.parametrize("secret", [PHONE[1:], CODE, KEYS["portal"]])
@pytest.mark.parametrize("path", ["/login-code", "/confirm"])
def test_a_secret_given_as_a_name_is_not_repeated(untouched, path, secret):
    form = "application/x-www-form-urlencoded"
    refused(untouched.post(path, data=secret, content_type=form), 400)
    refused(untouched.post(path, json={secret: secret}), 400)
    refused(untouched.post(f"{path}?{secret}", json=SEND), 400)


# Injections


@pytest.mark.parametrize("kind", ["json", "form"])
@pytest.mark.parametrize(("path", "fields", "name"), FIELDS)
def test_an_injection_is_refused_in_every_field(untouched, path, fields, name, kind):
    for injection in INJECTIONS:
        for value in (injection, fields[name] + injection):
            forged = {**fields, name: value}
            if kind == "json":
                answer = untouched.post(path, json=forged)
            else:
                body = urlencode(forged, errors="surrogatepass")
                form = "application/x-www-form-urlencoded"
                answer = untouched.post(path, data=body, content_type=form)
            refused(answer, 400, *([404] if name == "id" else []))


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_injection_in_an_id_names_no_verification(untouched, method):
    good = BY_ID["id"]
    for injection in INJECTIONS:
        for id in (injection, good + injection, injection + good):
            path = quote(id, safe="", errors="surrogatepass")
            refused(untouched.open(f"/verifications/{path}", method=method), 404)


def test_an_injection_in_the_inbound_token_is_not_found(untouched):
    for injection in INJECTIONS:
        path = quote(TOKEN + injection, safe="", errors="surrogatepass")
        refused(untouched.post(f"/webhooks/vavasms/{path}", data={"message_id": "1"}), 404)


# What can stand in a header at all: servers hand on Latin-1 without line ends.
HEADER_TEXT = [
    text
    for text in [
        *INJECTIONS,
        "",
        " ",
        '"',
        '"open',
        "\xa0",
        "\xff" * 9,
        "\x7f",
        "a,b",
        "=?utf-8?q?=31?=",
    ]
    if all(ord(character) < 256 for character in text) and not set(text) & set("\r\n")
]


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key"])
def test_a_forged_key_is_nobodys(untouched, name):
    del untouched.environ_base["HTTP_AUTHORIZATION"]
    for text in HEADER_TEXT:
        for value in (
            text,
            f"Bearer {text}",
            f"Bearer {KEYS['portal']}{text or 'x'}",
            KEYS["portal"][:-1],
        ):
            if value.strip() in {KEYS["portal"], f"Bearer {KEYS['portal']}"}:
                continue
            answer = untouched.post("/login-code", json=SEND, headers={name: value})
            assert refused(answer, 401) == "unauthorized"


def test_a_forged_idempotency_key_is_refused_or_a_key(client, route):
    for text in HEADER_TEXT:
        answer = client.post("/login-code", json=SEND, headers={"Idempotency-Key": text})
        good = text.isascii() and text.isprintable() and " " not in text and 0 < len(text) <= 255
        if good and not text.startswith('"'):
            assert answer.status_code in {201, 429}
        else:
            refused(answer, 400)
    assert len(route.sent) == 1


@pytest.mark.parametrize(
    "name",
    [
        "X-Request-Id",
        "X-Forwarded-For",
        "Forwarded",
        "Accept",
        "Accept-Encoding",
        "Cookie",
        "Range",
    ],
)
def test_no_other_header_changes_anything(untouched, name):
    for text in HEADER_TEXT:
        answer = untouched.get("/verifications/" + BY_ID["id"], headers={name: text})
        refused(answer, 404)
        assert len(answer.headers["X-Request-Id"]) <= 64


def test_a_right_code_with_something_behind_it_approves_nothing(client, send, confirm, route):
    id = send().get_json()["id"]
    for injection in [*INJECTIONS, " ", "\t", "\x0b", "\x85", "\u2028"]:
        refused(confirm(CODE + injection, id=id), 400)
    assert route.checked == []
    assert client.get(f"/verifications/{id}").get_json()["attempts_left"] == 5
    assert confirm(CODE, id=id).status_code == 200
