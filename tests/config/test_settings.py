"""Every variable: its default, its range, where it may come from, and what its mistakes say."""

import dataclasses
import hashlib
import re
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from otpservice.config.apps import App
from otpservice.config.settings import SETTINGS, Settings
from otpservice.verification.errors import InvalidSettings
from otpservice.verification.policy import Policy, Quota

KEY = "k3Y-0f.Many~diff_rent*chars+1976!"
SHORTEST_TOKEN = "aB3-" * 8
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def apps_file(tmp_path):
    path = tmp_path / "apps.toml"
    path.write_text(f'[apps.portal]\nkey_sha256 = ["{hashlib.sha256(b"x").hexdigest()}"]\n')
    return path


@pytest.fixture
def environ(apps_file):
    return {
        "PATH": "/usr/bin",
        "OTPSERVICE_REDIS_URL": "redis://127.0.0.1:6379/0",
        "OTPSERVICE_SECRET_KEY": KEY,
        "OTPSERVICE_APPS_FILE": str(apps_file),
        "OTPSERVICE_VAVASMS_USERNAME": "demo@example.com",
        "OTPSERVICE_VAVASMS_PASSWORD": "demo-pass-word",
        "OTPSERVICE_VAVASMS_SENDER_ID": "DEMO",
    }


def read(environ, **changes):
    """Settings from ``environ`` with other values, by names without their prefix."""
    return Settings.from_env(environ | {f"OTPSERVICE_{k}": v for k, v in changes.items()})


def problems_of(environ, **changes):
    with pytest.raises(InvalidSettings) as caught:
        read(environ, **changes)
    return caught.value.problems


DEFAULTS = {
    "redis_wait_replicas": 0,
    "vavasms_url": "https://vavasms.com/api",
    "vavasms_status_path": None,
    "vavasms_plus_sign": False,
    "vavasms_verify_sender_id": False,
    "vavasms_lang": None,
    "routes": ("vavasms-otp", "vavasms-text"),
    "http_route_url": None,
    "http_route_secret": None,
    "inbound_token": None,
    "inbound_addresses": (),
    "default_region": "CI",
    "countries": frozenset({"CI", "ML"}),
    "policy": Policy(
        code_length=6,
        code_ttl=300,
        max_attempts=5,
        resend_after=60,
        phone_quota=(Quota(5, 3600), Quota(10, 86_400)),
        address_quota=(Quota(20, 3600),),
        address_failure_quota=(Quota(50, 3600),),
        prefix_quota=(Quota(30, 3600),),
        daily_budget=0,
        record_only=frozenset(),
        lockout_failures=10,
        lockout_seconds=3600,
        lockout_total=100,
    ),
    "phone_rate_limit": "30/minute",
    "app_rate_limit": "600/minute",
    "pumping_guard": "record",
    "denied_numbers": (),
    "allowed_numbers": (),
    "drain_seconds": 2,
    "keep_alive": 75,
    "breaker_failures": 5,
    "breaker_seconds": 30,
    "message": "Votre code OTP est : ##OTP##",
    "messages": {},
    "default_locale": "fr",
    "sms_price_xof": None,
    "low_balance_xof": None,
    "sending": True,
    "log_level": "INFO",
    "warnings": (),
}


@pytest.mark.parametrize(("field", "value"), DEFAULTS.items())
def test_what_is_not_set_has_its_default(environ, field, value):
    assert getattr(read(environ), field) == value


def test_every_field_is_covered_by_these_tests(environ):
    given = {"redis_url", "secret_keys", "apps", "vavasms_username", "vavasms_password"}
    grouped = {"code_length", "code_ttl", "max_attempts", "provider_timeout", "resend_after"} | {
        "phone_send_quota",
        "address_send_quota",
        "address_failure_quota",
        "prefix_send_quota",
        "daily_send_budget",
        "quota_record_only",
        "lockout_failures",
        "lockout_seconds",
        "lockout_total",
        "message_fr",
        "message_en",
    }
    fields = {field.name for field in dataclasses.fields(Settings)}
    read_alone = DEFAULTS.keys() - {"warnings", "policy", "messages"}
    assert fields == read_alone | grouped | given | {"vavasms_sender_id"}


def test_defaults_are_read_like_any_other_text(environ):
    spelled = {s.name: s.default for s in SETTINGS if s.default is not None}
    given = {name.removeprefix("OTPSERVICE_") for name in environ}
    said = {name: text for name, text in spelled.items() if name not in given}
    assert read(environ, **said) == read(environ)


