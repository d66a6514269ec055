"""What holds when everything is real: several workers, sockets, Redis and a provider."""

import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from otpservice.demo.embedded import embedded_redis
from tests.conftest import KEYS

PHONE = "+2250709000001"
FORM = "application/x-www-form-urlencoded"


def at_once(times, call):
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: call(), range(times)))
    return Counter(answer.body.get("code") or answer.status for answer in answers)


def wrong(code):
    return str(int(code) + 1).zfill(6)[-6:]


def test_a_login_from_the_code_to_the_proof(service):
    sent = service.send("07 09 00 00 01")
    assert sent.status == 201
    (sms,) = service.inbox(PHONE)
    assert (sms["kind"], sms["sender_id"], len(sms["code"])) == ("otp", "DEMO", 6)
    assert service.confirm(wrong(sms["code"]), id=sent.body["id"]).status == 422
    approved = service.confirm(sms["code"], id=sent.body["id"])
    assert (approved.status, approved.body["phone"]) == (200, PHONE)
    assert service.confirm(sms["code"], id=sent.body["id"]).body["code"] == "already_confirmed"
    assert service.calls("otp/verify") == 2


def test_fifty_right_codes_at_once_approve_once(service):
    id = service.send(PHONE).body["id"]
    code = service.inbox(PHONE)[0]["code"]
    outcomes = at_once(50, lambda: service.confirm(code, id=id))
    assert outcomes[200] == 1
    assert service.calls("otp/verify") <= 5
    assert set(outcomes) <= {200, "already_confirmed", "wrong_code", "attempts_exhausted"}


def test_two_hundred_wrong_codes_at_once_are_asked_about_five_times(service):
    id = service.send(PHONE).body["id"]
    code = wrong(service.inbox(PHONE)[0]["code"])
    outcomes = at_once(200, lambda: service.confirm(code, id=id))
    assert outcomes == {"wrong_code": 5, "attempts_exhausted": 195}
    assert service.calls("otp/verify") == 5


def test_a_hundred_sends_at_once_are_one_sms(service):
    outcomes = at_once(100, lambda: service.send(PHONE))
    assert outcomes == {201: 1, "resend_too_soon": 99}
    assert service.calls("otp/send") == len(service.inbox(PHONE)) == 1


def test_a_hundred_sends_at_once_without_a_cooldown_are_the_quota(run_service):
    with run_service(resend_after="0") as service:
        outcomes = at_once(100, lambda: service.send(PHONE))
        assert outcomes == {201: 5, "quota_exceeded": 95}
        assert service.calls("otp/send") == 5


def test_sends_the_provider_surely_refused_cost_nothing(service):
    service.fault("otp/send", "http_503", times=3)
    for _ in range(3):
        assert service.send(PHONE).body["code"] == "provider_unavailable"
    assert service.send(PHONE).body["sends_left"] == 4
    assert len(service.inbox(PHONE)) == 1


def test_a_send_whose_answer_was_lost_is_confirmable_and_not_repeated(service):
    service.fault("otp/send", "reset_after")
    sent = service.send(PHONE)
    assert (sent.status, sent.body["delivery"]) == (202, "unknown")
    (sms,) = service.inbox(PHONE)
    assert service.confirm(sms["code"], id=sent.body["id"]).status == 200
    assert service.calls("otp/send") == 1


def test_a_check_whose_answer_was_lost_stays_unknown(service):
    id = service.send(PHONE).body["id"]
    code = service.inbox(PHONE)[0]["code"]
    service.fault("otp/verify", "reset_after")
    assert service.confirm(code, id=id).status == 504
    # The provider has used the code up: it says "no such code", which proves nothing.
    assert service.confirm(code, id=id).body["code"] == "outcome_unknown"
    assert service.call("GET", f"/verifications/{id}").body["attempts_left"] == 3


def test_wrong_credentials_are_ours_to_mend(service):
    service.fault("otp/send", "901")
    assert service.send(PHONE).body["code"] == "provider_rejected"
    id = service.send(PHONE).body["id"]
    service.fault("otp/verify", "901")
    assert service.confirm("000000", id=id).body["code"] == "provider_rejected"
    assert service.call("GET", f"/verifications/{id}").body["attempts_left"] == 5


