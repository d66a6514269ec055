"""What is not on as many replicas as asked for is not told, and given back where that is sure."""

from contextlib import ExitStack

import pytest

from otpservice.store.client import connect
from otpservice.store.verifications import RedisStore
from otpservice.verification.code import Code
from otpservice.verification.digest import Digester
from otpservice.verification.errors import AlreadyConfirmed, StoreUnavailable, WrongCode
from otpservice.verification.owner import Owner
from otpservice.verification.policy import Policy, Quota
from otpservice.verification.ports import Sending, SendOutcome, SendRequest, Status
from tests.conftest import SECRET
from tests.redis_servers import Server, follows, until

OWNER = Owner("portal", "login")
POLICY = Policy(address_quota=(Quota(5, 3600),), address_failure_quota=(Quota(5, 3600),))
RIGHT, WRONG = Code("123456"), Code("654321")
HOSTED = Sending(SendOutcome.SENT, "vavasms-otp", hosted=True)
LOCAL = Sending(SendOutcome.SENT, "vavasms-text")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    directory = tmp_path_factory.mktemp("redis")
    with ExitStack() as stack:
        primary = Server(directory)
        stack.callback(primary.close)
        replica = Server(directory, "--replicaof", "127.0.0.1", primary.port)
        stack.callback(replica.close)
        until(lambda: follows(replica))
        yield primary, replica


@pytest.fixture
def stores(servers):
    """One store that waits for a replica, and one that does not."""
    primary, _ = servers
    primary.client.flushall()
    digester = Digester([SECRET])
    with connect(f"redis://127.0.0.1:{primary.port}") as client:
        yield tuple(RedisStore(client, digester, POLICY, replicas=n) for n in (1, 0))


def request(phone, **more):
    return SendRequest(OWNER, phone, address="192.0.2.1", **more)


def guess(store, id, name, code):
    return store.reserve_attempt(OWNER, id, name, code, "192.0.2.1")


def test_with_a_replica_all_is_as_without(stores, phone):
    careful, _ = stores
    sent = careful.reserve_send(request(phone), "send")
    careful.settle_send(sent, HOSTED)
    attempt = guess(careful, sent.id, "guess", RIGHT)
    assert careful.approve(attempt, RIGHT)
    assert careful.read("portal", sent.id).status is Status.APPROVED


def test_a_send_that_no_replica_has_is_given_back(stores, servers, phone):
    careful, careless = stores
    with servers[1].frozen(), pytest.raises(StoreUnavailable):
        careful.reserve_send(request(phone), "lost")
    sent = careless.reserve_send(request(phone), "send")
    assert sent.sends_left == 4


def test_a_guess_that_no_replica_has_is_not_asked_about_and_given_back(stores, servers, phone):
    careful, careless = stores
    sent = careless.reserve_send(request(phone), "send")
    careless.settle_send(sent, HOSTED)
    with servers[1].frozen(), pytest.raises(StoreUnavailable):
        guess(careful, sent.id, "lost", WRONG)
    assert careless.read("portal", sent.id).attempts_left == 5


def test_of_a_wrong_guess_that_no_replica_has_nothing_is_told_and_it_stays(stores, servers, phone):
    careful, careless = stores
    sent = careless.reserve_send(request(phone, hosted=False, code=RIGHT), "send")
    careless.settle_send(sent, LOCAL)
    with servers[1].frozen(), pytest.raises(StoreUnavailable):
        guess(careful, sent.id, "lost", WRONG)
    assert careless.read("portal", sent.id).attempts_left == 4
    with pytest.raises(WrongCode):
        guess(careful, sent.id, "next", WRONG)


def test_a_yes_of_the_provider_that_no_replica_has_is_not_told(stores, servers, phone):
    careful, careless = stores
    sent = careless.reserve_send(request(phone), "send")
    careless.settle_send(sent, HOSTED)
    attempt = guess(careless, sent.id, "lost", RIGHT)
    with servers[1].frozen(), pytest.raises(StoreUnavailable):
        careful.approve(attempt, RIGHT)
    assert careless.read("portal", sent.id).status is Status.APPROVED


def test_a_cancel_that_no_replica_has_is_not_told(stores, servers, phone):
    careful, careless = stores
    sent = careless.reserve_send(request(phone), "send")
    with servers[1].frozen(), pytest.raises(StoreUnavailable):
        careful.cancel("portal", sent.id)
    assert careless.read("portal", sent.id).status is Status.CANCELED


def test_a_right_guess_that_no_replica_has_is_not_told_nor_right_again(stores, servers, phone):
    careful, careless = stores
    sent = careless.reserve_send(request(phone, hosted=False, code=RIGHT), "send")
    careless.settle_send(sent, LOCAL)
    with servers[1].frozen(), pytest.raises(StoreUnavailable):
        guess(careful, sent.id, "lost", RIGHT)
    with pytest.raises(AlreadyConfirmed):
        guess(careful, sent.id, "next", RIGHT)