def test_every_variable_has_a_meaning_of_one_line():
    for setting in SETTINGS:
        assert setting.meaning
        assert "\n" not in setting.meaning
        assert setting.variable == f"OTPSERVICE_{setting.name}"
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)


NUMBERS = [
    ("CODE_LENGTH", 6, 9),
    ("CODE_TTL", 1, 600),
    ("MAX_ATTEMPTS", 1, 10),
    ("RESEND_AFTER", 0, 600),
    ("DAILY_SEND_BUDGET", 0, 999_999_999),
    ("LOCKOUT_FAILURES", 1, 100),
    ("LOCKOUT_SECONDS", 1, 86_400),
    ("LOCKOUT_TOTAL", 0, 10_000),
    ("DRAIN_SECONDS", 0, 60),
    ("KEEP_ALIVE", 0, 3600),
    ("BREAKER_FAILURES", 0, 1000),
    ("BREAKER_SECONDS", 1, 3600),
]


@pytest.mark.parametrize(("name", "low", "high"), NUMBERS)
def test_numbers_are_taken_up_to_both_ends_of_their_range_and_no_further(environ, name, low, high):
    for good in (low, high):
        settings = read(environ, **{name: str(good)})
        field = {"DAILY_SEND_BUDGET": "daily_budget"}.get(name, name.lower())
        holder = settings if hasattr(settings, field) else settings.policy
        assert getattr(holder, field) == good
    for bad in (
        str(low - 1),
        str(high + 1),
        "",
        "x",
        " 7",
        "7\n",
        "+7",
        "7.0",
        "\u0667",
        "9" * 5000,
    ):
        (said,) = problems_of(environ, **{name: bad})
        assert said.startswith(
            f"OTPSERVICE_{name} must be a whole number from {low} to {high}, not"
        )
        assert len(said) < 150


def test_a_problem_says_what_is_allowed_and_what_was_there(environ):
    assert problems_of(environ, CODE_LENGTH="5") == (
        "OTPSERVICE_CODE_LENGTH must be a whole number from 6 to 9, not '5'",
    )


