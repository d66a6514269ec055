"""Every error of the contract's table, provoked at least once."""

import threading
import time
from pathlib import Path

import pytest
from redis import Redis

from otpservice.store.client import connect
from otpservice.verification.errors import (
    NumberRefused,
    OutcomeUnknown,
    ProviderRejected,
    ProviderUnavailable,
)
from otpservice.web.problems import PROBLEMS
from tests.conftest import KEYS
from tests.web.conftest import PHONE


def check(answer, status, code):
    """An error in the form that all have; returns its body."""
    body = answer.get_json()
    assert (answer.status_code, body["code"]) == (status, code)
    assert answer.mimetype == "application/problem+json"
    assert body["status"] == status
    assert body["request_id"] == answer.headers["X-Request-Id"]
    assert body["type"].endswith(f":{code}")
    assert body["title"]
    assert body["detail"]
    waits = (status in {429, 503} and code != "attempts_exhausted") or code in {
        "purpose_conflict",
        "idempotency_in_progress",
    }
    assert ("Retry-After" in answer.headers) == waits
    if waits:
        assert answer.headers["Retry-After"] == str(body["retry_after"])
    return body


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "phone"),
        ({"phone": None}, "phone"),
        ({"phone": 2250709000001}, "phone"),
        ({"phone": ["+2250709000001"]}, "phone"),
        ({"phone": PHONE, "purpose": "Log in"}, "purpose"),
        ({"phone": PHONE, "purpose": "login\n"}, "purpose"),
        ({"phone": PHONE, "purpose": ""}, "purpose"),
        ({"phone": PHONE, "locale": "../fr"}, "locale"),
        ({"phone": PHONE, "client_ip": "somewhere"}, "client_ip"),
        ({"phone": PHONE, "client_ip": "fe80::1%eth0"}, "client_ip"),
        ({"phone": PHONE, "telephone": "1"}, "telephone"),
    ],
)
def test_a_wrong_field_is_named(client, route, body, field):
    answer = client.post("/login-code", json=body)
    assert field in check(answer, 400, "invalid_request")["errors"]
    assert route.sent == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"id": "x"}, "code"),
        ({"id": "x", "code": 123456}, "code"),
        ({"id": "x", "code": "123"}, "code"),
        ({"id": "x", "code": "1234567890"}, "code"),
        ({"id": "x", "code": "12345a"}, "code"),
        ({"id": "x", "code": "123456\n"}, "code"),
        ({"id": "x", "code": " 123456"}, "code"),
        ({"id": "x", "code": "\u0661\u0662\u0663\u0664\u0665\u0666"}, "code"),
        ({"code": "123456"}, "id"),
        ({"code": "123456", "id": "x", "phone": PHONE}, "phone"),
        ({"code": "123456", "id": 7}, "id"),
    ],
)
def test_a_wrong_confirmation_is_refused_uncounted(client, send, body, field):
    id = send().get_json()["id"]
    if body.get("id") == "x":
        body = {**body, "id": id}
    answer = client.post("/confirm", json=body)
    assert field in check(answer, 400, "invalid_request")["errors"]
    assert client.get(f"/verifications/{id}").get_json()["attempts_left"] == 5


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b"\xff",
        b'{"phone": NaN}',
        b'{"phone": "+2250709000001", "phone": "+2250709000002"}',
        b"[" * 4000,
        b'{"phone": ' + b"9" * 4000 + b"}",
        b'{"\\ud800": 1}',
    ],
)
def test_a_body_that_is_no_json_object_is_refused(client, route, data):
    answer = client.post("/login-code", data=data, content_type="application/json")
    check(answer, 400, "invalid_request")
    assert route.sent == []


@pytest.mark.parametrize("data", [b"phone=%ff", b"phone=1&phone=2", b"&".join([b"a=1"] * 99)])
def test_a_form_that_cannot_be_read_is_refused(client, data):
    answer = client.post("/login-code", data=data, content_type="application/x-www-form-urlencoded")
    check(answer, 400, "invalid_request")


def test_an_unknown_query_parameter_is_refused(client, route):
    answer = client.post("/login-code?dryrun=1", json={"phone": PHONE})
    assert "dryrun" in check(answer, 400, "invalid_request")["errors"]
    assert route.sent == []


def test_an_old_ivorian_number_is_refused_with_the_way_out(client):
    body = check(client.post("/login-code", json={"phone": "22509000001"}), 400, "invalid_phone")
    assert "10 digits" in body["detail"]
    assert body["errors"] == {"phone": [body["detail"]]}


