"""One client for every form of REDIS_URL: what runs, runs once, and silence is not waited for."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from redis.connection import Connection
from redis.crc import key_slot
from redis.exceptions import RedisError

from otpservice.store.client import connect, send
from otpservice.store.health import servers
from otpservice.store.scripts import Call, Scripts
from otpservice.verification.errors import StoreUnavailable
from tests.redis_servers import ClusterOf, Server, Watched, until

INCREMENT = "return redis.call('INCR', KEYS[1])"


@pytest.fixture(scope="module")
def stack():
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("redis")


@pytest.fixture(scope="module")
def alone(stack, directory):
    server = Server(directory)
    stack.callback(server.close)
    server.url = f"redis://127.0.0.1:{server.port}/0"
    return server


@pytest.fixture(scope="module")
def pair(stack, directory):
    return ClusterOf(stack, directory, primaries=2, replicas=0, down_after=5000)


@pytest.fixture(scope="module")
def watched(stack, directory):
    return Watched(stack, directory)


@pytest.fixture
def client_of():
    with ExitStack() as clients:
        yield lambda url: clients.enter_context(connect(url))


@pytest.fixture(params=["alone", "pair", "watched"])
def anywhere(request):
    """A URL, and what holds the key ``counter``."""
    place = request.getfixturevalue(request.param)
    with connect(place.url) as client:
        client.execute_command("SET", "counter", 0)
    holder = {
        "alone": lambda: place,
        "pair": lambda: place.primary_of("counter"),
        "watched": lambda: place.primary,
    }
    return place.url, holder[request.param]()


def increment(client):
    client.execute_command("EVAL", INCREMENT, 1, "counter")


def increment_in_a_pipeline(client):
    ((answer,),) = send(client, [[("EVAL", INCREMENT, 1, "counter")]])
    if isinstance(answer, RedisError):
        raise answer


@pytest.mark.parametrize("call", [increment, increment_in_a_pipeline])
def test_a_script_that_is_not_answered_in_time_has_run_once(anywhere, client_of, call):
    url, server = anywhere
    client = client_of(url)
    call(client)
    with server.frozen(), pytest.raises(RedisError):
        call(client)
    # Whatever waited in its socket is run before this connection is answered.
    until(lambda: int(client.execute_command("GET", "counter")) == 2)
    call(client)
    assert int(client.execute_command("GET", "counter")) == 3


def test_whoever_waits_for_a_connection_to_a_silent_redis_is_told_with_the_first(anywhere):
    url, server = anywhere

    def ask(_):
        began = time.monotonic()
        with pytest.raises(RedisError):
            increment(client)
        return time.monotonic() - began

    with connect(url) as client, ThreadPoolExecutor(100) as pool:
        increment(client)
        with server.frozen():
            waited = list(pool.map(ask, range(100)))
        until(lambda: increment(client) is None)
    # 100 with 16 connections, one after another, would take 1.75 s.
    assert max(waited) < 1.2


def test_a_connection_that_was_closed_while_idle_is_replaced_unnoticed(alone, client_of):
    client = client_of(alone.url)
    client.execute_command("SET", "counter", 0)
    alone.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    time.sleep(0.6)  # used a moment ago, it would not be looked at
    increment(client)
    assert int(client.execute_command("GET", "counter")) == 1


def test_scripts_run_on_a_server_that_does_not_know_them_yet(anywhere, client_of):
    url, _ = anywhere
    client = client_of(url)
    scripts = Scripts(client)
    calls = [Call("epoch", [f"otp:{{{n}}}:since"], [1000]) for n in range(8)]
    for _ in range(2):
        for server in servers(client):
            server.script_flush()
        assert scripts.run(calls[:1])[0][0] == "since"
        assert {word for word, _ in scripts.run(calls)} == {"since"}


def ids(pair):
    return [server.client.execute_command("CLUSTER MYID") for server in pair.data]


def move(pair, slot, to):
    for server in pair.data:
        server.client.execute_command("CLUSTER SETSLOT", slot, "NODE", ids(pair)[to])


@pytest.mark.parametrize("call", [increment, increment_in_a_pipeline])
def test_a_slot_that_moved_is_found_and_the_script_runs_once(pair, client_of, call):
    client = client_of(pair.url)
    client.execute_command("DEL", "counter")
    assert client.execute_command("TIME")
    at = next(n for n, server in enumerate(pair.data) if holds(server, key_slot(b"counter")))
    move(pair, key_slot(b"counter"), 1 - at)
    call(client)
    assert pair.data[1 - at].client.get("counter") == "1"


@pytest.mark.parametrize("call", [increment, increment_in_a_pipeline])
def test_a_slot_that_is_moving_is_asked_for_where_it_goes(pair, client_of, call):
    client, slot = client_of(pair.url), key_slot(b"counter")
    client.execute_command("DEL", "counter")
    at = next(n for n, server in enumerate(pair.data) if holds(server, slot))
    here, there = pair.data[at].client, pair.data[1 - at].client
    there.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids(pair)[at])
    here.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids(pair)[1 - at])
    call(client)
    move(pair, slot, 1 - at)
    assert there.get("counter") == "1"


def test_a_slot_that_was_without_a_node_is_found_again(pair, client_of):
    client, slot = client_of(pair.url), key_slot(b"counter")
    at = next(server for server in pair.data if holds(server, slot))
    for server in pair.data:
        server.client.execute_command("CLUSTER DELSLOTS", slot)
    try:
        for _ in range(2):
            with pytest.raises(RedisError):
                increment(client)
    finally:
        at.client.execute_command("CLUSTER ADDSLOTS", slot)
    until(lambda: increment(client) is None)


def holds(server, slot):
    """Whether it is the one of a pair that holds ``slot``."""
    ranges = server.client.execute_command("CLUSTER SLOTS")
    return any(
        first <= slot <= last and holder[1] == server.port for first, last, holder, *_ in ranges
    )


def test_a_primary_that_was_away_for_long_is_left_though_it_still_takes_writes(watched, client_of):
    client, before = client_of(watched.url), watched.primary
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: increment(client), range(64)))  # many connections, idle now
    with before.frozen():
        until(lambda: watched.primary is not before)
        until(lambda: increment(client) is None)
    reached = int(watched.primary.client.get("counter"))
    for _ in range(32):
        increment(client)
    assert int(watched.primary.client.get("counter")) == reached + 32


def test_a_server_that_became_a_replica_is_no_store_until_it_is_primary_again(alone, client_of):
    scripts, call = Scripts(client_of(alone.url)), Call("epoch", ["otp:{epoch}:since"], [1000])
    scripts.run([call])
    alone.client.replicaof("127.0.0.1", 1)
    with pytest.raises(StoreUnavailable):
        scripts.run([call])
    alone.client.replicaof("NO", "ONE")
    assert scripts.run([call])[0][0] == "since"


@pytest.mark.parametrize("known", [True, False])
def test_a_followup_to_a_silent_node_is_lost_and_undoes_nothing(pair, client_of, known):
    scripts = Scripts(client_of(pair.url))
    first, followup = (Call("epoch", [f"otp:{{{tag}}}:since"], [9000]) for tag in ("a", "b"))
    scripts.run([first, followup])
    here, there = (pair.primary_of(call.keys[0]) for call in (first, followup))
    assert here is not there
    if not known:  # on this node it is sent again, in full
        here.client.script_flush()
    with there.frozen():
        answers = scripts.run([first], [followup])
        with pytest.raises(StoreUnavailable):
            scripts.run([first, followup])
    assert [words[0] for words in answers] == ["since", "lost"]


def test_sentinels_that_are_away_or_silent_are_passed_over(watched, client_of):
    last, *others = watched.sentinels
    with others[0].frozen():
        refused = "127.0.0.1:1"
        nodes = [refused, f"127.0.0.1:{others[0].port}", f"127.0.0.1:{last.port}"]
        client = client_of(f"redis+sentinel://{','.join(nodes)}/{watched.NAME}")
        assert until(lambda: client.execute_command("PING"))


def test_a_name_no_sentinel_knows_is_an_unavailable_store(watched, client_of):
    scripts = Scripts(client_of(watched.url.replace(watched.NAME, "others")))
    with pytest.raises(StoreUnavailable):
        scripts.run([Call("epoch", ["otp:{epoch}:since"], [1000])])


@pytest.fixture
def protected(watched, pair):
    """A user ``app`` on all servers; one sentinel wants a user ``watcher``, who is no other's."""
    rights = ("on", "~*", "&*", "+@all")
    for server in (*watched.data, *pair.data):
        server.client.execute_command("ACL", "SETUSER", "app", ">pass word", *rights)
    sentinel = watched.sentinels[0]
    sentinel.client.execute_command("ACL", "SETUSER", "watcher", ">w@tch", *rights)
    sentinel.client.execute_command("ACL", "SETUSER", "default", "resetpass")
    yield f"127.0.0.1:{sentinel.port}/{watched.NAME}"
    with connect(f"redis://watcher:w%40tch@127.0.0.1:{sentinel.port}") as again:
        again.execute_command("ACL", "SETUSER", "default", "nopass")


