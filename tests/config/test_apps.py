"""The apps file, its keys, and what its mistakes look like."""

import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpservice.config.apps import App, Apps, apps_file_lines, new_key
from otpservice.verification.errors import InvalidSettings
from otpservice.verification.policy import Quota

HASH = "ab" * 32

EVERYTHING = f"""
[apps.portal]
key_sha256 = ["{HASH}"]
scopes = ["verify", "admin"]
purposes = ["login", "two-factor"]
sender_id = "Portal"
countries = ["CI"]
routes = ["vavasms-otp"]
send_quota = "1000/hour"
daily_send_budget = 5000
message.fr = "Votre code Portal : ##OTP##"
message.en = "Your Portal code: ##OTP##"
brand = "Portal & Co"
do_not_share = true
webotp_host = "portal.example.com"
sms_retriever_hash = "FA+9qCX9VSu"
"""


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as caught:
        Apps.parse(text)
    return caught.value.problems


def test_every_field_of_an_app_is_read():
    assert list(Apps.parse(EVERYTHING)) == [
        App(
            name="portal",
            key_hashes=(bytes.fromhex(HASH),),
            scopes=frozenset({"verify", "admin"}),
            purposes=frozenset({"login", "two-factor"}),
            sender_id="Portal",
            countries=frozenset({"CI"}),
            routes=("vavasms-otp",),
            send_quota=(Quota(1000, 3600),),
            daily_send_budget=5000,
            messages={"fr": "Votre code Portal : ##OTP##", "en": "Your Portal code: ##OTP##"},
            brand="Portal & Co",
            do_not_share=True,
            webotp_host="portal.example.com",
            sms_retriever_hash="FA+9qCX9VSu",
        )
    ]


def test_an_app_with_only_a_key_may_verify_logins():
    app = Apps.parse(f'[apps.a]\nkey_sha256 = ["{HASH}"]').named("a")
    assert app is not None
    assert (app.scopes, app.purposes) == ({"verify"}, {"login"})
    assert (app.sender_id, app.countries, app.routes) == (None, None, None)
    assert (app.send_quota, app.daily_send_budget, app.messages) == ((), 0, {})
    assert (app.brand, app.do_not_share) == (None, False)
    assert (app.webotp_host, app.sms_retriever_hash) == (None, None)


def test_a_new_key_opens_the_app_whose_lines_were_printed_and_no_other():
    mine, other = new_key(), new_key()
    apps = Apps.parse(apps_file_lines("portal", mine) + apps_file_lines("shop", other))
    assert apps.authenticate(mine) is apps.named("portal")
    assert apps.authenticate(other) is apps.named("shop")
    assert apps.authenticate(new_key()) is None


def test_both_keys_are_good_while_one_replaces_the_other():
    old, new = new_key(), new_key()
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in (new, old)]
    apps = Apps.parse(f"[apps.a]\nkey_sha256 = {hashes}")
    assert apps.authenticate(old) is apps.authenticate(new) is apps.named("a")


def test_upper_case_hashes_are_the_same_hashes():
    key = new_key()
    digest = hashlib.sha256(key.encode()).hexdigest().upper()
    assert Apps.parse(f'[apps.a]\nkey_sha256 = ["{digest}"]').authenticate(key) is not None


@pytest.mark.parametrize("key", ["", " ", "\t"])
def test_a_blank_key_opens_nothing_even_if_its_hash_is_there(key):
    apps = Apps((App("a", key_hashes=(hashlib.sha256(key.encode()).digest(),)),))
    assert apps.authenticate(key) is None


@pytest.mark.parametrize("key", ["", "é", "\udcff", "clé" * 10, " ", "\0", HASH, "x" * 10_000_000])
def test_what_cannot_be_a_key_is_nobodys_key(key):
    started = time.monotonic()
    assert Apps.parse(EVERYTHING).authenticate(key) is None
    assert time.monotonic() - started < 1


@given(st.text())
def test_no_text_opens_an_app_but_its_key(text):
    assert Apps.parse(EVERYTHING).authenticate(text) is None


