"""What `otpservice doctor` finds, against a real Valkey, the sandbox and servers that are odd."""

import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from otpservice.cli import main
from otpservice.sandbox import Account, SandboxServer


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def well(environment: Mapping[str, str], sandbox: SandboxServer, valkey_url: str) -> dict[str, str]:
    """An environment in which nothing is wrong."""
    return {
        **environment,
        "OTPSERVICE_REDIS_URL": valkey_url,
        "OTPSERVICE_VAVASMS_URL": f"{sandbox.url}/api",
    }


def doctor(env: Mapping[str, str]) -> Result:
    return CliRunner().invoke(main, ["doctor"], env=env)


def verdict(result: Result, subject: str) -> str:
    """The one word about ``subject``."""
    (word,) = {
        line[:7].strip() for line in result.output.splitlines() if line[9:22].strip() == subject
    }
    return word


@contextmanager
def configured(valkey: Redis, name: str, value: str) -> Iterator[None]:
    before = valkey.config_get(name)[name]
    valkey.config_set(name, value)
    try:
        yield
    finally:
        valkey.config_set(name, before)


@contextmanager
def user(valkey: Redis, *commands: str) -> Iterator[None]:
    """Let ``app`` in, who may do anything but what ``commands`` take away."""
    rights = {"commands": ["+@all", *commands], "keys": ["*"], "channels": ["*"]}
    valkey.acl_setuser("app", enabled=True, passwords=["+right-password"], **rights)
    try:
        yield
    finally:
        valkey.acl_deluser("app")


def login(url: str, password: str = "right-password") -> dict[str, str]:
    return {"OTPSERVICE_REDIS_URL": url.replace("://", f"://app:{password}@")}


def test_where_all_is_well_nothing_fails(well: Mapping[str, str]) -> None:
    result = doctor(well)
    assert result.exit_code == 0
    assert "FAIL" not in result.output
    subjects = {"redis", "redis TLS", "redis memory", "redis scripts", "clock", "provider"}
    for subject in subjects | {"sender id", "templates"}:
        assert verdict(result, subject) == "ok"


def test_it_changes_nothing_and_sends_nothing(
    well: Mapping[str, str], sandbox: SandboxServer, valkey: Redis
) -> None:
    doctor(well)
    assert valkey.dbsize() == 0
    assert sandbox.state.calls() == {"check/balance": 1}


def test_the_balance_and_the_server_are_named(well: Mapping[str, str]) -> None:
    output = doctor(well).output
    assert "25,540 XOF" in output
    assert "Valkey 9" in output


def test_every_mistake_in_the_settings_fails(well: Mapping[str, str]) -> None:
    result = doctor({**well, "OTPSERVICE_CODE_TTL": "0", "OTPSERVICE_VAVASMS_PASSWORD": ""})
    assert result.exit_code == 1
    assert result.output.count("FAIL") == 2
    assert "OTPSERVICE_CODE_TTL" in result.output
    assert "OTPSERVICE_VAVASMS_PASSWORD" in result.output


def test_an_unwise_value_is_a_warning(well: Mapping[str, str]) -> None:
    result = doctor({**well, "OTPSERVICE_RESEND_AFTER": "5"})
    assert result.exit_code == 0
    assert "warning  settings       OTPSERVICE_RESEND_AFTER is under 30" in result.output


@pytest.mark.parametrize("changed", [{}, {"OTPSERVICE_VAVASMS_PLUS_SIGN": "on"}])
def test_every_unconfirmed_setting_is_named_once(
    well: Mapping[str, str], changed: dict[str, str]
) -> None:
    result = doctor({**well, **changed})
    assert result.exit_code == 0
    for name in ("STATUS_PATH", "PLUS_SIGN", "VERIFY_SENDER_ID", "LANG"):
        assert result.output.count(f"OTPSERVICE_VAVASMS_{name}") == 1


def test_redis_being_down_fails_and_the_rest_is_still_told(well: Mapping[str, str]) -> None:
    result = doctor({**well, "OTPSERVICE_REDIS_URL": "redis://user:pa55word@127.0.0.1:1/0"})
    assert result.exit_code == 1
    assert verdict(result, "redis") == "FAIL"
    assert verdict(result, "provider") == "ok"
    assert "pa55word" not in result.output


def test_a_wrong_password_for_redis_fails(
    well: Mapping[str, str], valkey: Redis, valkey_url: str
) -> None:
    with user(valkey):
        assert doctor({**well, **login(valkey_url)}).exit_code == 0
        result = doctor({**well, **login(valkey_url, "wr0ng-password")})
    assert result.exit_code == 1
    assert "refuses the login" in result.output
    assert "wr0ng" not in result.output


@pytest.mark.parametrize(
    "url", ["redis+cluster://127.0.0.1:1", "redis+sentinel://127.0.0.1:1/primary"]
)
def test_a_redis_that_cannot_be_used_fails(well: Mapping[str, str], url: str) -> None:
    result = doctor({**well, "OTPSERVICE_REDIS_URL": url})
    assert result.exit_code == 1
    assert verdict(result, "redis") == "FAIL"


def test_a_redis_that_evicts_fails(well: Mapping[str, str], valkey: Redis) -> None:
    with configured(valkey, "maxmemory-policy", "allkeys-lru"):
        result = doctor(well)
    assert result.exit_code == 1
    assert "maxmemory-policy is allkeys-lru" in result.output


@pytest.mark.parametrize(("value", "expected"), [("no", "warning"), ("yes", "ok")])
def test_a_redis_without_aof_is_a_warning(
    well: Mapping[str, str], valkey: Redis, value: str, expected: str
) -> None:
    with configured(valkey, "appendonly", value):
        result = doctor(well)
    assert result.exit_code == 0
    assert verdict(result, "redis AOF") == expected


