"""Quotas, lists of numbers and the dry run, as callers see them."""

import pytest

from tests.web.conftest import PHONE
from tests.web.test_problems import check


def test_an_address_is_bounded_over_all_phones_however_it_is_written(make_client, send):
    client = make_client(address_send_quota="3/hour")
    for n, address in enumerate(["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:C000:0201"]):
        assert send(f"+22507090000{n:02}", client=client, client_ip=address).status_code == 201
    answer = send("+2250709000009", client=client, client_ip="192.0.2.1")
    assert check(answer, 429, "quota_exceeded")["quota"] == "address"
    assert answer.headers["RateLimit-Policy"] == '"address";q=3;w=3600'


def test_an_ipv6_address_is_counted_by_its_64(make_client, send):
    client = make_client(address_send_quota="1/hour")
    assert send(client=client, client_ip="2001:db8::1").status_code == 201
    answer = send("+2250709000002", client=client, client_ip="2001:db8:0:0:ffff::9")
    check(answer, 429, "quota_exceeded")
    other = send("+2250709000002", client=client, client_ip="2001:db8:0:1::1")
    assert other.status_code == 201


def test_a_private_address_is_an_address(send):
    assert send(client_ip="10.0.0.7").status_code == 201


def test_wrong_guesses_of_one_address_are_bounded(make_client, send, confirm):
    client = make_client(address_failure_quota="2/hour")
    ids = [send(f"+22507090000{n:02}", client=client).get_json()["id"] for n in range(3)]
    for id in ids[:2]:
        answer = confirm("000000", client=client, id=id, client_ip="192.0.2.1")
        check(answer, 422, "wrong_code")
    answer = confirm("000000", client=client, id=ids[2], client_ip="192.0.2.1")
    assert check(answer, 429, "quota_exceeded")["quota"] == "address_failure"


def test_the_day_has_a_budget(make_client, send, route):
    client = make_client(daily_send_budget="1")
    assert send(client=client).status_code == 201
    body = check(send("+2250709000002", client=client), 429, "budget_exhausted")
    assert 0 < body["retry_after"] <= 86_400
    assert len(route.sent) == 1


def test_a_thousand_forged_headers_change_nothing(make_client, send):
    client = make_client(address_send_quota="1/hour", phone_rate_limit="5000/minute")
    assert send(client=client, client_ip="192.0.2.1").status_code == 201
    for n in range(1000):
        client.environ_base["HTTP_X_FORWARDED_FOR"] = f"198.51.{n // 250}.{n % 250}"
        client.environ_base["HTTP_FORWARDED"] = f"for=198.51.{n // 250}.{n % 250}"
        answer = send("+2250709000002", client=client, client_ip="192.0.2.1")
        assert answer.get_json()["code"] in {"quota_exceeded", "rate_limited"}


def test_a_denied_number_is_blocked_and_an_allowed_one_passes_the_countries(
    make_client, send, tmp_path, route
):
    deny, allow = tmp_path / "deny", tmp_path / "allow"
    deny.write_text("+2250709000002\n+22577\n")
    allow.write_text("+33612345678  # the head office\n")
    client = make_client(deny_file=str(deny), allow_file=str(allow))
    check(send("+2250709000002", client=client), 403, "destination_blocked")
    check(send("+33612345679", client=client), 403, "destination_blocked")
    assert send("+33612345678", client=client).status_code == 201
    assert send(client=client).status_code == 201
    assert len(route.sent) == 2


def test_an_allowed_number_passes_its_blocks_quota(make_client, send, tmp_path):
    allow = tmp_path / "allow"
    allow.write_text("+2250709000009\n")
    client = make_client(prefix_send_quota="1/hour", allow_file=str(allow))
    assert send(client=client).status_code == 201
    answer = send("+2250709000002", client=client)
    assert check(answer, 429, "quota_exceeded")["quota"] == "prefix"
    assert send("+2250709000009", client=client).status_code == 201


def dry(client, phone=PHONE, **body):
    return client.post("/login-code?dry_run=true", json={"phone": phone, **body})


def test_a_dry_run_says_yes_and_sends_nothing(client, route):
    answer = dry(client)
    assert answer.status_code == 200
    assert answer.get_json() == {"would_send": True, "blocked_by": None, "retry_after": None}
    assert route.sent == []


def test_a_dry_run_says_what_blocks_and_until_when(make_client, send):
    client = make_client(lockout_failures="1")
    id = send(client=client).get_json()["id"]
    said = dry(client).get_json()
    assert (said["would_send"], said["blocked_by"]) == (False, "resend_too_soon")
    assert 58 <= said["retry_after"] <= 60
    client.post("/confirm", json={"id": id, "code": "000000"})
    assert dry(client).get_json()["blocked_by"] == "phone_locked"
    blocked = dry(client, "+33612345678").get_json()
    assert (blocked["blocked_by"], blocked["retry_after"]) == ("destination_blocked", None)


@pytest.mark.parametrize(
    ("changes", "blocked_by"),
    [
        ({"phone_send_quota": "1/hour", "resend_after": "0"}, "quota_exceeded"),
        ({"daily_send_budget": "1", "resend_after": "0"}, "budget_exhausted"),
    ],
)
def test_a_dry_run_names_quota_and_budget(make_client, send, changes, blocked_by):
    client = make_client(**changes)
    send(client=client)
    assert dry(client).get_json()["blocked_by"] == blocked_by


def test_a_dry_run_sees_a_conflict_of_purposes(client, send):
    send()
    assert dry(client, purpose="two-factor").get_json()["blocked_by"] == "purpose_conflict"


def test_a_dry_run_spends_nothing_but_its_rate_limit(make_client, send):
    client = make_client(
        phone_send_quota="1/hour", address_send_quota="1/hour", daily_send_budget="1"
    )
    for _ in range(10):
        assert dry(client, client_ip="192.0.2.1").get_json()["would_send"]
    assert send(client=client, client_ip="192.0.2.1").status_code == 201
    client = make_client(phone_rate_limit="2/minute")
    for _ in range(2):
        dry(client)
    check(dry(client), 429, "rate_limited")


def test_bad_input_of_a_dry_run_is_answered_as_always(client):
    check(dry(client, "07"), 400, "invalid_phone")
    check(dry(client, purpose="reset"), 403, "forbidden")
    answer = client.post("/login-code?dry_run=yes", json={"phone": PHONE})
    check(answer, 400, "invalid_request")
    twice = client.post("/login-code?dry_run=true&dry_run=false", json={"phone": PHONE})
    check(twice, 400, "invalid_request")