def test_a_number_the_provider_refuses_is_invalid(client, send, route):
    route.raises = NumberRefused()
    check(send(), 400, "invalid_phone")
    route.raises = None
    assert send().get_json()["sends_left"] == 4


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {KEYS['portal']}"},
        {"Authorization": "Bearer \xe9"},
        {"Authorization": "", "X-API-Key": KEYS["portal"]},
    ],
)
def test_without_a_good_key_nothing_is_told(client, headers):
    answer = client.post("/login-code", json={}, headers=headers)
    check(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_key_without_the_scope_is_forbidden(client):
    headers = {"Authorization": "Bearer otps_probe-key"}
    check(client.post("/login-code", json={"phone": PHONE}, headers=headers), 403, "forbidden")


def test_a_purpose_the_app_may_not_use_is_forbidden(send, confirm):
    check(send(purpose="reset"), 403, "forbidden")
    check(confirm(phone=PHONE, purpose="reset"), 403, "forbidden")


def test_a_number_of_another_country_is_blocked(send, route):
    check(send("+33612345678"), 403, "destination_blocked")
    assert route.sent == []


@pytest.mark.parametrize("path", ["/", "/login-code/", "//login-code", "/verifications/", "/x%00"])
def test_an_unknown_address_is_not_found(client, path):
    check(client.post(path, json={}), 404, "not_found")


def test_a_verification_nobody_has_is_not_found(client, confirm):
    check(confirm(phone=PHONE), 404, "not_found")
    check(client.get("/verifications/ver_" + "0" * 36), 404, "not_found")
    check(client.delete("/verifications/nothing"), 404, "not_found")


def test_another_method_is_not_allowed(client):
    answer = client.get("/login-code")
    check(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


def test_a_long_body_is_too_large(client):
    answer = client.post("/login-code", json={"phone": "1" * 4096})
    check(answer, 413, "payload_too_large")


@pytest.mark.parametrize("kind", [None, "text/plain", "multipart/form-data; boundary=x"])
def test_another_media_type_is_not_supported(client, kind):
    answer = client.post("/login-code", data=b"phone=1", content_type=kind)
    check(answer, 415, "unsupported_media_type")


def test_an_approved_verification_is_already_confirmed(client, send, confirm, route):
    id = send().get_json()["id"]
    confirm(id=id)
    check(confirm(id=id), 409, "already_confirmed")
    check(confirm(phone=PHONE), 409, "already_confirmed")
    check(client.delete(f"/verifications/{id}"), 409, "already_confirmed")
    assert len(route.checked) == 1


def test_a_canceled_verification_says_so(client, send, confirm):
    id = send().get_json()["id"]
    client.delete(f"/verifications/{id}")
    assert check(confirm(id=id), 409, "canceled")["id"] == id


def test_an_expired_verification_says_so_everywhere(make_client, send, confirm, route):
    client = make_client(code_ttl="1")
    id = send(client=client).get_json()["id"]
    time.sleep(1.1)
    check(confirm(client=client, id=id), 410, "expired")
    check(client.delete(f"/verifications/{id}"), 410, "expired")
    assert client.get(f"/verifications/{id}").get_json()["status"] == "expired"
    assert route.checked == []


def test_guesses_run_out_and_the_last_is_still_wrong(send, confirm, route):
    id = send().get_json()["id"]
    left = [check(confirm("000000", id=id), 422, "wrong_code")["attempts_left"] for _ in range(5)]
    assert left == [4, 3, 2, 1, 0]
    assert check(confirm(id=id), 429, "attempts_exhausted")["id"] == id
    assert len(route.checked) == 5


def test_too_many_failures_lock_the_phone(make_client, send, confirm):
    client = make_client(lockout_failures="2")
    id = send(client=client).get_json()["id"]
    for _ in range(2):
        confirm("000000", client=client, id=id)
    assert check(confirm(client=client, id=id), 429, "phone_locked")["retry_after"] <= 3600
    check(send(client=client), 429, "phone_locked")


def test_a_second_code_inside_the_cooldown_is_too_soon(send, route):
    id = send().get_json()["id"]
    body = check(send(), 429, "resend_too_soon")
    assert (body["id"], body["retry_after"]) == (id, 60)
    assert len(route.sent) == 1


def test_the_quota_of_a_phone_is_named(make_client, send, route):
    client = make_client(resend_after="0", phone_send_quota="2/hour")
    for _ in range(2):
        send(client=client)
    answer = send(client=client)
    body = check(answer, 429, "quota_exceeded")
    assert body["quota"] == "phone"
    assert answer.headers["RateLimit-Policy"] == '"phone";q=2;w=3600'
    assert answer.headers["RateLimit"] == f'"phone";r=0;t={body["retry_after"]}'
    assert len(route.sent) == 2


def test_the_budget_of_a_day_is_exhausted(make_client, send):
    client = make_client(daily_send_budget="1")
    send(client=client)
    check(send("+2250709000002", client=client), 429, "budget_exhausted")


def test_another_purpose_conflicts_while_a_hosted_code_is_out(send):
    send()
    check(send(purpose="two-factor"), 409, "purpose_conflict")


def test_six_spellings_share_one_rate_limit(make_client, confirm):
    client = make_client(phone_rate_limit="5/minute")
    spellings = ["0709000001", "07 09 00 00 01", PHONE, "2250709000001", "002250709000001"]
    for spelling in spellings:
        check(confirm(client=client, phone=spelling), 404, "not_found")
    answer = confirm(client=client, phone="+225 07-09-00-00-01")
    assert check(answer, 429, "rate_limited")["limit"] == "phone"
    assert answer.headers["RateLimit-Policy"] == '"phone";q=5;w=60'


def test_an_app_has_a_rate_limit_over_all_phones(make_client, send):
    client = make_client(app_rate_limit="2/minute")
    for n in (1, 2):
        assert send(f"+22507090000{n:02}", client=client).status_code == 201
    assert check(send(client=client), 429, "rate_limited")["limit"] == "app"


def test_by_id_the_rate_limit_counts_per_id(make_client, send, confirm):
    client = make_client(phone_rate_limit="2/minute")
    id = send(client=client).get_json()["id"]
    for _ in range(2):
        check(confirm("000000", client=client, id=id), 422, "wrong_code")
    check(confirm("000000", client=client, id=id), 429, "rate_limited")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ProviderRejected(), 502, "provider_rejected"),
        (ProviderUnavailable(), 503, "provider_unavailable"),
    ],
)
def test_what_the_provider_surely_did_not_do_is_given_back(
    client, send, confirm, route, error, status, code
):
    id = send().get_json()["id"]
    route.raises = error
    check(confirm(id=id), status, code)
    check(send("+2250709000002"), status, code)
    route.raises = None
    assert client.get(f"/verifications/{id}").get_json()["attempts_left"] == 5
    assert send("+2250709000002").get_json()["sends_left"] == 4