BAD = {
    "REDIS_WAIT_REPLICAS": ["-1", "6", "1.0", "one"],
    "REDIS_URL": [
        "redis://h:6379/0?socket_timeout=5",
        "redis://h:6379/0?max_connections=1000",
        "redis://h:6379/0?db=x",
        "rediss://h:6379/0?ssl_cert_reqs=none",
        "rediss://h:6379/0?ssl_ca_certs=/no/such/file",
        "redis://h:6379/0?ssl_ca_certs=/etc/ca.pem",
        "",
        "http://h:6379",
        "redis://",
        "redis:///0",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:1/x",
        "redis://h:1 ",
        "unix://relative",
        "unix://",
        "redis+sentinel://h:1,h:2",
        "redis+sentinel://h/main",
        "redis+sentinel://h:1,h:99999/main",
        "redis+cluster://h",
        "redis+cluster://h:1,",
        "redis+sentinel://h:1/main?socket_timeout=5",
        "redis+sentinel://h:1/main?ssl_ca_certs=/etc/ca.pem",
        "rediss+sentinel://h:1/main?ssl_ca_certs=/no/such/file",
        "redis+cluster://h:1?db=1",
        "rediss+cluster://h:1?ssl_check_hostname=no",
        "unix+sentinel://h:1/main",
        "127.0.0.1:6379",
    ],
    "SECRET_KEY": ["", "x" * 31, f"{KEY},", f"{KEY},{KEY}", f"{KEY},{KEY}2,{KEY}3", "é" * 15],
    "APPS_FILE": ["", "/nowhere/apps.toml", "/"],
    "VAVASMS_URL": [
        "",
        "vavasms.com/api",
        "http://vavasms.com/api",
        "ftp://vavasms.com",
        "https://",
        "https://user:pw@vavasms.com",
        "https://vavasms.com/api?x=1",
        "https://vavasms.com/api#x",
        "https://vavasms.com:0/api",
        "https://vavasms.com:99999/api",
        "http://127.0.0.1@vavasms.com",
        "http://localhost\\@vavasms.com",
        "http://localhost.example.com",
        "http://127.1",
        "http://0.0.0.0:8025",
        "http://[::2]/",
        "http://[::1/",
        "https://[zz]/",
        " https://vavasms.com",
        "https://vavasms.com\n",
    ],
    "VAVASMS_USERNAME": [""],
    "VAVASMS_PASSWORD": [""],
    "VAVASMS_SENDER_ID": ["", "AB", "A" * 12, "MY-APP", "Été", "DEMO\n"],
    "VAVASMS_STATUS_PATH": [
        "/x",
        "x/",
        "../x",
        "x/../y",
        ".",
        "https://e.com/x",
        "//e.com",
        "x.php",
    ],
    "VAVASMS_PLUS_SIGN": ["", "yes", "ON", "1"],
    "VAVASMS_VERIFY_SENDER_ID": ["", "true"],
    "VAVASMS_LANG": ["f", "fra", "f1"],
    "ROUTES": ["", "sms", "vavasms-otp,", "vavasms-otp,vavasms-otp"],
    "HTTP_ROUTE_URL": ["http://gateway.example.com", "gateway", "https://a:b@gateway.example.com"],
    "HTTP_ROUTE_SECRET": ["secret", "whsec_", "whsec_????", "whsec_c2hvcnQ=", WEBHOOK_SECRET[6:]],
    "INBOUND_TOKEN": ["a" * 31, "a" * 31 + "/", "a" * 40 + " ", "é" * 32],
    "INBOUND_ADDRESSES": ["192.0.2.1/24", "192.0.2.256", "sms.example.com", "192.0.2.1,", "1"],
    "DEFAULT_REGION": ["", "ci", "XX", "CI,ML", "CIV"],
    "COUNTRIES": ["", "CI,XX", "ci", "CI;ML", "CI,"],
    "CODE_LENGTH": ["4"],
    "CODE_TTL": ["601"],
    "MAX_ATTEMPTS": ["0"],
    "RESEND_AFTER": ["-1"],
    "PHONE_RATE_LIMIT": ["", "30", "0/minute", "30/fortnight", "30/month", "30 minutes"],
    "APP_RATE_LIMIT": ["", "x"],
    "PHONE_SEND_QUOTA": ["5", "0/hour", "5/hour;0/day", "5/2days", "\u0665/hour", "5/hour;;"],
    "ADDRESS_SEND_QUOTA": ["20/year"],
    "ADDRESS_FAILURE_QUOTA": ["-1/hour"],
    "PREFIX_SEND_QUOTA": ["many"],
    "QUOTA_RECORD_ONLY": ["day", "prefix;address", "prefix,", "Prefix"],
    "DAILY_SEND_BUDGET": ["-1"],
    "LOCKOUT_FAILURES": ["0"],
    "LOCKOUT_SECONDS": ["0"],
    "LOCKOUT_TOTAL": ["-1"],
    "PUMPING_GUARD": ["", "on", "Record"],
    "DENY_FILE": ["/nowhere/deny", "/"],
    "ALLOW_FILE": ["/nowhere/allow", "\0"],
    "PROVIDER_TIMEOUT": ["", "0.9", "30.1", "nan", "inf", "1e1", " 5", "\u0665", "5."],
    "BREAKER_FAILURES": ["-1"],
    "DRAIN_SECONDS": ["61", "2.5"],
    "KEEP_ALIVE": ["-1", "3601", "2.5"],
    "BREAKER_SECONDS": ["0"],
    "MESSAGE": ["", "Votre code : 123456", "##otp##", "#OTP#", "##BRAND##OTP##"],
    "MESSAGE_FR": ["Votre code"],
    "MESSAGE_EN": ["Your code"],
    "DEFAULT_LOCALE": ["", "FR", "french", "fr-CI"],
    "SMS_PRICE_XOF": ["-1", "20.5", "20 XOF", "1000000000", "\u0662"],
    "LOW_BALANCE_XOF": ["-1", "5,000", " 5", "1000000000"],
    "SENDING": ["", "no", "OFF", "on "],
    "LOG_LEVEL": ["", "info", "TRACE", "10"],
}


def test_every_variable_has_values_that_are_refused():
    assert BAD.keys() == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize(("name", "text"), [(name, t) for name in BAD for t in BAD[name]])
def test_a_bad_value_is_one_problem_that_names_its_variable(environ, name, text):
    (said,) = problems_of(environ, **{name: text})
    assert re.match(rf"OTPSERVICE_{name}\b", said)
    assert "\n" not in said


