"""Several routes at once: resends that change hands, purposes side by side, and their health."""

import time
from hashlib import sha256

import pytest
from fakeredis import FakeRedis

from otpservice.app import create_app
from otpservice.config.settings import Settings
from otpservice.sandbox.faults import Fault
from tests.conftest import APPS, KEYS
from tests.e2e.outages import SECRET, UNREACHABLE, Gateway

PHONE = "+2250709000001"
BOTH = "vavasms-otp,vavasms-text"
KEY_SHA256 = sha256(b"otps_key").hexdigest()
MORE_APPS = f"""
[apps.operator]
key_sha256 = ["{sha256(b"otps_operator").hexdigest()}"]
scopes = ["admin"]

[apps.texting]
key_sha256 = ["{sha256(b"otps_texting").hexdigest()}"]
routes = ["vavasms-text"]

[apps.hosted]
key_sha256 = ["{sha256(b"otps_hosted").hexdigest()}"]
routes = ["vavasms-otp"]
"""


def wrong(code):
    return str(int(code) + 1).zfill(6)[-6:]


@pytest.fixture
def provider(sandbox_server):
    sandbox_server.state.reset()
    return sandbox_server.state


@pytest.fixture
def fault(provider):
    def put(operation, name, times=1, **more):
        body = {"operation": operation, "fault": name, "times": times, **more}
        provider.faults.put(Fault.parse(body))

    return put


@pytest.fixture
def codes(provider):
    """The codes that left, newest first, with the kind of SMS."""
    return lambda: [(sms.kind, sms.text[-6:]) for sms in provider.inbox(PHONE[1:])]


class Caller:
    """An app of the service; ``called`` is another one of the same service."""

    def __init__(self, client, key):
        self._client, self._key = client, key

    def called(self, name):
        return Caller(self._client, KEYS.get(name, f"otps_{name}"))

    def call(self, method, path, body=None, **headers):
        headers = {"Authorization": f"Bearer {self._key}", **headers}
        answer = self._client.open(path, method=method, json=body, headers=headers)
        answer.body = answer.get_json(silent=True) or {}
        return answer

    def send(self, dry_run="false", **body):
        return self.call("POST", f"/login-code?dry_run={dry_run}", {"phone": PHONE, **body})

    def confirm(self, code, **body):
        return self.call("POST", "/confirm", {"code": code, **body})

    def degraded(self):
        return self.call("GET", "/health/ready").body.get("degraded")


@pytest.fixture
def serve(environment, sandbox_server, provider, tmp_path):
    """Starts the service with these settings, over one Redis."""
    redis = FakeRedis()
    (tmp_path / "apps.toml").write_text(APPS + MORE_APPS)

    def serve(routes=BOTH, **changes):
        changes = {
            "apps_file": str(tmp_path / "apps.toml"),
            "vavasms_url": f"{sandbox_server.url}/api",
            "resend_after": "0",
            "routes": routes,
            **changes,
        }
        names = {f"OTPSERVICE_{name.upper()}": value for name, value in changes.items()}
        settings = Settings.from_env({**environment, **names})
        client = create_app(settings, redis=redis).test_client()
        return Caller(client, KEYS["portal"])

    return serve


@pytest.fixture
def portal(serve):
    return serve()


def test_a_local_resend_takes_the_verification_over(portal, fault, codes, provider):
    first = portal.send().body
    fault("otp/send", "http_503")
    again = portal.send()
    assert (again.status_code, again.body["id"]) == (201, first["id"])
    (_, new), (_, old) = codes()
    refused = portal.confirm(old, id=first["id"])
    assert (refused.body["code"], refused.body["attempts_left"]) == ("wrong_code", 4)
    assert portal.confirm(new, id=first["id"]).status_code == 200
    assert provider.calls().get("otp/verify", 0) == 0