def test_a_lost_check_stays_counted(send, confirm, route):
    id = send().get_json()["id"]
    route.raises = OutcomeUnknown()
    assert check(confirm(id=id), 504, "outcome_unknown")["id"] == id
    route.raises = None
    assert check(confirm("000000", id=id), 422, "wrong_code")["attempts_left"] == 3


def test_a_code_forgotten_after_a_lost_check_is_unknown_again(send, confirm, route):
    id = send().get_json()["id"]
    route.raises = OutcomeUnknown()
    confirm(id=id)
    route.raises = None
    route.sent.clear()
    check(confirm(id=id), 504, "outcome_unknown")
    check(confirm(id=id), 504, "outcome_unknown")


def test_a_code_the_provider_forgot_is_wrong(send, confirm, route):
    id = send().get_json()["id"]
    route.sent.clear()
    check(confirm(id=id), 422, "wrong_code")


def test_sending_can_be_turned_off_and_confirming_goes_on(make_client, send, confirm, route):
    client = make_client(sending="off")
    check(send(client=client), 503, "sending_disabled")
    check(confirm(client=client, phone=PHONE), 404, "not_found")
    assert route.sent == []


def test_without_redis_nothing_is_sent_and_nothing_confirmed(make_client, send, confirm, route):
    client = make_client(redis=connect("redis://127.0.0.1:1/0"))
    check(send(client=client), 503, "store_unavailable")
    check(confirm(client=client, phone=PHONE), 503, "store_unavailable")
    check(client.get("/verifications/ver_" + "0" * 36), 503, "store_unavailable")
    assert check(client.get("/health/ready"), 503, "store_unavailable")["down"] == ["redis"]
    assert client.get("/health/live").status_code == 200
    assert route.sent == route.checked == []


def test_a_redis_that_refuses_to_write_is_unavailable(make_client, send, valkey: Redis, route):
    client = make_client(redis=valkey)
    valkey.config_set("maxmemory", 1)
    try:
        check(send(client=client), 503, "store_unavailable")
    finally:
        valkey.config_set("maxmemory", 0)
    assert route.sent == []


def test_more_at_once_than_a_worker_takes_is_overloaded(make_client, send, route):
    client = make_client(max_in_flight=1)
    entered, leave = threading.Event(), threading.Event()

    def slow_send(_message):
        entered.set()
        leave.wait(10)

    route.send = slow_send
    slow_client = client.application.test_client()
    slow_client.environ_base.update(client.environ_base)
    slow = threading.Thread(target=lambda: send(client=slow_client))
    slow.start()
    assert entered.wait(10)
    check(send("+2250709000002", client=client), 503, "overloaded")
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").status_code == 200
    leave.set()
    slow.join()
    assert client.get("/verifications/x").status_code == 404


def test_a_bug_is_a_problem_too_and_says_nothing_of_itself(client, send, route):
    route.raises = RuntimeError("secret detail")
    answer = send()
    check(answer, 500, "internal_error")
    assert "secret" not in answer.get_data(as_text=True)


def test_every_error_of_the_table_is_provoked():
    here = Path(__file__).parent
    source = Path(__file__).read_text() + (here / "test_replays.py").read_text()
    missing = {problem.code for problem in PROBLEMS.values() if f'"{problem.code}"' not in source}
    assert missing == set()