@pytest.mark.parametrize("name", [s.name for s in SETTINGS if s.default is None])
def test_what_is_required_is_missed_by_name(environ, name):
    del environ[f"OTPSERVICE_{name}"]
    (said,) = problems_of(environ)
    assert said.startswith(f"OTPSERVICE_{name} is required: ")


def test_all_mistakes_are_told_at_once(environ):
    del environ["OTPSERVICE_SECRET_KEY"]
    bad = {name: texts[-1] for name, texts in BAD.items() if name != "SECRET_KEY"}
    said = problems_of(environ, **bad, CODE_LENGHT="6")
    named = [re.split(r"[ :]", problem)[0] for problem in said]
    assert sorted(named) == sorted(
        {f"OTPSERVICE_{name}" for name in BAD} | {"OTPSERVICE_CODE_LENGHT"}
    )


def test_an_unknown_name_is_a_mistake_with_the_name_that_was_meant(environ):
    assert problems_of(environ, CODE_LENGHT="6") == (
        "OTPSERVICE_CODE_LENGHT is not a setting; did you mean OTPSERVICE_CODE_LENGTH?",
    )


def test_names_of_other_programs_are_none_of_our_business(environ):
    assert read(environ | {"OTPSERVICES_X": "1", "otpservice_x": "1", "XOTPSERVICE_Y": "1"})


@pytest.mark.parametrize("name", [s.name for s in SETTINGS if s.file_variant])
def test_every_variable_may_be_in_a_file_instead(environ, tmp_path, name):
    setting = next(s for s in SETTINGS if s.name == name)
    text = environ.pop(setting.variable, setting.default)
    (tmp_path / "value").write_text(f"{text}\n")
    expected = read(environ, **{name: text})
    assert read(environ | {setting.file_variable: str(tmp_path / "value")}) == expected


@pytest.mark.parametrize(
    ("content", "password"), [("p\n", "p"), ("p", "p"), ("p\r\n", "p"), (" p ", " p ")]
)
def test_one_new_line_at_the_end_of_a_file_is_no_part_of_the_secret(
    environ, tmp_path, content, password
):
    del environ["OTPSERVICE_VAVASMS_PASSWORD"]
    (tmp_path / "pw").write_text(content)
    settings = read(environ, VAVASMS_PASSWORD_FILE=str(tmp_path / "pw"))
    assert settings.vavasms_password == password


@pytest.mark.parametrize("name", ["SECRET_KEY", "VAVASMS_USERNAME", "VAVASMS_PASSWORD"])
@pytest.mark.parametrize("content", [" " * 40, "\n\n", "\t \n", "a" * 40 + "\nmore", "a\r" * 40])
def test_a_secret_that_is_blank_or_of_several_lines_is_a_mistake(environ, tmp_path, name, content):
    (tmp_path / "secret").write_bytes(content.encode())
    del environ[f"OTPSERVICE_{name}"]
    (said,) = problems_of(environ, **{f"{name}_FILE": str(tmp_path / "secret")})
    assert said == (
        f"OTPSERVICE_{name} (from OTPSERVICE_{name}_FILE) must be one line that is not blank"
    )


def test_the_countries_of_an_app_are_among_the_services(environ, apps_file):
    apps_file.write_text(apps_file.read_text() + 'countries = ["CI", "FR", "SN"]\n')
    assert problems_of(environ, COUNTRIES="CI,SN") == (
        "OTPSERVICE_APPS_FILE: apps.portal.countries holds FR, which OTPSERVICE_COUNTRIES does not",
    )


def test_a_bad_value_in_a_file_names_the_variable_and_the_one_with_the_path(environ, tmp_path):
    (tmp_path / "length").write_text("5\n")
    (said,) = problems_of(environ, CODE_LENGTH_FILE=str(tmp_path / "length"))
    assert said == (
        "OTPSERVICE_CODE_LENGTH (from OTPSERVICE_CODE_LENGTH_FILE) "
        "must be a whole number from 6 to 9, not '5'"
    )


def test_a_value_and_a_file_for_it_are_a_mistake(environ, tmp_path):
    (tmp_path / "key").write_text(KEY)
    assert problems_of(environ, SECRET_KEY_FILE=str(tmp_path / "key")) == (
        "OTPSERVICE_SECRET_KEY and OTPSERVICE_SECRET_KEY_FILE are both set: keep one of them",
    )