def test_a_hosted_resend_takes_the_verification_over(portal, fault, codes, provider):
    fault("otp/send", "http_503")
    id = portal.send().body["id"]
    assert portal.send().body["id"] == id
    (kind, new), (_, old) = codes()
    assert kind == "otp"
    assert portal.confirm(old, id=id).body["attempts_left"] == 4
    assert portal.confirm(new, id=id).status_code == 200
    assert provider.calls()["otp/verify"] == 2


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("before", ["hosted", "local"])
def test_after_a_local_resend_that_may_have_come_both_codes_are_good(
    portal, fault, codes, before, which
):
    if before == "local":
        fault("otp/send", "http_503")
    id = portal.send().body["id"]
    fault("otp/send", "http_503")
    fault("text/single", "reset_after")
    resent = portal.send()
    assert (resent.status_code, resent.body["id"]) == (202, id)
    assert portal.confirm(codes()[which][1], id=id).status_code == 200


def test_the_next_local_code_retires_both(portal, fault, codes):
    fault("otp/send", "http_503", times=3)
    id = portal.send().body["id"]
    fault("text/single", "reset_after")
    portal.send()
    portal.send()
    (_, new), *older = codes()
    left = [portal.confirm(code, id=id).body["attempts_left"] for _, code in older]
    assert left == [4, 3]
    assert portal.confirm(new, id=id).status_code == 200


def test_a_resend_that_surely_did_not_leave_changes_nothing(portal, fault, codes):
    first = portal.send().body
    for operation in ("otp/send", "text/single"):
        fault(operation, "http_503")
    assert portal.send().body["code"] == "provider_unavailable"
    held = portal.call("GET", f"/verifications/{first['id']}").body
    assert held == {name: first[name] for name in held}
    ((_, code),) = codes()
    assert portal.confirm(code, id=first["id"]).status_code == 200


def test_after_several_routes_the_answer_is_the_last_ones(portal, fault):
    fault("otp/send", "901")
    fault("text/single", "http_503")
    assert portal.send().body["code"] == "provider_unavailable"
    fault("text/single", "901")
    assert portal.send().body["code"] == "provider_rejected"


def test_another_purpose_goes_by_the_local_route_that_follows(portal, codes, provider):
    first, second = portal.send().body["id"], portal.send(purpose="two-factor").body["id"]
    (_, local), (_, hosted) = codes()
    assert [kind for kind, _ in codes()] == ["text", "otp"]
    assert portal.confirm(hosted, id=second).body["code"] == "wrong_code"
    assert provider.calls().get("otp/verify", 0) == 0
    assert portal.confirm(hosted, id=first).status_code == 200
    assert portal.confirm(local, id=second).status_code == 200


@pytest.mark.parametrize("app", ["hosted", "portal"])
def test_without_a_local_route_that_follows_it_is_a_conflict(serve, provider, app):
    portal = serve("vavasms-otp")
    portal.send()
    refused = portal.called(app).send(**{} if app == "hosted" else {"purpose": "two-factor"})
    assert (refused.status_code, refused.body["code"]) == (409, "purpose_conflict")
    assert 300 < refused.body["retry_after"] <= 310
    assert len(provider.inbox()) == 1


def test_an_apps_own_routes_win_in_a_conflict(serve, codes):
    serve("vavasms-otp").send()
    assert serve(BOTH).called("hosted").send().body["code"] == "purpose_conflict"
    assert serve("vavasms-otp").called("texting").send().status_code == 201
    assert [kind for kind, _ in codes()] == ["text", "otp"]


@pytest.mark.parametrize("routes", ["vavasms-text", "vavasms-text,vavasms-otp"])
def test_purposes_and_apps_are_side_by_side_on_local_routes(serve, codes, provider, routes):
    portal = serve(routes)
    shop = portal.called("shop")
    ids = [portal.send().body["id"], portal.send(purpose="two-factor").body["id"]]
    other = shop.send().body["id"]
    by_shop, *ours = (code for _, code in codes())
    assert portal.confirm(by_shop, id=ids[0]).body["attempts_left"] == 4
    for id, code in zip(ids, reversed(ours), strict=True):
        assert portal.confirm(code, id=id).status_code == 200
    assert shop.confirm(by_shop, id=other).status_code == 200
    assert provider.calls() == {"text/single": 3}


def test_a_login_that_went_by_the_local_route_leaves_the_hosted_one_free(portal, fault, codes):
    fault("otp/send", "http_503")
    portal.send()
    portal.send(purpose="two-factor")
    assert [kind for kind, _ in codes()] == ["otp", "text"]


