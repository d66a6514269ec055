"""The endpoints of a verification, answer by answer."""

import re
from datetime import datetime, timedelta

import pytest

from otpservice.verification.errors import OutcomeUnknown
from tests.conftest import KEYS
from tests.web.conftest import PHONE

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")


def test_a_sent_code_is_answered_with_all_a_caller_needs(send, route):
    answer = send()
    body = answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/verifications/{body['id']}"
    assert re.match(r"ver_[0-9a-f]{36}\Z", body["id"])
    assert body["phone_masked"] == "+225********01"
    assert (body["status"], body["delivery"], body["purpose"]) == ("pending", "sent", "login")
    assert (body["attempts_left"], body["sends_left"]) == (5, 4)
    expires_at, resend_at = (datetime.fromisoformat(body[n]) for n in ("expires_at", "resend_at"))
    assert expires_at - resend_at == timedelta(seconds=240)
    assert TIME.match(body["expires_at"])
    assert [message.phone.e164 for message in route.sent] == [PHONE]


def test_a_lost_answer_is_202_and_can_still_be_confirmed(send, confirm, route):
    route.raises = OutcomeUnknown()
    answer = send()
    assert (answer.status_code, answer.get_json()["delivery"]) == (202, "unknown")
    route.raises = None
    assert confirm(id=answer.get_json()["id"]).status_code == 200


def test_the_right_code_approves_once(send, confirm):
    id = send().get_json()["id"]
    answer = confirm(id=id)
    body = answer.get_json()
    assert answer.status_code == 200
    assert TIME.match(body.pop("approved_at"))
    assert body == {
        "id": id,
        "status": "approved",
        "purpose": "login",
        "phone": PHONE,
        "phone_masked": "+225********01",
    }
    assert confirm(id=id).get_json()["code"] == "already_confirmed"


def test_a_code_can_be_confirmed_by_phone(send, confirm):
    send()
    assert confirm(phone="07 09 00 00 01").status_code == 200


def test_a_wrong_code_says_how_many_attempts_are_left(send, confirm):
    id = send().get_json()["id"]
    answer = confirm("000000", id=id)
    assert answer.status_code == 422
    assert answer.get_json()["attempts_left"] == 4
    assert answer.get_json()["id"] == id


def test_a_code_of_another_length_is_a_guess_like_any_other(send, confirm):
    id = send().get_json()["id"]
    assert confirm("1234", id=id).get_json()["attempts_left"] == 4


def test_looking_spends_nothing(client, send):
    sent = send().get_json()
    for _ in range(20):
        answer = client.get(f"/verifications/{sent['id']}")
    assert answer.status_code == 200
    assert answer.get_json() == {
        name: sent[name]
        for name in (
            "id",
            "status",
            "purpose",
            "phone_masked",
            "expires_at",
            "resend_at",
            "attempts_left",
        )
    }


def test_a_canceled_verification_approves_nothing(client, send, confirm, route):
    id = send().get_json()["id"]
    assert client.delete(f"/verifications/{id}").status_code == 204
    assert client.delete(f"/verifications/{id}").status_code == 204
    assert confirm(id=id).get_json()["code"] == "canceled"
    assert route.checked == []


def test_another_apps_verification_does_not_exist(client, send, confirm):
    id = send().get_json()["id"]
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {KEYS['shop']}"
    answers = [
        confirm(id=id),
        client.get(f"/verifications/{id}"),
        client.delete(f"/verifications/{id}"),
    ]
    assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_forms_are_taken_too(client):
    sent = client.post("/login-code", data={"phone": PHONE, "purpose": "two-factor"})
    assert (sent.status_code, sent.get_json()["purpose"]) == (201, "two-factor")
    checked = client.post(
        "/confirm", data={"code": "123456", "phone": PHONE, "purpose": "two-factor"}
    )
    assert checked.status_code == 200


def test_the_message_follows_the_locale(make_client, send, route):
    client = make_client(message_en="Your code: ##OTP##", resend_after="0")
    for locale in ("en", "fr"):
        send(client=client, locale=locale)
    assert [message.template for message in route.sent] == [
        "Your code: ##OTP##",
        "Votre code OTP est : ##OTP##",
    ]


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_either_header_carries_the_key(make_client, header):
    client = make_client()
    del client.environ_base["HTTP_AUTHORIZATION"]
    value = f"Bearer {KEYS['portal']}" if header == "Authorization" else KEYS["portal"]
    answer = client.post("/login-code", json={"phone": PHONE}, headers={header: value})
    assert answer.status_code == 201


def test_a_good_request_id_comes_back_and_a_bad_one_is_replaced(client):
    good = client.get("/health/live", headers={"X-Request-Id": "a.B-9_z"})
    bad = client.get("/health/live", headers={"X-Request-Id": "a b"})
    assert good.headers["X-Request-Id"] == "a.B-9_z"
    assert re.match(r"[0-9a-f]{32}\Z", bad.headers["X-Request-Id"])


@pytest.mark.parametrize("path", ["/health/live", "/nowhere", "/verifications/x"])
def test_every_answer_has_the_safe_headers(client, path):
    headers = client.get(path).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
