"""A repeated Idempotency-Key through the whole service."""

import threading

from fakeredis import FakeRedis

from otpservice.verification.errors import OutcomeUnknown, ProviderUnavailable
from tests.conftest import KEYS
from tests.web.conftest import PHONE
from tests.web.test_problems import check

KEY = {"Idempotency-Key": "login-4711"}


def post(client, path, body, **headers):
    return client.post(path, json=body, headers={**KEY, **headers})


def test_a_repeated_send_is_one_sms_and_the_same_answer(client, route):
    first = post(client, "/login-code", {"phone": PHONE})
    again = post(client, "/login-code", {"phone": PHONE})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.get_json() == first.get_json()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert len(route.sent) == 1


def test_a_repeated_lost_send_is_answered_lost_again(client, route):
    route.raises = OutcomeUnknown()
    first = post(client, "/login-code", {"phone": PHONE})
    again = post(client, "/login-code", {"phone": PHONE})
    assert first.status_code == again.status_code == 202
    assert again.get_json() == first.get_json()
    assert len(route.sent) == 1


def test_a_repeated_confirmation_is_approved_again_and_asked_once(client, send, route):
    id = send().get_json()["id"]
    first = post(client, "/confirm", {"id": id, "code": "123456"})
    again = post(client, "/confirm", {"id": id, "code": "123456"})
    assert first.status_code == again.status_code == 200
    assert again.get_json() == first.get_json()
    assert len(route.checked) == 1


def test_a_repeated_wrong_guess_is_one_guess(client, send, route):
    id = send().get_json()["id"]
    for _ in range(3):
        answer = post(client, "/confirm", {"id": id, "code": "000000"})
        assert check(answer, 422, "wrong_code")["attempts_left"] == 4
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert len(route.checked) == 1


def test_a_repeated_lost_guess_is_one_guess(client, send, route):
    id = send().get_json()["id"]
    route.raises = OutcomeUnknown()
    for _ in range(3):
        check(post(client, "/confirm", {"id": id, "code": "123456"}), 504, "outcome_unknown")
    assert len(route.checked) == 1


def test_what_spent_nothing_is_done_anew(client, route):
    route.raises = ProviderUnavailable()
    check(post(client, "/login-code", {"phone": PHONE}), 503, "provider_unavailable")
    route.raises = None
    answer = post(client, "/login-code", {"phone": PHONE})
    assert answer.status_code == 201
    assert "Idempotency-Replayed" not in answer.headers


def test_another_body_is_a_mismatch(client, route):
    post(client, "/login-code", {"phone": PHONE})
    answer = post(client, "/login-code", {"phone": "+2250709000002"})
    check(answer, 422, "idempotency_mismatch")
    assert len(route.sent) == 1


def test_two_apps_and_two_endpoints_with_one_key_see_nothing_of_each_other(client, route):
    id = post(client, "/login-code", {"phone": PHONE}).get_json()["id"]
    shop = {"Authorization": f"Bearer {KEYS['shop']}"}
    theirs = post(client, "/login-code", {"phone": "+2250709000002"}, **shop)
    assert theirs.get_json()["id"] != id
    assert post(client, "/confirm", {"id": id, "code": "123456"}).status_code == 200


def test_the_second_is_told_to_wait_while_the_first_runs(make_client, route):
    client = make_client(redis=FakeRedis())
    entered, leave = threading.Event(), threading.Event()

    def slow_send(_message):
        entered.set()
        leave.wait(10)

    route.send = slow_send
    other = client.application.test_client()
    other.environ_base.update(client.environ_base)
    first = threading.Thread(target=lambda: post(other, "/login-code", {"phone": PHONE}))
    first.start()
    assert entered.wait(10)
    body = check(post(client, "/login-code", {"phone": PHONE}), 409, "idempotency_in_progress")
    assert 1 <= body["retry_after"] <= 15
    leave.set()
    first.join()


def test_a_dry_run_takes_no_key(client, route):
    dry = client.post("/login-code?dry_run=true", json={"phone": PHONE}, headers=KEY)
    assert dry.get_json()["would_send"]
    assert post(client, "/login-code", {"phone": PHONE}).status_code == 201


def test_a_bad_key_is_named(client, route):
    answer = post(client, "/login-code", {"phone": PHONE}, **{"Idempotency-Key": "\xe9"})
    assert "Idempotency-Key" in check(answer, 400, "invalid_request")["errors"]
    assert route.sent == []