@pytest.fixture
def by_http(serve, environment):
    """Starts the service with nothing but a gateway: no account at VavaSMS."""

    def start(url):
        no_account = {f"vavasms_{name}": "" for name in ("username", "password", "sender_id")}
        gateway = {"http_route_url": url, "http_route_secret": SECRET}
        apps_file = environment["OTPSERVICE_APPS_FILE"]
        return serve("http", apps_file=apps_file, **no_account, **gateway)

    return start


def test_a_gateway_alone_is_enough(by_http):
    with Gateway() as gateway:
        caller = by_http(gateway.url)
        id = caller.send().body["id"]
        (code,) = gateway.codes
        assert caller.confirm(wrong(code), id=id).body["attempts_left"] == 4
        assert caller.confirm(code, id=id).status_code == 200


def test_texts_alone_are_enough(serve, codes, provider):
    caller = serve("vavasms-text")
    id = caller.send().body["id"]
    ((_, code),) = codes()
    assert caller.confirm(wrong(code), id=id).body["attempts_left"] == 4
    assert caller.confirm(code, id=id).status_code == 200
    assert provider.calls() == {"text/single": 1}


def test_a_hosted_code_outlives_its_place_in_routes(serve, codes):
    id = serve("vavasms-otp").send().body["id"]
    after = serve("vavasms-text")
    ((_, code),) = codes()
    assert after.confirm(code, id=id).status_code == 200


def test_a_local_code_outlives_its_routes_and_their_settings(serve, by_http, codes):
    ids = [serve("vavasms-text").send(purpose=name).body["id"] for name in ("login", "two-factor")]
    second, first = (code for _, code in codes())
    assert serve("vavasms-otp").confirm(first, id=ids[0]).status_code == 200
    assert by_http("http://127.0.0.1:1").confirm(second, id=ids[1]).status_code == 200


def test_a_hosted_code_whose_account_is_gone_cannot_be_checked_and_costs_nothing(
    serve, by_http, codes
):
    id = serve("vavasms-otp").send().body["id"]
    after = by_http("http://127.0.0.1:1")
    ((_, code),) = codes()
    assert after.confirm(code, id=id).body["code"] == "provider_unavailable"
    assert after.call("GET", f"/verifications/{id}").body["attempts_left"] == 5


def test_a_dry_run_knows_that_no_route_would_be_asked(serve, fault):
    portal = serve(breaker_failures="1")
    fault("otp/send", "http_503")
    portal.send()
    assert portal.send(dry_run="true").body["would_send"]
    fault("otp/send", "http_503")
    fault("text/single", "http_503")
    assert portal.send().status_code == 503
    answer = portal.send(dry_run="true").body
    assert (answer["would_send"], answer["blocked_by"]) == (False, "provider_unavailable")
    assert 25 <= answer["retry_after"] <= 30
    refused = portal.send()
    assert (refused.status_code, refused.body["code"]) == (503, "provider_unavailable")
    assert 25 <= int(refused.headers["Retry-After"]) <= 30


def test_a_dry_run_beside_another_purpose_knows_it_too(serve, fault):
    portal = serve(breaker_failures="1")
    fault("text/single", "http_503")
    assert portal.called("texting").send().status_code == 503
    portal.send()
    answer = portal.send(dry_run="true", purpose="two-factor").body
    real = portal.send(purpose="two-factor")
    assert (real.body["code"], answer["blocked_by"]) == ("provider_unavailable",) * 2


def test_five_failures_in_a_row_open_a_breaker_and_readiness_says_so(portal, fault, provider):
    fault("otp/send", "http_503", times=9)
    assert portal.degraded() is None
    assert [portal.send(phone=f"+22507090000{n:02}").status_code for n in range(6)] == [201] * 6
    assert provider.calls()["otp/send"] == 5
    assert portal.degraded() == ["vavasms-otp send: ProviderUnavailable Unavailable"]
    health = portal.called("operator").call("GET", "/health").body
    assert (health["status"], health["degraded"]) == ("degraded", portal.degraded())
    assert health["breakers"] == {
        "vavasms-otp send": "open",
        "vavasms-otp check": "closed",
        "vavasms-text send": "closed",
    }