@pytest.mark.parametrize("path", ["/nowhere/key", "/", "", "a\0b", "x" * 5000])
def test_a_file_that_cannot_be_read_is_a_mistake(environ, path):
    del environ["OTPSERVICE_SECRET_KEY"]
    (said,) = problems_of(environ, SECRET_KEY_FILE=path)
    assert said.startswith("OTPSERVICE_SECRET_KEY_FILE names a file that cannot be read: ")


def test_bytes_that_are_no_text_are_a_mistake(environ, tmp_path):
    (said,) = problems_of(environ, MESSAGE="##OTP## \udcff")
    assert said == "OTPSERVICE_MESSAGE is not UTF-8 text"
    (tmp_path / "binary").write_bytes(b"\xff")
    (said,) = problems_of(environ, MESSAGE_FILE=str(tmp_path / "binary"))
    assert said == "OTPSERVICE_MESSAGE_FILE names a file that is not UTF-8 text"


def test_the_apps_file_is_a_path_already_and_has_no_file_variant(environ, apps_file):
    (said,) = problems_of(environ, APPS_FILE_FILE=str(apps_file))
    assert said.startswith("OTPSERVICE_APPS_FILE_FILE is not a setting")


def test_mistakes_in_the_apps_file_are_told_with_the_others(environ, apps_file):
    apps_file.write_text('[apps.a]\nkey_sha256 = []\nscopes = ["root"]\n')
    said = problems_of(environ, SENDING="maybe")
    assert len(said) == 3
    assert said[0].startswith("OTPSERVICE_APPS_FILE: apps.a.key_sha256 must be")
    assert said[1].startswith("OTPSERVICE_APPS_FILE: apps.a.scopes must be")
    assert said[2].startswith("OTPSERVICE_SENDING must be")


SECRETS = ["REDIS_URL", "SECRET_KEY", "VAVASMS_PASSWORD", "HTTP_ROUTE_SECRET", "INBOUND_TOKEN"]


@hypothesis_settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(SECRETS),
    secret=st.text("abcdefgXYZ0123456789/:@,?#", min_size=12, max_size=60),
    as_file=st.booleans(),
)
def test_no_problem_and_no_repr_ever_shows_a_secret(environ, name, secret, as_file):
    marked = f"Zq9{secret}"
    variable = f"OTPSERVICE_{name}{'_FILE' if as_file else ''}"
    changed = {k: v for k, v in environ.items() if k != f"OTPSERVICE_{name}"} | {variable: marked}
    try:
        text = repr(Settings.from_env(changed))
    except InvalidSettings as error:
        text = str(error) + repr(error)
    assert "Zq9" not in text


def test_the_repr_of_settings_shows_no_secret(environ, tmp_path):
    (tmp_path / "deny").write_text("+2250709000001\n")
    changes = {
        "REDIS_URL": "redis://user:s3cr3t-one@h:6379",
        "VAVASMS_PASSWORD": "s3cr3t-two",
        "HTTP_ROUTE_SECRET": WEBHOOK_SECRET,
        "INBOUND_TOKEN": SHORTEST_TOKEN,
        "DENY_FILE": str(tmp_path / "deny"),
    }
    shown = repr(read(environ, **changes))
    for secret in ("s3cr3t", WEBHOOK_SECRET, SHORTEST_TOKEN, KEY, "0709000001"):
        assert secret not in shown


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h:6379/3",
        "redis://:pw@[::1]:6379?db=3",
        "rediss://user:p%40ss@redis.example.com:6380/0",
        "unix:///run/redis.sock?db=0",
        "redis+sentinel://h1:26379,h2:26379/main",
        "redis+sentinel://user:pw@h1:26379,[::1]:26379/main/2",
        "redis+sentinel://h1:26379/main?sentinel_username=u&sentinel_password=p%40ss",
        "rediss+sentinel://user:pw@h1:26379,h2:26379/main/2",
        "redis+cluster://h1:7000",
        "rediss+cluster://user:pw@h1:7000,h2:7001",
        "redis+cluster://user:p@w@h1:7000,h2:7001",
    ],
)
def test_every_form_of_redis_url_is_taken_as_it_is(environ, url):
    assert read(environ, REDIS_URL=url).redis_url == url


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://sms.example.com/api/", "https://sms.example.com/api"),
        ("https://sms.example.com:8443", "https://sms.example.com:8443"),
        ("http://127.0.0.1:8025/api", "http://127.0.0.1:8025/api"),
        ("http://localhost:8025/api/", "http://localhost:8025/api"),
        ("http://[::1]:8025/api", "http://[::1]:8025/api"),
    ],
)
def test_provider_urls_are_https_or_loopback_and_lose_their_last_slash(environ, url, kept):
    settings = read(environ, VAVASMS_URL=url, HTTP_ROUTE_URL=url)
    assert (settings.vavasms_url, settings.http_route_url) == (kept, kept)