def test_new_keys_are_long_different_and_can_be_recognised():
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(key.startswith("otps_") and len(key) == 48 for key in keys)


def test_the_lines_for_the_apps_file_do_not_hold_the_key():
    key = new_key()
    lines = apps_file_lines("portal", key)
    assert key not in lines
    assert key.removeprefix("otps_") not in lines


@pytest.mark.parametrize(
    "name", ["", "A", "-a", "a b", "a\n", "a.b", "a" * 33, "é", 'a"]\n[apps.x']
)
def test_no_lines_are_made_for_a_name_no_app_can_have(name):
    with pytest.raises(ValueError, match="app's name"):
        apps_file_lines(name, new_key())


def test_two_apps_with_one_key_are_a_mistake_that_names_both():
    table = f'key_sha256 = ["{HASH}"]\n'
    for other in (table, table.replace(HASH, HASH.upper())):
        assert problems_of(f"[apps.a]\n{table}[apps.b]\n{other}") == (
            "apps.a and apps.b have the same key: give each its own",
        )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('scopes = ["verify", "root"]', "scopes must be among verify, admin, metrics, not 'root'"),
        ("scopes = []", "scopes must be a list of one or more strings, not []"),
        ('scopes = "verify"', "scopes must be a list of one or more strings, not 'verify'"),
        ("scopes = [1]", "scopes must be a list of one or more strings, not [1]"),
        ('purposes = ["Log in"]', "purposes must be 1 to 32 of a-z, 0-9, - and _, not 'Log in'"),
        ('purposes = ["a\\n"]', "purposes must be 1 to 32 of a-z, 0-9, - and _, not 'a\\n'"),
        ('sender_id = "AB"', "sender_id must be 3 to 11 letters and digits, not 'AB'"),
        ("sender_id = 5", "sender_id must be a string, not 5"),
        ('countries = ["ci"]', "countries must be ISO 3166 country codes such as CI, not 'ci'"),
        ("countries = {}", "countries must be a list of one or more strings, not {}"),
        ('routes = ["sms"]', "routes must be among"),
        ('routes = ["vavasms-otp", "vavasms-otp"]', "routes must be among"),
        ('send_quota = "5/fortnight"', "send_quota must be limits such as 5/hour;10/day"),
        ("send_quota = 5", "send_quota must be a string, not 5"),
        ("daily_send_budget = true", "daily_send_budget must be a whole number from 0, not True"),
        ("daily_send_budget = -1", "daily_send_budget must be a whole number from 0, not -1"),
        ('message = "##OTP##"', "message must be one template a language, message.fr"),
        ('message.fr = "Code"', "message must hold ##OTP##, where the code goes"),
        ("message.fr = 1979-05-27", "message must be a string, not datetime.date(1979, 5, 27)"),
        ('message.fr = "##BRAND##OTP##"', "message must hold ##OTP##, where the code goes"),
        ('brand = ""', "brand must be 1 to 40 characters on one line, without #, not ''"),
        ('brand = "##OTP##"', "brand must be 1 to 40 characters on one line, without #"),
        ('brand = "two\\nlines"', "brand must be 1 to 40 characters on one line, without #"),
        ("brand = 7", "brand must be a string, not 7"),
        ('do_not_share = "yes"', "do_not_share must be true or false, not 'yes'"),
        ("do_not_share = 1", "do_not_share must be true or false, not 1"),
        ('webotp_host = "https://a.ci"', "webotp_host must be a host name in lower case, without"),
        ('webotp_host = "A.ci"', "webotp_host must be a host name in lower case, without"),
        ('webotp_host = "a.ci\\n"', "webotp_host must be a host name in lower case, without"),
        ('webotp_host = ["a.ci"]', "webotp_host must be a string, not ['a.ci']"),
        ('sms_retriever_hash = "FA+9"', "sms_retriever_hash must be 11 of A-Z, a-z, 0-9, + and /"),
        ('sms_retriever_hash = "FA-9qCX9VSu"', "sms_retriever_hash must be 11 of A-Z, a-z, 0-9"),
        ("sms_retriever_hash = 12345678901", "sms_retriever_hash must be a string, not 123456"),
        ('message.French = "##OTP##"', "message must be a language code such as fr"),
        ('scope = ["verify"]', "scope is not a setting; did you mean apps.a.scopes?"),
        ('"odd\\nname" = 1', "'odd\\nname' is not a setting"),
    ],
)
def test_a_wrong_value_is_a_problem_that_names_it(line, problem):
    (said,) = problems_of(f'[apps.a]\nkey_sha256 = ["{HASH}"]\n{line}')
    assert said.startswith(f"apps.a.{problem}")