def test_wrong_credentials_are_told_at_once(portal, fault, provider):
    fault("otp/send", "901")
    portal.send()
    assert portal.degraded() == ["vavasms-otp send: ProviderRejected InvalidCredentials"]
    portal.send()
    assert provider.calls() == {"otp/send": 1, "text/single": 2}


def test_a_refused_sender_id_is_named_until_it_is_taken(portal, fault):
    fault("otp/send", "902", times=6)
    for n in range(6):
        portal.send(phone=f"+22507090000{n:02}")
    assert portal.degraded() == ["vavasms-otp sender ID DEMO: refused"]
    assert portal.call("GET", "/health/ready").status_code == 200
    portal.send(phone="+2250709000009")
    assert portal.degraded() is None


@pytest.mark.parametrize("reason", ["903", "913"])
def test_what_is_wrong_with_one_caller_opens_nothing(serve, fault, provider, reason):
    portal = serve("vavasms-otp", breaker_failures="2")
    fault("otp/send", reason, times=4)
    for _ in range(4):
        assert portal.send().status_code in {400, 502}
    assert provider.calls()["otp/send"] == 4
    assert portal.degraded() is None


def test_the_answer_names_the_route_that_was_taken(portal, fault):
    fault("otp/send", "http_503", times=1)
    key = {"Idempotency-Key": "a"}
    bodies = [{"phone": PHONE}, {"phone": PHONE}, {"phone": "+2250709000002"}]
    answers = [portal.call("POST", "/login-code", body, **key) for body in bodies[:2]]
    answers.append(portal.call("POST", "/login-code", bodies[2]))
    taken = [answer.headers.get("Verification-Route") for answer in answers]
    assert taken == ["vavasms-text", None, "vavasms-otp"]


def test_a_lost_answer_is_not_sent_again_for_the_same_idempotency_key(portal, fault, provider):
    fault("otp/send", "reset_after")
    body, key = {"phone": PHONE}, {"Idempotency-Key": "a"}
    answers = [portal.call("POST", "/login-code", body, **key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].body == answers[1].body
    assert provider.calls() == {"otp/send": 1}


def test_a_hosted_code_holds_the_phone_though_a_local_one_was_approved(portal, fault, codes):
    id = portal.send().body["id"]
    fault("otp/send", "http_503")
    fault("text/single", "reset_after")
    portal.send()
    assert portal.confirm(codes()[0][1], id=id).status_code == 200
    fault("otp/send", "http_503")
    portal.send()
    portal.send(purpose="two-factor")  # the first, hosted code was never confirmed
    assert [kind for kind, _ in codes()] == ["text", "text", "text", "otp"]


def test_two_routes_out_of_reach_leave_time_for_a_third(serve):
    with UNREACHABLE["connect timeout"]() as url, Gateway() as gateway:
        http = {"http_route_url": gateway.url, "http_route_secret": SECRET}
        account = {"vavasms_url": url, "provider_timeout": "6", "breaker_failures": "1"}
        caller = serve(f"{BOTH},http", **account, **http)
        assert caller.send().status_code == 201
        assert len(gateway.codes) == 1
        assert [reason.split(":")[0] for reason in caller.degraded()] == [
            "vavasms-otp send",
            "vavasms-text send",
        ]


def test_all_routes_together_take_no_longer_than_one_may(serve, fault, codes):
    caller = serve(provider_timeout="1")
    fault("otp/send", "http_503", delay_ms=700)
    fault("text/single", "delay_after", delay_ms=5000)
    started = time.monotonic()
    sent = caller.send()
    assert time.monotonic() - started < 2.5
    assert (sent.status_code, sent.get_json()["delivery"]) == (202, "unknown")
    ((_, code),) = codes()
    assert caller.confirm(code, id=sent.body["id"]).status_code == 200


def test_wrong_credentials_are_told_without_breakers_too(serve, fault):
    portal = serve(breaker_failures="0")
    fault("otp/send", "901")
    portal.send()
    assert portal.degraded() == ["vavasms-otp: account refused"]
    portal.send()
    assert portal.degraded() is None