def test_secret_keys_are_one_or_two_newest_first(environ):
    assert read(environ).secret_keys == (KEY.encode(),)
    assert read(environ, SECRET_KEY=f"{KEY}2, {KEY}1").secret_keys == (
        f"{KEY}2".encode(),
        f"{KEY}1".encode(),
    )
    assert read(environ, SECRET_KEY="é" * 16).secret_keys == (("é" * 16).encode(),)


def test_quotas_may_be_several_or_off_and_lists_may_have_spaces(environ):
    settings = read(
        environ,
        PHONE_SEND_QUOTA="",
        PREFIX_SEND_QUOTA="3/2minutes; 9 per day",
        COUNTRIES="CI, SN",
        QUOTA_RECORD_ONLY="prefix, address",
    )
    assert settings.policy.phone_quota == ()
    assert settings.policy.prefix_quota == (Quota(3, 120), Quota(9, 86_400))
    assert settings.countries == {"CI", "SN"}
    assert settings.policy.record_only == {"prefix", "address"}


def test_what_is_off_by_default_can_be_turned_on(environ):
    settings = read(
        environ,
        VAVASMS_STATUS_PATH="text/status",
        VAVASMS_PLUS_SIGN="on",
        VAVASMS_VERIFY_SENDER_ID="on",
        VAVASMS_LANG="fr",
        HTTP_ROUTE_SECRET=WEBHOOK_SECRET,
        INBOUND_TOKEN=SHORTEST_TOKEN,
        INBOUND_ADDRESSES="192.0.2.7, 2001:db8::/32",
        PROVIDER_TIMEOUT="2.5",
        SENDING="off",
        PUMPING_GUARD="enforce",
        LOG_LEVEL="DEBUG",
    )
    assert (settings.vavasms_status_path, settings.vavasms_lang) == ("text/status", "fr")
    assert [str(network) for network in settings.inbound_addresses] == [
        "192.0.2.7/32",
        "2001:db8::/32",
    ]
    assert settings.vavasms_plus_sign
    assert settings.vavasms_verify_sender_id
    assert settings.http_route_secret == WEBHOOK_SECRET
    assert settings.inbound_token == SHORTEST_TOKEN
    assert (settings.policy.provider_timeout, settings.sending) == (2.5, False)
    assert (settings.pumping_guard, settings.log_level) == ("enforce", "DEBUG")


def test_number_files_hold_numbers_prefixes_and_comments(environ, tmp_path):
    (tmp_path / "deny").write_text("# known\n+22507\n\n  +2250709000001  # a person\n+22507\n")
    (tmp_path / "allow").write_text("")
    files = {"DENY_FILE": str(tmp_path / "deny"), "ALLOW_FILE": str(tmp_path / "allow")}
    settings = read(environ, **files)
    assert settings.denied_numbers == ("+22507", "+2250709000001")
    assert settings.allowed_numbers == ()


def test_a_bad_line_of_a_number_file_is_named_and_its_number_not_repeated(environ, tmp_path):
    path = tmp_path / "deny"
    path.write_text("+22507\n2250709000001\n+0\n+\n+22507 09\n")
    said = problems_of(environ, DENY_FILE=str(path))
    where = [f"OTPSERVICE_DENY_FILE: '{path}' line {n} must be" for n in (2, 3, 4, 5)]
    assert [problem[: len(start)] for problem, start in zip(said, where, strict=True)] == where
    assert "0709000001" not in "".join(said)


PORTAL = App("portal", (), messages={"fr": "Portal fr ##OTP##"})
PLAIN = App("plain", ())


