"""What the log tells of requests and decisions, held to docs/logs.md and to the code."""

import ast
import logging
import re

import pytest

from otpservice.verification.errors import OutcomeUnknown, ProviderUnavailable
from tests.e2e.conftest import ROOT
from tests.web.conftest import PHONE

TOKEN = "inbound-token-of-the-log-tests-0123"
LOGGERS = {("log", level) for level in ("info", "warning", "error", "exception", "log")}
STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def told():
    """By event, the fields that docs/logs.md names."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| ?([^|]*) \|$", (ROOT / "docs/logs.md").read_text(), re.M)
    return {event: set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", f))) for event, f in rows}


def logged():
    """By name, the events that stand in the code as words of their own."""
    source = [p for p in (ROOT / "otpservice").rglob("*.py") if "sandbox" not in p.parts]
    nodes = [node for path in source for node in ast.walk(ast.parse(path.read_text()))]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    words = [
        argument.value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Name)
        and (call.func.value.id, call.func.attr) in LOGGERS
        for argument in call.args
        if isinstance(argument, ast.Constant)
    ]
    return set(words)


# Said by a variable: which of two it was, or what a view or the table of refusals names.
CHOSEN = {
    *("breaker_opened", "breaker_closed", "code_sent", "code_confirmed", "verification_canceled"),
    *("opted_out", "opted_in", "send_refused", "guess_refused", "cancel_refused", "wrong_code"),
}


def test_every_event_is_told_and_no_other():
    assert logged() | CHOSEN == told().keys()


@pytest.fixture
def trail(caplog):
    """The decisions logged since this was last asked; each as told, with no field untold."""
    caplog.set_level(logging.INFO)

    def take():
        records = [r for r in caplog.records if r.name == "otpservice.audit"]
        caplog.clear()
        for record in records:
            assert set(vars(record)) - STANDARD <= told()[record.message]
            assert PHONE not in str(vars(record))
        return [(r.message, getattr(r, "reason", None), getattr(r, "limit", None)) for r in records]

    return take


def test_a_login_is_a_send_a_wrong_code_and_a_right_one(client, send, confirm, trail):
    id = send().get_json()["id"]
    confirm("000000", id=id)
    confirm("123456", id=id)
    confirm("123456", id=id)
    assert trail() == [
        ("code_sent", None, None),
        ("wrong_code", None, None),
        ("code_confirmed", None, None),
        ("guess_refused", "already_confirmed", None),
    ]


def test_a_decision_names_whom_it_concerns(send, caplog):
    caplog.set_level(logging.INFO)
    id = send(purpose="two-factor").get_json()["id"]
    (line,) = [record for record in caplog.records if record.name == "otpservice.audit"]
    assert (line.app, line.purpose, line.id) == ("portal", "two-factor", id)
    assert (line.phone_masked, line.route, line.delivery) == (
        "+225********01",
        "vavasms-otp",
        "sent",
    )


def test_a_guess_that_starts_a_lock_says_so_after_it(make_client, send, confirm, trail, caplog):
    client = make_client(lockout_failures="2", lockout_seconds="600", lockout_total="3")
    send(client=client)
    for _ in range(2):
        confirm("000000", client=client, phone=PHONE)
    assert caplog.records[-1].locked_for == 600
    confirm("000000", client=client, phone=PHONE)
    send(client=client)
    assert trail() == [
        ("code_sent", None, None),
        ("wrong_code", None, None),
        ("wrong_code", None, None),
        ("phone_locked", None, None),
        ("guess_refused", "phone_locked", "for_a_while"),
        ("send_refused", "phone_locked", "for_a_while"),
    ]


REFUSALS = [
    ({"sending": "off"}, "sending_disabled", None),
    ({"countries": "ML"}, "destination_blocked", None),
    ({"resend_after": "60"}, "resend_too_soon", "cooldown"),
    ({"resend_after": "0", "phone_send_quota": "1/hour"}, "quota_exceeded", "phone"),
    ({"resend_after": "0", "prefix_send_quota": "1/hour"}, "quota_exceeded", "prefix"),
    ({"resend_after": "0", "daily_send_budget": "1"}, "budget_exhausted", "service"),
    ({"phone_rate_limit": "1/minute"}, "rate_limited", "phone"),
]


@pytest.mark.parametrize(("changes", "reason", "limit"), REFUSALS)
def test_a_refused_send_says_what_refused_it(make_client, send, trail, changes, reason, limit):
    client = make_client(**changes)
    send(client=client)
    send(client=client)
    assert trail()[-1] == ("send_refused", reason, limit)


@pytest.mark.parametrize(
    ("error", "decisions"),
    [
        (ProviderUnavailable(), [("send_refused", "provider_unavailable", None)]),
        (OutcomeUnknown(), [("code_sent", None, None)]),
    ],
)
def test_what_the_provider_left_open_is_sent_and_what_it_refused_is_not(
    send, route, trail, error, decisions
):
    route.raises = error
    send()
    assert trail() == decisions


def test_a_repeat_and_a_mistake_of_the_caller_decide_nothing(client, send, trail):
    once = {"Idempotency-Key": "once"}
    for _ in range(2):
        client.post("/login-code", json={"phone": PHONE}, headers=once)
    send("nobody")
    client.post("/login-code", json={"phone": PHONE}, headers={"Authorization": ""})
    client.post("/login-code?dry_run=true", json={"phone": PHONE})
    client.get("/verifications/ver_nobody")
    assert trail() == [("code_sent", None, None)]


def test_cancels_and_texted_wishes_are_decisions(make_client, send, trail):
    client = make_client(inbound_token=TOKEN)
    id = send(client=client).get_json()["id"]
    for _ in range(2):
        client.delete(f"/verifications/{id}")
    client.delete("/verifications/ver_nobody")
    for n, content in enumerate(["STOP", "OUI", "Bonjour"]):
        sms = {"message_id": f"SM-{n}", "form": PHONE, "content": content}
        client.post(f"/webhooks/vavasms/{TOKEN}", json=sms)
    assert [event for event, *_ in trail()[1:]] == [
        "verification_canceled",
        "verification_canceled",
        "cancel_refused",
        "opted_out",
        "opted_in",
    ]


def test_a_requests_line_tells_what_it_asked_of_redis_and_of_whom_it_waited(send, caplog):
    caplog.set_level(logging.INFO)
    send()  # the scripts' first time takes more calls
    caplog.clear()
    send("+2250709000002")
    (line,) = [record for record in caplog.records if record.message == "request"]
    assert set(vars(line)) - STANDARD <= told()["request"]
    assert 3 <= line.redis_calls <= 5
    assert 0 < line.redis_ms <= line.ms