def test_a_managed_redis_that_hides_its_settings_is_a_warning(
    well: Mapping[str, str], valkey: Redis, valkey_url: str
) -> None:
    with user(valkey, "-info", "-config"):
        result = doctor({**well, **login(valkey_url)})
    assert result.exit_code == 0
    assert "does not allow INFO" in result.output
    assert verdict(result, "redis scripts") == "ok"


def test_a_user_who_may_not_run_scripts_fails(
    well: Mapping[str, str], valkey: Redis, valkey_url: str
) -> None:
    with user(valkey, "-@scripting"):
        result = doctor({**well, **login(valkey_url)})
    assert result.exit_code == 1
    assert verdict(result, "redis scripts") == "FAIL"


def test_a_refused_account_fails(well: Mapping[str, str]) -> None:
    result = doctor({**well, "OTPSERVICE_VAVASMS_PASSWORD": "not-the-password"})
    assert result.exit_code == 1
    assert verdict(result, "provider") == "FAIL"
    assert "OTPSERVICE_VAVASMS_USERNAME" in result.output
    assert "not-the-password" not in result.output


def test_an_empty_account_fails(well: Mapping[str, str]) -> None:
    with SandboxServer(account=Account(balance=0)) as poor:
        result = doctor({**well, "OTPSERVICE_VAVASMS_URL": f"{poor.url}/api"})
    assert result.exit_code == 1
    assert "0 XOF" in result.output


def test_a_balance_under_the_one_that_is_low_is_a_warning(well: Mapping[str, str]) -> None:
    result = doctor({**well, "OTPSERVICE_LOW_BALANCE_XOF": "25541"})
    assert result.exit_code == 0
    assert (
        "warning  provider       takes the account, but only 25,540 XOF are left" in result.output
    )
    enough = doctor({**well, "OTPSERVICE_LOW_BALANCE_XOF": "25540"})
    assert verdict(enough, "provider") == "ok"


def test_each_text_that_is_well_is_told_with_its_apps_and_size(well: Mapping[str, str]) -> None:
    env = {**well, "OTPSERVICE_MESSAGE_EN": "Code: ##OTP##", "OTPSERVICE_SMS_PRICE_XOF": "20"}
    output = doctor(env).output
    fr, en = "portal in fr, shop in fr", "portal in en, shop in en"
    assert f"ok       templates      {fr}: 27 of 160 septets, 1 part, 20 XOF each\n" in output
    assert f"ok       templates      {en}: 12 of 160 septets, 1 part, 20 XOF each\n" in output
    assert "probe" not in output.partition("templates")[2]


def test_a_dear_text_is_one_warning_among_the_templates(well: Mapping[str, str]) -> None:
    env = {**well, "OTPSERVICE_MESSAGE": "x" * 155 + "##OTP##", "OTPSERVICE_SMS_PRICE_XOF": "20"}
    result = doctor(env)
    assert result.exit_code == 0
    assert verdict(result, "templates") == "warning"
    assert result.output.count("2 parts, 40 XOF each instead of 20") == 1


def test_a_text_in_ucs2_is_a_warning_that_names_the_characters(well: Mapping[str, str]) -> None:
    result = doctor({**well, "OTPSERVICE_MESSAGE_EN": "It\u2019s ##OTP##"})
    assert result.exit_code == 0
    assert "OTPSERVICE_MESSAGE_EN for portal, shop: UCS-2" in result.output
    assert "because of \u2019 at 3 (write ')" in result.output
    assert "portal in fr, shop in fr: 27 of 160" in result.output


class _OddRedis(socketserver.StreamRequestHandler):
    """Speaks as much of the protocol as doctor hears; ``answers`` are the server's."""

    def handle(self) -> None:
        while header := self.rfile.readline():
            words = []
            for _ in range(int(header[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2].decode())
            self.wfile.write(self.server.answers.get(words[0].upper(), b"+OK\r\n"))


@contextmanager
def odd_redis(answers: Mapping[str, bytes]) -> Iterator[dict[str, str]]:
    usual = {"PING": b"+PONG\r\n", "INFO": b"$0\r\n\r\n", "EVALSHA": b"*1\r\n$9\r\nnot_found\r\n"}
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _OddRedis) as server:
        server.daemon_threads = True
        server.answers = {**usual, "TIME": b"*2\r\n$1\r\n0\r\n$1\r\n0\r\n", **answers}
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield {"OTPSERVICE_REDIS_URL": f"redis://127.0.0.1:{server.server_address[1]}/0"}
        server.shutdown()


def test_a_clock_that_is_far_off_fails(well: Mapping[str, str]) -> None:
    with odd_redis({}) as url:
        result = doctor({**well, **url})
    assert result.exit_code == 1
    assert verdict(result, "clock") == "FAIL"


def test_what_redis_does_not_tell_is_a_warning(well: Mapping[str, str]) -> None:
    with odd_redis({}) as url:
        result = doctor({**well, **url})
    assert verdict(result, "redis memory") == "warning"
    assert verdict(result, "redis AOF") == "warning"


def test_a_replica_fails(well: Mapping[str, str]) -> None:
    with odd_redis({"INFO": b"$10\r\nrole:slave\r\n"}) as url:
        result = doctor({**well, **url})
    assert verdict(result, "redis") == "FAIL"
    assert "replica" in result.output


def test_an_unencrypted_redis_elsewhere_is_a_warning(well: Mapping[str, str]) -> None:
    # Leads to this machine as well, but nobody writes loopback like that.
    result = doctor({**well, "OTPSERVICE_REDIS_URL": "redis://0.0.0.0:1/0"})
    assert verdict(result, "redis TLS") == "warning"
