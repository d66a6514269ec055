"""What Prometheus is told, and what it must never be."""

import re
import time
from pathlib import Path
from threading import Event, Thread

import pytest
import yaml
from fakeredis import FakeRedis
from prometheus_client.parser import text_string_to_metric_families

from otpservice import __version__
from otpservice.app import create_app
from otpservice.config.settings import Settings
from otpservice.store.client import connect
from otpservice.vavasms import Balance
from otpservice.verification.errors import OutcomeUnknown
from tests.fake_provider import FakeProvider, answer
from tests.web.conftest import PHONE

ROOT = Path(__file__).parents[2]
PROBE = {"Authorization": "Bearer otps_probe-key"}
SENT = answer('{"code": 0, "data": {"message_id": "OTP-1", "description": ""}}')
APPROVED = answer('{"code": 0, "data": {"message_id": "RMA1", "status": "success"}}')


def text_of(client):
    told = client.get("/metrics", headers=PROBE)
    assert told.status_code == 200
    return told.get_data(as_text=True)


class Samples:
    """One scrape."""

    def __init__(self, client):
        self.families = list(text_string_to_metric_families(text_of(client)))

    def __call__(self, name, **labels):
        """The sum of the samples of this name and with these labels; None if there is none."""
        found = [
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == f"otpservice_{name}" and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None


@pytest.fixture
def make_provided(environment):
    """The service over VavaSMS as it answers here, with no other route."""

    def make(provider, *, ask_balance=lambda: Balance(25540, "XOF"), **changes):
        names = {f"OTPSERVICE_{name.upper()}": value for name, value in changes.items()}
        url = {"OTPSERVICE_VAVASMS_URL": provider.url, "OTPSERVICE_RESEND_AFTER": "0"}
        settings = Settings.from_env({**environment, **url, **names})
        client = create_app(settings, redis=FakeRedis(), ask_balance=ask_balance).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = "Bearer otps_portal-key-of-the-tests"
        return client

    return make


@pytest.mark.parametrize(
    ("key", "status"),
    [
        ("", 401),
        ("otps_wrong", 401),
        ("otps_portal-key-of-the-tests", 403),
        ("otps_probe-key", 200),
    ],
)
def test_only_the_scope_metrics_sees_it(client, key, status):
    headers = {"Authorization": f"Bearer {key}" if key else ""}
    told = client.get("/metrics", headers=headers)
    assert told.status_code == status
    assert told.content_type.startswith("text/plain; version=" if status == 200 else "application/")


def test_requests_are_counted_by_endpoint_and_by_what_the_caller_was_told(client, send, confirm):
    id = send().get_json()["id"]
    send()
    for code in ("000000", "000001", "123456"):
        confirm(code, id=id)
    client.get("/nowhere")
    told = Samples(client)
    confirmed = {"endpoint": "verifications.confirm"}
    assert told("requests_total", endpoint="verifications.login_code", code="ok", status="201") == 1
    assert told("requests_total", code="resend_too_soon", status="429") == 1
    assert told("requests_total", **confirmed, code="wrong_code", status="422") == 2
    assert told("requests_total", **confirmed, code="ok", status="200") == 1
    assert told("requests_total", endpoint="unmatched", code="not_found") == 1
    assert told("request_duration_seconds_count", **confirmed) == 3


def test_sends_and_confirmations_are_counted_by_country(client, send, confirm, route):
    send("+22377000010")
    send()
    confirm(phone=PHONE)
    route.raises = OutcomeUnknown()
    send("+2250709000002")
    told = Samples(client)
    sends = {"route": "vavasms-otp", "country": "CI"}
    assert told("sends_total", **sends, delivery="sent") == 1
    assert told("sends_total", **sends, delivery="unknown") == 1
    assert told("sends_total", country="ML") == 1
    assert told("confirmations_total", country="CI") == told("confirmations_total") == 1


def test_an_answer_given_again_is_a_request_and_no_sms(client):
    for _ in range(3):
        client.post("/login-code", json={"phone": PHONE}, headers={"Idempotency-Key": "once"})
    told = Samples(client)
    assert told("requests_total", endpoint="verifications.login_code", code="ok") == 3
    assert told("sends_total") == 1


@pytest.mark.parametrize(
    ("changes", "code", "limit"),
    [
        ({"phone_rate_limit": "2/minute"}, "rate_limited", "phone"),
        ({"app_rate_limit": "2/minute"}, "rate_limited", "app"),
        ({"phone_send_quota": "1/hour", "resend_after": "0"}, "quota_exceeded", "phone"),
        ({"address_send_quota": "1/hour", "resend_after": "0"}, "quota_exceeded", "address"),
        ({"prefix_send_quota": "1/hour", "resend_after": "0"}, "quota_exceeded", "prefix"),
        ({"daily_send_budget": "1", "resend_after": "0"}, "budget_exhausted", "service"),
        ({"lockout_failures": "1"}, "phone_locked", "for_a_while"),
        ({"lockout_total": "1"}, "phone_locked", "until_unlocked"),
        ({}, "resend_too_soon", "cooldown"),
    ],
)
def test_what_limits_refuse_is_counted_by_their_names(make_client, changes, code, limit):
    client = make_client(**changes)
    body = {"phone": PHONE, "client_ip": "192.0.2.1"}
    client.post("/login-code", json=body)
    client.post("/confirm", json={"phone": PHONE, "code": "000000"})
    refused = client.post("/login-code", json=body)
    assert refused.get_json()["code"] == code
    told = Samples(client)
    assert told("limits_hit_total", code=code, limit=limit) == told("limits_hit_total") == 1


def test_what_a_quota_only_records_is_counted_when_an_sms_goes_out(make_client, send):
    client = make_client(
        quota_record_only="phone,prefix",
        prefix_send_quota="1/hour",
        phone_send_quota="1/hour",
        resend_after="0",
    )
    for _ in range(3):
        assert send(client=client).status_code == 201
        client.post("/login-code?dry_run=true", json={"phone": PHONE})
    told = Samples(client)
    assert told("quota_would_refuse_total", quota="phone") == 2
    assert told("quota_would_refuse_total", quota="prefix") == 2
    assert told("limits_hit_total") is None


def test_requests_in_flight_are_those_that_take_a_place(make_client, route, send):
    client = make_client(max_in_flight=7)
    seen = []

    def scrape():
        seen.append(Samples(client.application.test_client()))

    def scrape_elsewhere():  # in one thread two requests would share their g
        thread = Thread(target=scrape)
        thread.start()
        thread.join()

    route.during = scrape_elsewhere
    send(client=client)
    assert seen[0]("requests_in_flight") == 2  # the scrape is the other
    assert Samples(client)("requests_in_flight") == 1
    assert Samples(client)("requests_in_flight_limit") == 7


def test_calls_to_the_provider_are_counted_by_route_operation_and_outcome(make_provided):
    wrong = answer('{"code": 913, "message": "INVALID_OTP"}')
    with FakeProvider(SENT, wrong, APPROVED) as provider:
        client = make_provided(provider)
        client.post("/login-code", json={"phone": PHONE})
        for code in ("000000", "123456"):
            client.post("/confirm", json={"phone": PHONE, "code": code})
    told = Samples(client)
    calls = {"route": "vavasms-otp", "operation": "check"}
    assert told("provider_calls_total", route="vavasms-otp", operation="send") == 1
    assert told("provider_calls_total", **calls, outcome="InvalidOtp") == 1
    assert told("provider_calls_total", **calls, outcome="Success") == 1
    assert told("provider_call_duration_seconds_count", **calls) == 2
    assert told("provider_unknown_codes_total") is None
    assert told("provider_tolerated_answers_total") is None


def test_an_open_breaker_is_told_and_what_it_stops_is_no_call(make_provided):
    with FakeProvider(answer("", "503 Service Unavailable")) as provider:
        client = make_provided(provider, breaker_failures="2")
        sends = {"route": "vavasms-otp", "operation": "send"}
        assert Samples(client)("breakers_open", **sends) == 0
        for _ in range(4):
            client.post("/login-code", json={"phone": PHONE})
    told = Samples(client)
    assert told("breakers_open", **sends) == told("breaker_openings_total", **sends) == 1
    assert told("breakers_open", route="vavasms-otp", operation="check") == 0
    assert told("provider_calls_total", **sends, outcome="Unavailable") == 2
    assert told("requests_total", code="provider_unavailable") == 4


def test_codes_and_answers_that_the_provider_does_not_document_are_counted(make_provided):
    replies = [
        answer('{"code": 950, "message": "OOPS"}'),
        answer('{"code": "482913", "message": "OOPS"}'),
        answer('{"code": 903, "message": "INVALID_PHONE_NUMBER",}'),
    ]
    with FakeProvider(*replies) as provider:
        client = make_provided(provider)
        for _ in replies:
            client.post("/login-code", json={"phone": PHONE})
    told = Samples(client)
    codes = {"operation": "otp/send"}
    assert told("provider_unknown_codes_total", **codes, code="950") == 1
    assert told("provider_unknown_codes_total", **codes, code="other") == 1
    assert told("provider_tolerated_answers_total", **codes) == 1


def test_a_provider_with_many_codes_does_not_make_many_series(make_provided):
    replies = [answer(f'{{"code": {code}}}') for code in range(100, 130)]
    with FakeProvider(*replies) as provider:
        client = make_provided(provider, breaker_failures="0", phone_rate_limit="100/minute")
        for _ in replies:
            client.post("/login-code", json={"phone": PHONE})
    told = Samples(client)
    assert told("provider_unknown_codes_total") == 30
    assert told("provider_unknown_codes_total", code="other") == 10
    assert told("provider_unknown_codes_total", code="119") == 1


def test_calls_to_redis_are_timed_by_script(client, send, confirm):
    send()
    confirm(phone=PHONE)
    told = Samples(client)
    for call in ("rate_limits", "reserve_send", "settle_send", "reserve_attempt", "settle_attempt"):
        assert told("redis_call_duration_seconds_count", call=call) >= 1
    assert told("redis_errors_total") is None


def test_without_redis_it_answers_and_counts_that(make_client, send):
    client = make_client(redis=connect("redis://127.0.0.1:1/0"))
    send(client=client)
    client.get("/health/ready")
    told = Samples(client)
    assert told("redis_errors_total", call="rate_limits") == 1
    assert told("redis_errors_total", call="epoch") == 1
    assert told("requests_total", code="store_unavailable", status="503") == 2
    assert told("balance") is told("balance_age_seconds") is None


def test_the_balance_is_asked_for_meanwhile_and_once(make_provided):
    answered, times = Event(), []

    def ask():
        times.append(1)
        assert answered.wait(10)
        return Balance(4000, "XOF")

    with FakeProvider(SENT) as provider:
        client = make_provided(
            provider, ask_balance=ask, low_balance_xof="5000", sms_price_xof="20"
        )
        for _ in range(3):
            assert Samples(client)("balance") is None  # and does not wait
        answered.set()
        until = time.monotonic() + 10
        while Samples(client)("balance") is None:
            assert time.monotonic() < until
        told = Samples(client)  # the call may have ended while the one before was put together
    assert (told("balance", currency="XOF"), told("balance_low")) == (4000, 1)
    assert told("balance_sends_left") == 200
    assert told("balance_age_seconds") < 10
    assert told("provider_calls_total", route="vavasms", operation="balance") == len(times) == 1


def test_it_says_which_version_runs(client):
    assert Samples(client)("build_info", version=__version__) == 1


def test_no_phone_no_code_and_no_id_is_in_it(make_provided):
    with FakeProvider(SENT, answer('{"code": 482913}'), APPROVED) as provider:
        client = make_provided(provider)
        id = client.post("/login-code", json={"phone": PHONE}).get_json()["id"]
        for code in ("482913", "736482"):
            client.post("/confirm", json={"id": id, "code": code, "client_ip": "192.0.2.77"})
        client.get(f"/verifications/{id}")
        client.get(f"/{PHONE}")
        client.post("/webhooks/vavasms/some-token", json={})
    text = text_of(client)
    assert "otpservice_confirmations_total" in text
    for secret in (PHONE[1:], PHONE[-8:], "482913", "736482", id, id[4:], "192.0.2", "some-token"):
        assert secret not in text
    assert "ver_" not in text


def exported(client):
    """Every name a sample can have, with the labels that were seen beside it."""
    names = {}
    for family in Samples(client).families:
        labels = {name for sample in family.samples for name in sample.labels}
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        for suffix in suffixes.get(family.type, [""]):
            names[family.name + suffix] = labels
    return names


@pytest.fixture
def busy(make_provided):
    """A service that has met with a bit of everything."""
    replies = [
        SENT,
        answer('{"code": 950,}'),
        APPROVED,
        answer('{"code": 950}'),
    ]
    with FakeProvider(*replies) as provider:
        client = make_provided(
            provider,
            prefix_send_quota="1/hour",
            quota_record_only="prefix",
            resend_after="60",
            low_balance_xof="5000",
        )
        for _ in range(2):
            client.post("/login-code", json={"phone": PHONE})
        for code in ("000000", "123456"):
            client.post("/confirm", json={"phone": PHONE, "code": code})
        client.post("/login-code", json={"phone": "+2250709000002"})
        yield client


def alert_rules():
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())
    return [rule for group in rules["groups"] for rule in group["rules"]]


