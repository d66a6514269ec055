"""What `otpservice doctor` finds, against a real Valkey, the sandbox and servers that are odd."""

import json
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from otpservice.cli import main
from otpservice.sandbox import Account, SandboxServer
from otpservice.store.generation import Epoch, epoch_keys
from otpservice.store.scripts import Scripts
from tests.conftest import APPS, SECRET
from tests.redis_servers import ClusterOf


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


def doctor(env: Mapping[str, str], *options: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *options], env=env)


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
    for subject in subjects | {"sender id", "templates", "apps", "files", "metrics files"}:
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


def test_json_says_the_same_as_the_lines(well: Mapping[str, str]) -> None:
    env = {**well, "OTPSERVICE_REDIS_URL": "redis://user:pa55word@127.0.0.1:1/0"}
    lines, report = doctor(env), doctor(env, "--json")
    assert lines.exit_code == report.exit_code == 1
    told = json.loads(report.output)
    assert told["verdict"] == "fail"
    assert [found["text"] for found in told["findings"]] == [
        line[24:] for line in lines.output.splitlines()
    ]
    assert {"redis": "fail", "provider": "ok"}.items() <= {
        found["name"]: found["verdict"] for found in told["findings"]
    }.items()
    assert "pa55word" not in report.output


def test_json_names_every_check_and_the_worst_verdict(well: Mapping[str, str]) -> None:
    told = json.loads(doctor(well, "--json").output)
    assert told["verdict"] == "warning"  # no AOF
    assert list(dict.fromkeys(found["name"] for found in told["findings"])) == CHECKS


CHECKS = [
    *("settings", "apps", "files", "metrics_files", "redis_tls", "redis", "redis_memory"),
    *("redis_aof", "redis_scripts", "redis_rights", "clock", "redis_state", "provider"),
    *("sender_id", "templates"),
]


def test_a_mistake_in_the_settings_is_json_too(well: Mapping[str, str]) -> None:
    result = doctor({**well, "OTPSERVICE_CODE_TTL": "0"}, "--json")
    assert result.exit_code == 1
    (found,) = json.loads(result.output)["findings"]
    assert (found["name"], found["verdict"]) == ("settings", "fail")


@pytest.mark.parametrize(("taken", "name"), [("-hset", "HSET on otp:*"), ("-rename", "RENAME")])
def test_a_command_the_user_may_not_run_fails_by_its_name(
    well: Mapping[str, str], valkey: Redis, valkey_url: str, taken: str, name: str
) -> None:
    with user(valkey, taken):
        result = doctor({**well, **login(valkey_url)})
    assert result.exit_code == 1
    assert verdict(result, "redis rights") == "FAIL"
    assert name in result.output


def test_keys_the_user_may_not_touch_fail(
    well: Mapping[str, str], valkey: Redis, valkey_url: str
) -> None:
    with user(valkey):
        valkey.acl_setuser("app", reset_keys=True, keys=["otp:*"], enabled=True)
        result = doctor({**well, **login(valkey_url)})
    assert verdict(result, "redis rights") == "FAIL"
    assert "LIMITS:*" in result.output


def test_the_sends_that_are_left_follow_from_the_price(well: Mapping[str, str]) -> None:
    output = doctor({**well, "OTPSERVICE_SMS_PRICE_XOF": "20"}).output
    assert "25,540 XOF are left, 1,277 SMS with codes" in output


def test_without_an_account_at_vavasms_nobody_is_asked(
    well: Mapping[str, str], sandbox: SandboxServer
) -> None:
    own = {"OTPSERVICE_ROUTES": "http", "OTPSERVICE_HTTP_ROUTE_URL": "http://127.0.0.1:1/"}
    own["OTPSERVICE_HTTP_ROUTE_SECRET"] = "whsec_" + "bm90IGEgc2VjcmV0IG9mIGFueWJvZHkhISEh"
    gone = {name: "" for name in well if name.startswith("OTPSERVICE_VAVASMS")}
    result = doctor({**well, **gone, **own, "OTPSERVICE_VAVASMS_URL": sandbox.url})
    assert result.exit_code == 0, result.output
    assert verdict(result, "provider") == "ok"
    assert sandbox.state.calls() == {}


@pytest.fixture
def secret_file(well: dict[str, str], tmp_path: Path) -> Path:
    path = tmp_path / "secret-key"
    path.write_bytes(SECRET)
    del well["OTPSERVICE_SECRET_KEY"]
    well["OTPSERVICE_SECRET_KEY_FILE"] = str(path)
    return path


@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o600, "ok"), (0o640, "ok"), (0o644, "can read"), (0o602, "can change")],
)
def test_a_secret_that_others_can_read_or_change_is_a_warning(
    well: Mapping[str, str], secret_file: Path, mode: int, said: str
) -> None:
    secret_file.chmod(mode)
    result = doctor(well)
    assert result.exit_code == 0
    assert verdict(result, "files") == ("ok" if said == "ok" else "warning")
    assert said in result.output


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('scopes = ["verify", "admin"]', "mixed sends codes and has admin"),
        (f'key_sha256 = ["{"a" * 64}", "{"b" * 64}"]', "mixed has two keys"),
        ("", "none has the scope metrics"),
    ],
)
def test_an_unwise_apps_file_is_a_warning(
    well: Mapping[str, str], tmp_path: Path, lines: str, said: str
) -> None:
    key = "" if "key_sha256" in lines else f'key_sha256 = ["{"c" * 64}"]\n'
    others = APPS if lines else APPS.replace('["metrics"]', '["admin"]')
    path = tmp_path / "apps.toml"
    path.write_text(f"{others}\n[apps.mixed]\n{key}{lines}\n")
    result = doctor({**well, "OTPSERVICE_APPS_FILE": str(path)})
    assert result.exit_code == 0
    assert f"warning  apps           {said}" in result.output


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
    usual = {
        "PING": b"+PONG\r\n",
        "INFO": b"$0\r\n\r\n",
        "EVALSHA": b"*1\r\n$9\r\nnot_found\r\n",
        "EVAL": b"*1\r\n$5\r\nknown\r\n",
    }
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


def test_it_tells_since_when_redis_has_its_state(well: Mapping[str, str], valkey: Redis) -> None:
    assert "redis state    none yet" in doctor(well).output
    began = Epoch(Scripts(valkey), epoch_keys(valkey)).look()
    assert f"redis state    begun {began:%Y-%m-%d %H:%M} UTC" in doctor(well).output


def test_every_primary_of_a_cluster_is_looked_at(well: Mapping[str, str], tmp_path: Path) -> None:
    with ExitStack() as stack:
        pair = ClusterOf(stack, tmp_path, primaries=2, replicas=0)
        pair.data[1].client.config_set("maxmemory-policy", "allkeys-lru")
        result = doctor({**well, "OTPSERVICE_REDIS_URL": pair.url})
    assert result.exit_code == 1
    for server in pair.data:
        assert f"answers at 127.0.0.1:{server.port}" in result.output
    assert result.output.count("maxmemory-policy is") == 2
