"""What reaches standard error: one JSON object a line, and no secret in it."""

import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
import urllib.request
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpservice.telemetry.logs import JsonFormatter, logging_config, request_id_var, scrub

PHONE = "+2250709000001"


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def logger(stream):
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("otpservice.test")
    logger.addHandler(handler)
    return logger


def only_line(stream):
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


def run(script, **env):
    """What a Python process that runs ``script`` writes to standard error, line by line."""
    result = subprocess.run(
        [sys.executable, "-c", script], stderr=-1, check=True, env=os.environ | env, timeout=20
    )
    return [json.loads(line) for line in result.stderr.decode("ascii").splitlines()]


def test_a_line_has_time_level_logger_event_and_what_was_passed(logger, stream):
    logger.warning("code %s", "sent", extra={"app": "portal", "sends_left": 4, "took": 0.25})
    entry = only_line(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert entry == {
        "level": "WARNING",
        "logger": "otpservice.test",
        "event": "code sent",
        "app": "portal",
        "sends_left": 4,
        "took": 0.25,
    }


@given(st.integers(0, 4_000_000_000_000))
def test_the_time_of_a_line_is_when_it_was_logged_to_the_millisecond(ms):
    record = logging.makeLogRecord({"created": ms / 1000, "msecs": float(ms % 1000)})
    shown = json.loads(JsonFormatter().format(record))["time"]
    assert datetime.fromisoformat(shown) == datetime.fromtimestamp(0, UTC) + timedelta(0, 0, 0, ms)


def test_a_line_carries_the_id_of_the_request_it_belongs_to(logger, stream):
    token = request_id_var.set("req-1")
    logger.info("inside")
    request_id_var.reset(token)
    logger.info("outside")
    inside, outside = (json.loads(line) for line in stream.getvalue().splitlines())
    assert inside["request_id"] == "req-1"
    assert "request_id" not in outside


@pytest.mark.parametrize(
    ("request_id", "shown"),
    [("a3f90123456789012345678901234567", None), ("2250709000001", "***********01")],
)
def test_an_id_is_shown_as_it_is_unless_it_may_be_a_phone(logger, stream, request_id, shown):
    token = request_id_var.set(request_id)
    logger.info("inside")
    request_id_var.reset(token)
    assert only_line(stream)["request_id"] == (shown or request_id)


def test_new_lines_and_other_alphabets_stay_inside_one_line_of_ascii(logger, stream):
    logger.info("a\nb\r\u2028é\udcff", extra={"field": "c\nd"})
    assert stream.getvalue().isascii()
    entry = only_line(stream)
    assert (entry["event"], entry["field"]) == ("a\nb\r\u2028é\udcff", "c\nd")


def test_fields_cannot_take_the_place_of_the_lines_own(logger, stream):
    logger.info("real", extra={"event": "forged", "time": "never"})
    entry = only_line(stream)
    assert (entry["event"], entry["event_"], entry["time_"]) == ("real", "forged", "never")


class Broken:
    def __repr__(self):
        raise RuntimeError


class BrokenDict(dict):
    def __iter__(self):
        raise RuntimeError


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    "value",
    [
        Broken(),
        [Broken()],
        BrokenDict(a=1),
        CYCLE,
        object(),
        float("nan"),
        float("inf"),
        [10**5000],
        b"\xff",
        {1: {2: {3: {4: {5: {6: {7: 8}}}}}}},
        {("a", 1): Broken()},
        {1, 2},
        "\0\ud800",
        lambda: None,
    ],
)
def test_fields_of_any_kind_make_one_line(logger, stream, value):
    logger.info("event", extra={"odd": value})
    assert only_line(stream)["event"].startswith("event")


@pytest.mark.parametrize("args", [("%s %s", 1), ("%d", "x"), ("%s", Broken()), (Broken(),)])
def test_a_message_that_cannot_be_put_together_still_makes_a_line(logger, stream, args):
    logger.error(*args)
    assert only_line(stream)["level"] == "ERROR"