def test_every_metric_and_label_of_an_alert_exists(busy):
    names = exported(busy)
    for rule in alert_rules():
        used = set(re.findall(r"\botpservice_\w+", rule["expr"]))
        assert used, rule
        assert used <= names.keys(), rule["alert"]
        for name, matchers in re.findall(r"(otpservice_\w+)\{([^}]*)\}", rule["expr"]):
            assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= names[name], rule
        labels = set().union(*(names[name] for name in used), {"le"})
        for grouping in re.findall(r"\bby \(([^)]*)\)", rule["expr"]):
            assert set(grouping.replace(" ", "").split(",")) <= labels, rule["alert"]


def test_every_alert_says_how_urgent_it_is_and_what_is_wrong():
    rules = alert_rules()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"].endswith(".")
        assert all(rule["expr"].count(a) == rule["expr"].count(b) for a, b in ("()", "{}", "[]"))


def test_every_metric_is_told_in_the_docs_with_its_labels_and_no_other(busy):
    page = (ROOT / "docs" / "metrics.md").read_text()
    told = dict(re.findall(r"^\| `(otpservice_\w+)` \|([^|]*)\|", page, re.MULTILINE))
    families = {
        name.removesuffix("_count"): labels - {"le"}
        for name, labels in exported(busy).items()
        if not name.endswith(("_bucket", "_sum"))
    }
    assert told.keys() == families.keys()
    for name, labels in families.items():
        written = set(re.findall(r"`(\w+)`", told[name]))
        assert labels in (written, set()), name
