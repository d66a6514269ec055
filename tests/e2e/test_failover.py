"""The second way out, when everything is real: gunicorn, Redis, the provider and a gateway.

Each fault on its own, and all of them, are in test_faults.py.
"""

import pytest

from tests.e2e.outages import SECRET, UNREACHABLE, Gateway

PHONE = "+2250709000001"
BOTH = "vavasms-otp,vavasms-text"


def wrong(code):
    return str(int(code) + 1).zfill(6)[-6:]


def code_of(sms):
    return sms["text"][-6:]


@pytest.fixture(scope="module")
def by_two_routes(run):
    with run(routes=BOTH, provider_timeout="1", breaker_failures="0") as service:
        yield service


@pytest.fixture
def service(by_two_routes, valkey, sandbox):
    sandbox.state.reset()
    return by_two_routes


@pytest.fixture
def gateway():
    with Gateway() as running:
        yield running


@pytest.fixture
def run_by_http(run_service, gateway):
    """Runs the service with a gateway among its routes, and an account that nobody asks."""

    def run(routes, **changes):
        http = {"http_route_url": gateway.url, "http_route_secret": SECRET}
        return run_service(routes=routes, **{**http, **changes})

    return run


@pytest.mark.parametrize(
    "fault",
    ["901", "902", "950", "redirect", "http_404", "http_405", "http_413", "http_429", "http_503"],
)
def test_a_login_gets_through_by_the_second_route(service, fault):
    service.fault("otp/send", fault)
    sent = service.send(PHONE)
    assert (sent.status, sent.body["delivery"], sent.body["sends_left"]) == (201, "sent", 4)
    (sms,) = service.inbox(PHONE)
    assert (sms["kind"], service.calls("otp/send"), service.calls("followed")) == ("text", 1, 0)
    assert service.confirm(wrong(code_of(sms)), id=sent.body["id"]).body["attempts_left"] == 4
    assert service.confirm(code_of(sms), id=sent.body["id"]).status == 200
    assert service.calls("otp/verify") == 0


@pytest.mark.parametrize(
    "fault",
    [
        "hang_after",
        "reset_after",
        "cut_after",
        "drip",
        "html_after",
        "http_500_after",
        "no_message_id",
    ],
)
def test_a_login_whose_answer_was_lost_is_one_sms_whose_code_is_good(service, fault):
    service.fault("otp/send", fault)
    sent = service.send(PHONE)
    assert (sent.status, sent.body["delivery"]) == (202, "unknown")
    (sms,) = service.inbox(PHONE)
    assert (sms["kind"], service.calls("text/single")) == ("otp", 0)
    assert service.confirm(wrong(sms["code"]), id=sent.body["id"]).body["attempts_left"] == 4
    assert service.confirm(sms["code"], id=sent.body["id"]).status == 200


def test_the_numbers_own_fault_ends_it(service):
    service.fault("otp/send", "903")
    assert service.send(PHONE).body["code"] == "invalid_phone"
    assert (service.inbox(PHONE), service.calls("text/single")) == ([], 0)
    assert service.send(PHONE).body["sends_left"] == 4


def test_a_provider_out_of_reach_leaves_the_gateway_and_soon_nobody_waits(run_by_http, gateway):
    changes = {"breaker_failures": "1", "provider_timeout": "1"}
    with (
        UNREACHABLE["connect timeout"]() as url,
        run_by_http("vavasms-otp,http", vavasms_url=url, **changes) as service,
    ):
        for n in range(12):
            sent = service.send(f"+22507090000{n:02}")
            assert (sent.status, sent.body["delivery"]) == (201, "sent")
            assert service.confirm(gateway.codes[0], id=sent.body["id"]).status == 200
    log = service.log.read_text()
    # Two workers, each with a breaker of its own.
    assert 1 <= log.count('"operation": "otp/send", "outcome": "Unavailable"') <= 2
    by_gateway = '"provider": "http", "operation": "send", "outcome": "Success"'
    assert len(gateway.codes) == log.count(by_gateway) == 12


def test_a_verification_outlives_a_change_of_routes(service, run):
    hosted = service.send(PHONE).body["id"]
    service.fault("otp/send", "http_503")
    local = service.send("+2250709000002").body["id"]
    with run(routes="vavasms-text") as after:
        (sms,) = after.inbox(PHONE)
        assert after.confirm(wrong(sms["code"]), id=hosted).body["attempts_left"] == 4
        assert after.confirm(sms["code"], id=hosted).status == 200
        (sms,) = after.inbox("+2250709000002")
        assert after.confirm(code_of(sms), id=local).status == 200