SECRETS = [
    ("username=a@b.ci&password=s3cr3t%21&phone=1", "s3cr3t"),
    ('{"password": "s3cr3t \\"and\\" more"}', "more"),
    ("{'password': 's3cr3t and', 'x': 1}", "s3cr3t"),
    ("{'password': \"s3c'r3t and\"}", "and"),
    ("PASSWORD = s3cr3t", "s3cr3t"),
    ('"{\\"password\\":\\"s3cr3t and\\"}"', "s3cr3t and"),
    ("otp=123456&x", "123456"),
    ('"otp": 123456', "123456"),
    ("{'code': '012345'}", "012345"),
    ("code=123456789", "123456"),
    ("Authorization: Bearer abcDEF.123", "abcDEF"),
    ("'authorization': 'bearer abcDEF'", "abcDEF"),
    ("X-API-Key: abcDEF", "abcDEF"),
    ("no key otps_aB3-_x found", "aB3-_x"),
    ("whsec_MfKQ9r8GKYqrTwj+/=", "MfKQ9r8"),
    ("OTPSERVICE_SECRET_KEY=abcDEF", "abcDEF"),
    ("redis://user:s3cr3t@h:6379/0 is away", "s3cr3t"),
    ("POST /webhooks/vavasms/tOkEn-1?x HTTP/1.1", "tOkEn"),
    (f"to {PHONE}", "07090000"),
    ("to 2250709000001.", "07090000"),
    ("phone=%2B2250709000001", "07090000"),
    ("b'\\n2250709000001'", "07090000"),
    ("tel0709000001x", "070900"),
    ("+225 07 09 00 00 01", "07 09"),
    ("+225-07-09-00-00-01", "07-09"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_no_secret_is_left_in_message_field_or_traceback(logger, stream, text, secret):
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception(text, extra={"one": text, "many": [{"deep": text}], text: 1})
    assert "ValueError" in only_line(stream)["exception"]
    assert secret in text
    assert secret not in stream.getvalue()
    assert secret not in json.loads(stream.getvalue())["event"]


@pytest.mark.parametrize("name", ["password", "otp", "vavasms_password", "api_key", "X-API-Key"])
def test_a_field_with_the_name_of_a_secret_is_hidden_whole(logger, stream, name):
    logger.info("event", extra={name: "123 45", "inner": {name: 12345}})
    entry = only_line(stream)
    assert (entry[name], entry["inner"]) == ("***", {name: "***"})


@pytest.mark.parametrize(("value", "kept"), [(123456, "***"), ("012345", "***"), (901, 901)])
def test_a_field_named_code_keeps_the_providers_and_hides_a_persons(logger, stream, value, kept):
    logger.info("event", extra={"code": value})
    assert only_line(stream)["code"] == kept


def test_a_phone_keeps_its_last_two_digits_even_as_a_number(logger, stream):
    logger.info("to %s", PHONE, extra={"phone": 2250709000001})
    entry = only_line(stream)
    assert (entry["event"], entry["phone"]) == ("to +***********01", "***********01")


@pytest.mark.parametrize(("value", "shown"), [(9_999_999, 9_999_999), (10_000_000, "******00")])
def test_a_number_is_a_phone_from_eight_digits_on(logger, stream, value, shown):
    logger.info("event", extra={"number": value, "less": -value})
    entry = only_line(stream)
    assert entry["number"] == shown
    assert str(10_000_000) not in stream.getvalue()


def test_a_message_that_is_no_text_is_the_event_and_no_fields(logger, stream):
    logger.info({"event": "forged", "password": "s3cr3t"})
    assert only_line(stream).keys() == {"time", "level", "logger", "event"}
    assert "s3cr3t" not in stream.getvalue()


@given(st.from_regex(r"\A\+?[0-9]{8,15}\Z"), st.text("ab =:\"'&,\n", max_size=5))
def test_no_run_of_eight_digits_survives(number, around):
    assert not re.search(r"\d{8}", scrub(f"{around}{number}{around}"))
    assert scrub(number).endswith(number[-2:])


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-05T10:00:00.123Z",
        "[05/Jan/2026:10:00:00 +0000]",
        "code=901 INVALID_CREDENTIALS",
        "code: wrong_code",
        "ver_a3f90123456789012345678901234567890a",
        "OTP-20190621-2234509",
        "otp_length=6&otp_expiry=5",
        "+225********01",
        "balance 25540 XOF",
        "http://127.0.0.1:8025/api",
    ],
)
def test_what_operators_look_for_is_left_alone(text):
    assert scrub(text) == text