@pytest.mark.parametrize(
    ("app", "locale", "template"),
    [
        (PORTAL, "fr", "Portal fr ##OTP##"),
        (PORTAL, None, "Portal fr ##OTP##"),
        (PORTAL, "fr-CI", "Portal fr ##OTP##"),
        (PORTAL, "FR_ci", "Portal fr ##OTP##"),
        (PORTAL, "en", "Service en ##OTP##"),
        (PORTAL, "de", "Portal fr ##OTP##"),
        (PLAIN, "en", "Service en ##OTP##"),
        (PLAIN, "fr", "Service ##OTP##"),
        (PLAIN, "", "Service ##OTP##"),
        (PLAIN, "de", "Service ##OTP##"),
    ],
)
def test_an_apps_own_template_wins_then_the_languages_then_message(environ, app, locale, template):
    settings = read(environ, MESSAGE="Service ##OTP##", MESSAGE_EN="Service en ##OTP##")
    assert settings.template_for(app, locale) == template


def test_a_language_nobody_has_a_text_for_is_the_default_one(environ):
    settings = read(environ, MESSAGE_EN="Service en ##OTP##", DEFAULT_LOCALE="en")
    assert settings.template_for(PLAIN, "de") == "Service en ##OTP##"
    assert settings.template_for(PLAIN, None) == "Service en ##OTP##"


ADDED = App(
    "shop",
    (),
    messages={"bm": "I ka kode: ##OTP##"},
    brand="Ma Boutique",
    do_not_share=True,
    webotp_host="shop.example.com",
)


def test_a_template_is_composed_with_what_the_app_adds(environ):
    settings = read(environ, MESSAGE="##BRAND## : ##OTP##, ##MINUTES## min", MESSAGE_EN="##OTP##")
    last = "@shop.example.com ###OTP##"
    share = {
        "fr": "Ne communiquez ce code à personne.",
        "en": "Do not share this code with anyone.",
    }
    assert settings.template_for(ADDED, "fr") == (
        f"Ma Boutique : ##OTP##, 5 min\n{share['fr']}\n{last}"
    )
    assert settings.template_for(ADDED, "en") == f"##OTP##\n{share['en']}\n{last}"
    assert settings.template_for(ADDED, "bm") == f"I ka kode: ##OTP##\n{last}"


def test_the_line_not_to_share_is_in_the_language_of_the_text_not_of_the_caller(environ):
    text = read(environ).template_for(ADDED, "en")
    assert text.startswith("Votre code OTP est : ##OTP##\nNe communiquez")


@pytest.mark.parametrize(
    ("app", "brand"),
    [(ADDED, "Ma Boutique"), (App("own", (), sender_id="Own"), "Own"), (PLAIN, "DEMO")],
)
def test_a_brand_that_is_not_given_is_the_sender_id(environ, app, brand):
    template = read(environ, MESSAGE="##BRAND## ##OTP##").template_for(app, None)
    assert template.splitlines()[0] == f"{brand} ##OTP##"


@pytest.mark.parametrize(
    ("ttl", "minutes"), [("1", 1), ("59", 1), ("119", 1), ("120", 2), ("300", 5), ("600", 10)]
)
def test_minutes_are_rounded_down_but_never_none(environ, ttl, minutes):
    settings = read(environ, MESSAGE="##OTP## ##MINUTES##", CODE_TTL=ttl)
    assert settings.template_for(PLAIN, None) == f"##OTP## {minutes}"


@pytest.mark.parametrize("name", ["SMS_PRICE_XOF", "LOW_BALANCE_XOF"])
@pytest.mark.parametrize(("text", "amount"), [("", None), ("0", 0), ("999999999", 999_999_999)])
def test_amounts_are_whole_francs_or_unknown(environ, name, text, amount):
    assert getattr(read(environ, **{name: text}), name.lower()) == amount


def test_a_warning_about_a_text_names_where_it_is_written_and_whose_it_is(environ, apps_file):
    hashes = [hashlib.sha256(name.encode()).hexdigest() for name in "abc"]
    apps_file.write_text(
        f'[apps.a]\nkey_sha256 = ["{hashes[0]}"]\nmessage.fr = "Reçu : ##OTP##"\n'
        f'[apps.b]\nkey_sha256 = ["{hashes[1]}"]\n'
        f'[apps.c]\nkey_sha256 = ["{hashes[2]}"]\nscopes = ["metrics"]\n'
    )
    common, own = read(environ, MESSAGE="x" * 155 + "##OTP##", SMS_PRICE_XOF="20").warnings
    assert common.startswith("OTPSERVICE_MESSAGE for a, b: 2 parts, 40 XOF each instead of 20: ")
    assert own.startswith("OTPSERVICE_APPS_FILE message.fr for a: UCS-2, where a part holds 70")