def test_a_redis_that_stalls_counts_a_guess_once(service, valkey):
    id = service.send(PHONE).body["id"]
    valkey.client_pause(700, all=True)
    assert service.confirm("000000", id=id).body["code"] == "store_unavailable"
    time.sleep(1)
    assert service.call("GET", f"/verifications/{id}").body["attempts_left"] >= 4
    assert service.calls("otp/verify") == 0


def test_a_redis_that_stalls_lets_no_sms_out_uncounted(service, valkey):
    valkey.client_pause(700, all=True)
    assert service.send(PHONE).body["code"] == "store_unavailable"
    time.sleep(1)
    assert service.calls("otp/send") == 0
    assert service.send("+2250709000002").status == 201


def test_a_redis_that_is_gone_stops_everything_and_its_return_is_enough(run_service):
    with ExitStack() as stack:
        redis = stack.enter_context(ExitStack())
        url = redis.enter_context(embedded_redis())
        service = stack.enter_context(run_service(redis_url=url))
        id = service.send(PHONE).body["id"]
        code = service.inbox(PHONE)[0]["code"]
        redis.close()
        assert service.send(PHONE).body["code"] == "store_unavailable"
        assert service.confirm(code, id=id).body["code"] == "store_unavailable"
        ready = service.call("GET", "/health/ready")
        assert (ready.status, ready.body["down"]) == (503, ["redis"])
        assert service.call("GET", "/health/live").status == 200
        stack.enter_context(embedded_redis(port=int(url.split(":")[2].split("/")[0])))
        assert service.call("GET", "/health/ready").status == 200
        # It came back empty: old codes are gone with their records, new ones are sent at once.
        assert service.confirm(code, id=id).status == 404
        assert service.send(PHONE).status == 201


def test_a_yes_without_a_store_approves_nothing(service, valkey):
    id = service.send(PHONE).body["id"]
    code = service.inbox(PHONE)[0]["code"]
    service.fault("otp/verify", "delay", delay_ms=400)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.confirm, code, id=id)
        time.sleep(0.2)
        valkey.client_pause(700, all=True)
        assert answer.result().body["code"] == "store_unavailable"
    time.sleep(1)


def test_no_secret_reaches_the_log(run_service):
    with run_service(log_level="DEBUG") as service:
        id = service.send(PHONE).body["id"]
        code = service.inbox(PHONE)[0]["code"]
        service.confirm(wrong(code), id=id)
        service.confirm(code, id=id)
        service.call("POST", "/login-code", {"phone": PHONE, "code": code})
    log = service.log.read_text()
    assert '"endpoint": "verifications.confirm"' in log
    for secret in (PHONE, PHONE[1:], code, wrong(code), "demo-password", "portal-key"):
        assert secret not in log


def spoken(service, head, body):
    """What the service answers to bytes after which nobody speaks any more."""
    lines = ["POST /login-code HTTP/1.1", "Host: x", f"Authorization: Bearer {KEYS['portal']}"]
    request = "\r\n".join([*lines, *head, "", ""]).encode() + body
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b"")).decode()


def in_chunks(body):
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("kind", [FORM, "application/json"])
def test_a_body_that_ends_early_is_not_acted_upon(service, kind):
    body = b"phone=%2B2250709000001" if kind == FORM else b'{"phone": "+2250709000001"}'
    head = [f"Content-Type: {kind}", f"Content-Length: {len(body) + 9}"]
    assert '"code":"invalid_request"' in spoken(service, head, body)
    assert service.calls("otp/send") == 0


def test_a_body_in_chunks_is_read_whole_and_has_the_same_bound(service):
    head = ["Content-Type: application/json", "Transfer-Encoding: chunked"]
    long = b'{"phone": "+2250709000001"}' + b" " * 4096
    assert '"code":"payload_too_large"' in spoken(service, head, in_chunks(long))
    assert '"code":"invalid_request"' in spoken(service, head, in_chunks(long)[:99])
    assert service.calls("otp/send") == 0
    assert '"status":"pending"' in spoken(service, head, in_chunks(long[:4096]))