def test_everything_a_process_logs_is_json_tracebacks_and_warnings_included():
    entries = run(f"""
import logging, warnings
from otpservice.telemetry.logs import configure_logging
configure_logging("INFO")
try:
    raise RuntimeError("password=s3cr3t phone {PHONE}")
except RuntimeError:
    logging.getLogger("otpservice.web").exception("failed")
warnings.warn("old")
logging.getLogger("anything").debug("hidden")
""")
    assert entries[0]["event"] == "failed"
    assert "Traceback" in entries[0]["exception"]
    assert "password=*** phone +***********01" in entries[0]["exception"]
    assert [entry["logger"] for entry in entries] == ["otpservice.web", "py.warnings"]


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("DEBUG", ["u debug", "u info", "u warning", "u error", "own info"]),
        ("INFO", ["u warning", "u error", "own info"]),
        ("ERROR", ["u error"]),
    ],
)
def test_other_peoples_loggers_are_quiet_unless_debug_is_asked_for(level, events):
    entries = run(f"""
import logging
from otpservice.telemetry.logs import configure_logging
configure_logging("{level}")
for name in ("debug", "info", "warning", "error"):
    getattr(logging.getLogger("urllib3.connectionpool"), name)("u " + name)
logging.getLogger("otpservice").info("own info")
""")
    assert [entry["event"] for entry in entries] == events


def test_lines_are_json_where_the_terminal_is_not_utf_8():
    (entry,) = run(
        "from otpservice.telemetry.logs import configure_logging; import logging; "
        "configure_logging('INFO'); logging.error('é\\u2028')",
        PYTHONIOENCODING="ascii",
    )
    assert entry["event"] == "é\u2028"


def test_gunicorns_own_lines_are_json_and_hide_the_inbound_token(tmp_path):
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "conf.py").write_text(
        "from otpservice.telemetry.logs import logging_config\n"
        f"logconfig_dict = logging_config('INFO')\nbind = '127.0.0.1:{port}'\n"
        "control_socket_disable = True\n"
    )
    (tmp_path / "tiny.py").write_text(
        "def app(environ, start):\n    start('200 OK', [])\n    return [b'']\n"
    )
    command = [sys.executable, "-m", "gunicorn", "-c", "conf.py", "tiny:app"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=-1) as process:
        assert process.stderr is not None
        lines = [next(line for line in process.stderr if b"Listening" in line)]
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/webhooks/vavasms/tOkEn", timeout=10)
        finally:
            process.terminate()
        lines += process.stderr.readlines()
    entries = [json.loads(line) for line in lines]
    assert {entry["logger"] for entry in entries} == {"gunicorn.error"}
    assert any("Listening" in entry["event"] for entry in entries)
    assert b"tOkEn" not in b"".join(lines)


def test_the_configuration_is_plain_data_of_its_own_each_time():
    one, other = logging_config("INFO"), logging_config("INFO")
    one["loggers"]["gunicorn.error"]["level"] = "DEBUG"
    assert json.loads(json.dumps(other)) == other
    assert other["loggers"]["gunicorn.error"]["level"] == "INFO"


def test_a_code_that_a_provider_answers_with_is_hidden_and_its_error_codes_are_not():
    record = logging.makeLogRecord({"msg": "provider_call", "vendor_code": 123456})
    assert "123456" not in JsonFormatter().format(record)
    record = logging.makeLogRecord({"msg": "provider_call", "vendor_code": 913})
    assert json.loads(JsonFormatter().format(record))["vendor_code"] == 913


PIECES = st.sampled_from(
    [
        "otps_",
        "whsec_",
        "/webhooks/vavasms/",
        "://",
        "@",
        "/a",
        "otp",
        "code",
        "password",
        "bearer",
        "key",
        "ver_",
        "OTP-",
        "+225",
        "07",
    ]
) | st.text("abXY_.*+-/0123456789", min_size=1, max_size=6)
PIECES |= st.text("0123456789", min_size=5, max_size=12)
PIECES |= st.text("0123456789abcdef", min_size=18, max_size=40).map("ver_{}".format)


@given(st.lists(PIECES, max_size=5).map("".join))
def test_a_space_after_a_text_changes_nothing_of_what_is_hidden_in_it(text):
    assert scrub(text) + " " == scrub(text + " ")