@pytest.mark.parametrize("value", ["[]", '"x"', "1", '["KEY"]', "[1]", "{}", f'["{HASH}"]'])
def test_a_wrong_hash_is_a_problem_that_does_not_repeat_it(value):
    key = new_key()
    repeated = value.replace("KEY", key) if "ab" not in value else f'["{HASH}", "{HASH}"]'
    (said,) = problems_of(f"[apps.a]\nkey_sha256 = {repeated}")
    assert "apps.a.key_sha256 must be a list of one or two" in said
    assert key not in said


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "there is no table [apps.NAME]"),
        ("apps = 5", "there is no table [apps.NAME]"),
        ("apps.a = 5", "apps.a must be a table"),
        ("[apps.a]", "apps.a.key_sha256 is required"),
        *(
            (
                f'[apps.a]\nkey_sha256 = ["{HASH}", "{hashlib.sha256(blank).hexdigest()}"]',
                "apps.a.key_sha256 holds the hash of an empty key: "
                "make a key with `otpservice keys new`",
            )
            for blank in (b"", b" ", b"\n", b"\r\n")
        ),
        ("[app.a]", "app is not a setting; did you mean apps?"),
        ("[apps.Portal]", "apps.'Portal': an app's name must be"),
        ("[apps", "not valid TOML"),
        ("x = " + "[" * 100_000, "not valid TOML"),
        ("x = " + "9" * 5000, "not valid TOML"),
    ],
)
def test_a_wrong_document_is_a_problem_and_no_traceback(text, problem):
    assert any(said.startswith(problem) for said in problems_of(text))


def test_all_mistakes_of_all_apps_are_told_at_once():
    said = problems_of(
        'other = 1\n[apps.a]\nscopes = []\n[apps.b]\nkey_sha256 = []\nroutes = ["x"]'
    )
    assert [line.split(" ")[0] for line in said] == [
        "other",
        "apps.a.key_sha256",
        "apps.a.scopes",
        "apps.b.key_sha256",
        "apps.b.routes",
    ]


FIELDS = {"scopes", "purposes", "sender_id", "countries", "routes", "send_quota", "message"} | {
    "brand",
    "do_not_share",
    "webotp_host",
    "sms_retriever_hash",
}
JSON_LIKE = st.recursive(
    st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "verify", "CI", "##OTP##"]),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=4,
)


@given(
    st.sampled_from(sorted(FIELDS)),
    JSON_LIKE,
)
def test_values_of_any_type_are_read_or_are_problems(name, value):
    toml = repr(value).replace("True", "true").replace("False", "false")
    try:
        Apps.parse(f'[apps.a]\nkey_sha256 = ["{HASH}"]\n{name} = {toml}')
        problems = ()
    except InvalidSettings as error:
        problems = error.problems
    assert all(f"apps.a.{name} " in problem for problem in problems)


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path):
    binary = tmp_path / "apps.toml"
    binary.write_bytes(b"\xff\xfe")
    for path in (binary, tmp_path, tmp_path / "absent", "\0"):
        with pytest.raises(InvalidSettings, match="names a file that"):
            Apps.load(str(path))


def test_an_apps_repr_shows_no_hash():
    assert "key_hashes" not in repr(Apps.parse(EVERYTHING))
