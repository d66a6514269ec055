"""`otpservice lookup` and `otpservice unlock` at a real Valkey."""

import json

import pytest
from click.testing import CliRunner

from otpservice.cli import main
from otpservice.store.inbound import RedisInbound
from otpservice.store.scripts import Scripts
from otpservice.store.verifications import RedisStore
from otpservice.vavasms import VavasmsClient
from otpservice.verification.code import Code
from otpservice.verification.digest import Digester
from otpservice.verification.errors import PhoneLocked, WrongCode
from otpservice.verification.inbound import Inbound
from otpservice.verification.owner import Owner
from otpservice.verification.policy import Policy
from otpservice.verification.ports import Sending, SendOutcome, SendRequest
from tests.conftest import SECRET

OWNER = Owner("portal", "login")


@pytest.fixture
def run(environment, valkey_url):
    def run(*words, redis_url=valkey_url):
        return CliRunner().invoke(
            main, words, env={**environment, "OTPSERVICE_REDIS_URL": redis_url}
        )

    return run


@pytest.fixture
def locked(valkey, phone):
    """A store with one pending verification of ``phone``, locked by ten failures."""
    store = RedisStore(valkey, Digester([SECRET]), Policy(max_attempts=10))
    request = SendRequest(OWNER, phone, hosted=False, code=Code("123456"))
    reservation = store.reserve_send(request, "send-1")
    store.settle_send(reservation, Sending(SendOutcome.SENT, "vavasms-text"))
    for n in range(10):
        with pytest.raises(WrongCode):
            store.reserve_attempt(OWNER, reservation.id, f"a-{n}", Code("000000"))
    return store, reservation.id


def test_lookup_shows_lock_failures_and_verifications_and_no_number(run, locked):
    shown = run("lookup", "07 09 00 00 01")
    assert shown.exit_code == 0, shown.output
    for words in ("+225********01", "locked for 3", "10 in a row", "4 may still", locked[1]):
        assert words in shown.stdout
    assert "0709000001" not in shown.output


def test_a_phone_nobody_knows_has_nothing(run, valkey):
    assert "not locked" in run("lookup", "+2250709000009").stdout


def test_unlock_lifts_the_lock_and_says_who_did_it(run, locked, phone):
    store, id = locked
    with pytest.raises(PhoneLocked):
        store.reserve_attempt(OWNER, id, "locked", Code("123456"))
    done = run("unlock", "+225 0709000001")
    assert done.exit_code == 0
    assert "not locked any more" in done.stdout
    audit = next(json.loads(line) for line in done.stderr.splitlines() if "unlocked" in line)
    assert (audit["phone_masked"], audit["failures_in_all"]) == ("+225********01", 10)
    assert audit["by"]
    store.unlock(phone)
    assert store.lookup(phone).failures == 0


@pytest.mark.parametrize("command", ["lookup", "unlock"])
def test_without_redis_it_says_so(run, command):
    said = run(command, "0709000001", redis_url="redis://127.0.0.1:1/0")
    assert said.exit_code == 1
    assert "Redis does not answer" in said.stderr


def test_the_inbox_shows_what_came_in_masked(run, valkey, phone):
    inbound = Inbound(
        RedisInbound(Scripts(valkey), Digester([SECRET])),
        VavasmsClient.parse_incoming,
        region="CI",
    )
    assert "No incoming SMS" in run("inbox").stdout
    fields = {"message_id": "RMA1", "form": phone.e164, "content": "mon code 123456\n"}
    inbound.receive({**fields, "sms_date": "2026-11-22 10:00:00"})
    shown = run("inbox", "--last", "5").stdout
    assert "+225********01" in shown
    assert "mon code" in shown
    assert "123456" not in shown


def test_a_wrong_number_is_not_repeated(run):
    said = run("lookup", "0709")
    assert said.exit_code == 2
    assert "0709" not in said.output


def test_json_of_a_lookup_has_all_and_no_number(run, locked):
    shown = run("lookup", "0709000001", "--json").stdout
    state = json.loads(shown)
    assert 0 < state.pop("locked_for") <= 3600
    (verification,) = state.pop("verifications")
    assert verification == {
        "id": locked[1],
        "app": "portal",
        "purpose": "login",
        "status": "attempts_exhausted",
    }
    assert state == {
        "phone_masked": "+225********01",
        "locked": True,
        "failures_in_all": 10,
        "sends_left": 4,
    }


def test_json_of_the_inbox_is_masked_too(run, valkey, phone):
    assert json.loads(run("inbox", "--json").stdout) == {"messages": []}
    inbound = Inbound(
        RedisInbound(Scripts(valkey), Digester([SECRET])),
        VavasmsClient.parse_incoming,
        region="CI",
    )
    fields = {"message_id": "RMA1", "form": phone.e164, "content": "mon code 123456\n"}
    inbound.receive({**fields, "sms_date": "2026-11-22 10:00:00"})
    (sms,) = json.loads(run("inbox", "--json").stdout)["messages"]
    assert sms["sender_masked"] == "+225********01"
    assert "123456" not in sms["text"]
    assert sms["received_at"].endswith("Z")
