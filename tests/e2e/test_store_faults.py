"""Redis gone or silent under the running service: told at once, and over as soon as it is back."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.redis_servers import Server, until

# Seconds. Redis is given up on after a quarter of one; the rest is for a busy machine.
SOON = 1.5


@pytest.fixture(scope="module")
def redis(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("redis"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def service(run, redis):
    changes = {"routes": "vavasms-text", "prefix_send_quota": "", "phone_send_quota": ""}
    url = f"redis://127.0.0.1:{redis.port}/0"
    with redis.frozen(), run(redis_url=url, **changes) as service:
        assert_unavailable(service)  # though no connection was ever made
        redis.thaw()
        until(lambda: service.call("GET", "/health/ready").status == 200)
        yield service


def timed(call):
    began = time.monotonic()
    answer = call()
    return answer, time.monotonic() - began


def assert_unavailable(service, at_once=40):
    """Many calls of all kinds are answered so, and soon."""
    calls = [
        lambda: service.send("+2250709000001"),
        lambda: service.confirm("123456", phone="+2250709000001"),
        lambda: service.call("GET", "/verifications/ver_" + "0" * 36),
        lambda: service.call("GET", "/health/ready"),
    ]
    with ThreadPoolExecutor(at_once) as pool:
        told = list(pool.map(timed, (calls * at_once)[:at_once]))
    assert {(answer.status, answer.body["code"]) for answer, _ in told} == {
        (503, "store_unavailable")
    }
    assert max(seconds for _, seconds in told) < SOON


def ask_both_workers(service):
    """As far as one can from outside: they take connections as they please."""
    service.close()  # the connections that are open may all be one worker's
    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda _: service.call("GET", "/health/ready"), range(24)))
    assert {answer.status for answer in asked} == {200}


def works(service):
    sent = service.send("+2250709000002")
    return sent.status in {201, 202} or sent.body.get("code") == "resend_too_soon"


def test_a_silent_redis_is_told_with_connections_open_and_with_none(service, redis):
    assert works(service)
    for _ in range(2):  # the first time closes what was open
        with redis.frozen():
            assert_unavailable(service, at_once=1)
            assert_unavailable(service, at_once=200)
        until(lambda: works(service))


def test_a_redis_that_refuses_is_told_and_its_return_noticed_and_that_it_is_empty(service, redis):
    ask_both_workers(service)
    redis.kill()
    assert_unavailable(service)
    time.sleep(0.01)  # the next epoch is another one
    redis.start()
    until(lambda: works(service))
    lost = '"event": "store_came_back_empty"'

    def noticed():
        ask_both_workers(service)
        return service.log.read_text().count(lost)

    assert until(noticed) in {1, 2}  # one for each worker that had been asked
    assert "unforeseen_error" not in service.log.read_text()