def test_a_line_not_to_share_that_there_is_none_of_is_a_warning(environ, apps_file):
    apps_file.write_text(apps_file.read_text() + 'do_not_share = true\nmessage.bm = "##OTP##"\n')
    (warning,) = read(environ).warnings
    assert warning == (
        "OTPSERVICE_APPS_FILE do_not_share for portal: has a line in en and fr, none in bm: "
        "write it into the text"
    )


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({"RESEND_AFTER": "29"}, "OTPSERVICE_RESEND_AFTER is under 30"),
        ({"CODE_TTL": "59"}, "OTPSERVICE_CODE_TTL is under 60"),
        ({"MAX_ATTEMPTS": "1"}, "OTPSERVICE_MAX_ATTEMPTS is under 2"),
        ({"LOCKOUT_FAILURES": "2"}, "OTPSERVICE_LOCKOUT_FAILURES is under 3"),
        ({"LOCKOUT_SECONDS": "59"}, "OTPSERVICE_LOCKOUT_SECONDS is under 60"),
        ({"DRAIN_SECONDS": "0"}, "OTPSERVICE_DRAIN_SECONDS is under 1"),
        ({"LOG_LEVEL": "WARNING"}, "OTPSERVICE_LOG_LEVEL leaves out the audit trail"),
        ({"PROVIDER_TIMEOUT": "2.9"}, "OTPSERVICE_PROVIDER_TIMEOUT is under 3"),
        ({"LOCKOUT_TOTAL": "0"}, "OTPSERVICE_LOCKOUT_TOTAL is off"),
        ({"LOCKOUT_TOTAL": "101"}, "OTPSERVICE_LOCKOUT_TOTAL is over 100"),
        ({"PHONE_SEND_QUOTA": ""}, "OTPSERVICE_PHONE_SEND_QUOTA is off"),
        ({"ADDRESS_SEND_QUOTA": ""}, "OTPSERVICE_ADDRESS_SEND_QUOTA is off"),
        ({"ADDRESS_FAILURE_QUOTA": ""}, "OTPSERVICE_ADDRESS_FAILURE_QUOTA is off"),
        ({"PREFIX_SEND_QUOTA": ""}, "OTPSERVICE_PREFIX_SEND_QUOTA is off"),
        ({"SENDING": "off"}, "OTPSERVICE_SENDING is off"),
        ({"QUOTA_RECORD_ONLY": "phone"}, "OTPSERVICE_QUOTA_RECORD_ONLY holds phone"),
        ({"DEFAULT_REGION": "SN"}, "OTPSERVICE_DEFAULT_REGION is not in COUNTRIES"),
        ({"SECRET_KEY": "ab" * 20}, "OTPSERVICE_SECRET_KEY repeats few characters"),
        ({"VAVASMS_PLUS_SIGN": "on"}, "OTPSERVICE_VAVASMS_PLUS_SIGN is unconfirmed"),
        ({"MESSAGE": "Reçu : ##OTP##"}, "OTPSERVICE_MESSAGE for portal: UCS-2"),
        ({"MESSAGE_FR": "x" * 160 + "##OTP##"}, "OTPSERVICE_MESSAGE_FR for portal: 2 parts: 166"),
        (
            {"MESSAGE_EN": "##OTP## ##MINUTE##"},
            "OTPSERVICE_MESSAGE_EN for portal: ##MINUTE## is no",
        ),
        ({"VAVASMS_STATUS_PATH": "x"}, "OTPSERVICE_VAVASMS_STATUS_PATH is unconfirmed"),
    ],
)
def test_unwise_values_are_taken_with_one_warning(environ, changes, begins):
    (warning,) = read(environ, **changes).warnings
    assert warning.startswith(begins)


def test_settings_cannot_be_changed(environ):
    settings = read(environ)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.sending = False


def test_without_an_argument_the_processs_own_environment_is_read(environ):
    script = (
        "from otpservice.config.settings import Settings; "
        "print(Settings.from_env().policy.code_ttl)"
    )
    changed = environ | {"OTPSERVICE_CODE_TTL": "123"}
    ran = subprocess.run([sys.executable, "-c", script], env=changed, stdout=-1, check=True)
    assert ran.stdout == b"123\n"