@pytest.mark.usefixtures("protected")
def test_a_login_is_given_to_every_node_of_a_cluster(pair, client_of):
    increment(client_of(pair.url.replace("://", "://app:pass%20word@")))
    with pytest.raises(RedisError):
        increment(client_of(pair.url.replace("://", "://app:password@")))


def test_sentinels_and_the_primary_have_logins_of_their_own(protected, client_of):
    watcher = "sentinel_username=watcher&sentinel_password=w%40tch"
    increment(client_of(f"redis+sentinel://app:pass%20word@{protected}?{watcher}"))
    for url in (
        f"redis+sentinel://app:pass%20word@{protected}",
        f"redis+sentinel://app:password@{protected}?{watcher}",
        f"redis+sentinel://watcher:w%40tch@{protected}?{watcher}",
        f"redis+sentinel://app:pass%20word@{protected}?{watcher}x",
    ):
        with pytest.raises(RedisError):
            increment(client_of(url))


@pytest.mark.parametrize(
    "url", ["redis+sentinel://127.0.0.1:1/codes", "redis+cluster://127.0.0.1:1"]
)
def test_while_nothing_answers_no_request_leaves_a_connection_in_memory(client_of, url):
    def connections():
        gc.collect()
        return sum(isinstance(held, Connection) for held in gc.get_objects())

    client, before = client_of(url), connections()
    for _ in range(100):
        with pytest.raises(RedisError):
            increment(client)
    assert connections() < before + 50


def test_everybody_is_told_of_a_cluster_that_is_silent_from_the_start(pair):
    def ask(_):
        began = time.monotonic()
        with pytest.raises(RedisError):
            increment(client)
        return time.monotonic() - began

    with ExitStack() as silent, connect(pair.url) as client, ThreadPoolExecutor(100) as pool:
        for server in pair.data:
            silent.enter_context(server.frozen())
        assert max(pool.map(ask, range(100))) < 1.2
        assert max(pool.map(ask, range(100))) < 1.2
