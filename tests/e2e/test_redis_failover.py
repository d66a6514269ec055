"""The service over sentinels and over a cluster, and what it does when a primary is killed."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from otpservice.app import create_app
from otpservice.config.settings import Settings
from otpservice.verification.errors import CodeRefused
from tests.conftest import KEYS
from tests.redis_servers import ClusterOf, Watched, until
from tests.web.conftest import ScriptedRoute

PHONES = [f"+22507090{n:05}" for n in range(30)]
GUESSES = 3
OPEN = {
    "routes": "vavasms-text",
    "phone_send_quota": "",
    "prefix_send_quota": "",
    "max_attempts": str(GUESSES),
    "redis_wait_replicas": "1",
}


class BySentinels(Watched):
    """After a failover there has to be a replica left, for one is waited for."""

    def __init__(self, stack, directory):
        super().__init__(stack, directory, replicas=2)

    def fail_over(self):
        before = self.primary
        before.kill()
        until(lambda: self.primary is not before)


class ByCluster(ClusterOf):
    def fail_over(self):
        primary, replica = self.data[0], self.data[3]
        primary.kill()
        until(lambda: replica.client.info("replication")["role"] == "master")
        primary.start()  # as the replica that is waited for


@pytest.fixture(scope="module", params=[BySentinels, ByCluster])
def servers(request, tmp_path_factory):
    with ExitStack() as stack:
        yield request.param(stack, tmp_path_factory.mktemp("redis"))


@pytest.fixture(scope="module")
def service(run, servers):
    with run(redis_url=servers.url, app_rate_limit="100000/minute", **OPEN) as service:
        yield service


def code_of(service, phone):
    return service.inbox(phone)[0]["text"][-6:]


def wrong(code):
    return str((int(code) + 1) % 1_000_000).zfill(6)


def test_a_login_from_the_first_call_to_the_lock(service):
    phone = "+2250709900001"
    once = {"Idempotency-Key": "form-1"}
    sent = service.call("POST", "/login-code", {"phone": phone, "client_ip": "192.0.2.1"}, **once)
    again = service.call("POST", "/login-code", {"phone": phone, "client_ip": "192.0.2.1"}, **once)
    assert (sent.status, again.status, again.body) == (201, 201, sent.body)
    assert service.send(phone).body["code"] == "resend_too_soon"
    code = code_of(service, phone)
    assert service.confirm(wrong(code), id=sent.body["id"]).body["attempts_left"] == GUESSES - 1
    assert service.confirm(code, phone=phone).status == 200
    assert service.confirm(code, id=sent.body["id"]).body["code"] == "already_confirmed"
    assert service.call("GET", f"/verifications/{sent.body['id']}").body["status"] == "approved"
    assert service.call("GET", "/health/ready").body == {"status": "ready"}


def test_guesses_and_requests_have_their_limits(environment, servers):
    limits = {"LOCKOUT_FAILURES": "2", "PHONE_RATE_LIMIT": "6/minute", "REDIS_URL": servers.url}
    names = {f"OTPSERVICE_{name}": value for name, value in limits.items()}
    route, body = ScriptedRoute(), {"phone": "+2250709900002"}
    app = create_app(Settings.from_env({**environment, **names}), routes={route.name: route})
    client = app.test_client()

    def post(path, **more):
        headers = {"Authorization": f"Bearer {KEYS['portal']}"}
        answer = client.post(path, json={**body, **more}, headers=headers)
        return answer.get_json().get("code", answer.status_code)

    assert post("/login-code") == 201
    route.raises = CodeRefused()
    guesses = [post("/confirm", code="000000") for _ in range(4)]
    assert guesses == ["wrong_code", "wrong_code", "phone_locked", "phone_locked"]
    assert [post("/login-code") for _ in range(2)] == ["phone_locked", "rate_limited"]


@contextmanager
def load(*callers):
    """Have each called again and again until the block ends; yields what they answered."""
    answers, going = [], [True]

    def repeat(call):
        while going:
            answers.append(call())
            time.sleep(0.01)

    with ThreadPoolExecutor(len(callers)) as pool:
        ended = [pool.submit(repeat, caller) for caller in callers]
        try:
            yield answers
        finally:
            going.clear()
    for each in ended:
        each.result()


def test_a_killed_primary_costs_some_seconds_and_no_limit(service, servers):
    sent = {phone: service.send(phone).body["id"] for phone in PHONES}
    codes = {id: code_of(service, phone) for phone, id in sent.items()}
    told = {id: Counter() for id in codes}
    first, *others = codes

    def guess(ids):
        def once():
            answers = []
            for id in ids:
                answer = service.confirm(codes[id] if id == first else wrong(codes[id]), id=id)
                told[id][answer.body.get("code", "yes")] += 1
                answers.append((answer.status, answer.body.get("code")))
            return answers

        return once

    callers = [guess([first]), *(guess(others[n::4]) for n in range(4))]
    with load(*callers) as answers:
        until(lambda: told[first]["yes"])
        servers.fail_over()
        until(lambda: service.send("+2250709900003").status == 201)
        until(lambda: all(told[id]["attempts_exhausted"] for id in others))
    assert told[first]["yes"] == 1
    # A guess whose answer was lost stays counted, and none is counted twice.
    assert all(told[id]["wrong_code"] <= GUESSES for id in others)
    outcomes = {outcome for once in answers for outcome in once}
    assert (503, "store_unavailable") in outcomes
    assert outcomes <= {
        (503, "store_unavailable"),
        (200, None),
        (409, "already_confirmed"),
        (422, "wrong_code"),
        (429, "attempts_exhausted"),
    }
    assert "unforeseen_error" not in service.log.read_text()
