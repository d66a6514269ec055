"""The otpservice command, as somebody at a terminal sees it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
import urllib3
from click.testing import CliRunner, Result

from otpservice import __version__
from otpservice.cli import main
from otpservice.config.apps import Apps
from otpservice.sandbox import SandboxServer

IVORIAN, MALIAN = "+2250709000001", "+22377000010"


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def account(environment: Mapping[str, str], sandbox: SandboxServer) -> dict[str, str]:
    """Settings of an account at the sandbox; their Redis is down."""
    return {**environment, "OTPSERVICE_VAVASMS_URL": f"{sandbox.url}/api"}


def run(arguments: str | list[str], env: Mapping[str, str] | None = None) -> Result:
    words = arguments.split() if isinstance(arguments, str) else arguments
    return CliRunner().invoke(main, words, env=env, prog_name="otpservice")


@contextmanager
def running(
    arguments: str, env: Mapping[str, str], *before: str
) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*before, sys.executable, "-m", "otpservice.cli", *arguments.split()],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def wait_for(url: str) -> int:
    until = time.monotonic() + 20
    with urllib3.PoolManager(retries=False, timeout=2) as pool:
        while True:
            try:
                return pool.request("GET", url).status
            except urllib3.exceptions.HTTPError:
                assert time.monotonic() < until, f"{url} does not answer"
                time.sleep(0.05)


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("serve", "sandbox", "keys", "balance", "sms", "doctor", "demo"):
        assert f"\n  {command} " in result.output
        assert run([command, "--help"]).exit_code == 0


def test_version_is_the_packages() -> None:
    assert run("--version").output == f"otpservice {__version__}\n"


@pytest.mark.parametrize("command", ["serve", "sandbox"])
@pytest.mark.parametrize("bind", ["8000", "localhost", "localhost:", ":8000", "::1:80", "a:65536"])
def test_an_address_that_is_none_is_a_clear_error(command: str, bind: str) -> None:
    result = run([command, "--bind", bind])
    assert result.exit_code == 2
    assert "--bind" in result.stderr
    assert "127.0.0.1:8000" in result.stderr


@pytest.mark.parametrize("option", ["--workers=0", "--workers=x", "--threads=0", "--requests=4001"])
def test_counts_out_of_range_are_a_clear_error(option: str) -> None:
    result = run(["serve", option])
    assert result.exit_code == 2
    assert option.partition("=")[0] in result.stderr


@pytest.mark.parametrize("command", ["serve", "balance", f"sms send {IVORIAN} --text=x"])
def test_bad_settings_are_all_named(command: str, environment: Mapping[str, str]) -> None:
    env = {**environment, "OTPSERVICE_CODE_TTL": "0", "OTPSERVICE_REDIS_URL": "x"}
    with running(command, env) as process:
        _, told = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "OTPSERVICE_CODE_TTL" in told
    assert "OTPSERVICE_REDIS_URL" in told


def test_a_new_key_opens_the_apps_file_it_is_printed_with() -> None:
    result = run("keys new portal")
    (key,) = [line for line in result.output.splitlines() if line.startswith("otps_")]
    apps_file = result.output[result.output.index("[apps.") :]
    assert key not in apps_file
    app = Apps.parse(apps_file).authenticate(key)
    assert app is not None
    assert app.name == "portal"


def test_every_new_key_is_another() -> None:
    assert run("keys new portal").output != run("keys new portal").output


def test_a_name_no_app_can_have_gets_no_key() -> None:
    result = run(["keys", "new", "Our Portal"])
    assert result.exit_code == 2
    assert "otps_" not in result.output


def test_balance_is_in_whole_francs(account: Mapping[str, str]) -> None:
    assert run("balance", account).output == "25,540 XOF\n"


def test_balance_as_json_is_a_number_and_its_currency(account: Mapping[str, str]) -> None:
    assert json.loads(run("balance --json", account).output) == {"amount": 25540, "currency": "XOF"}


def test_a_status_as_json_has_every_row(account: Mapping[str, str]) -> None:
    sent = run(["sms", "send", IVORIAN, "--text", "x"], account).output
    message_id = sent.split()[-1]
    account = {**account, "OTPSERVICE_VAVASMS_STATUS_PATH": "text/single"}
    (row,) = json.loads(run(f"sms status {message_id} --json", account).output)["messages"]
    assert (row["message_id"], row["status"]) == (message_id, "sent")


def test_a_refused_account_is_one_line_without_its_password(account: Mapping[str, str]) -> None:
    result = run("balance", {**account, "OTPSERVICE_VAVASMS_PASSWORD": "not-the-password"})
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "OTPSERVICE_VAVASMS_PASSWORD" in result.stderr
    assert "not-the-password" not in result.stderr


def test_a_provider_that_is_down_is_one_line(environment: Mapping[str, str]) -> None:
    result = run("balance", environment)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: VavaSMS cannot be reached; nothing was done")
    assert result.stderr.count("\n") == 1


def test_a_text_goes_to_several_phones(account: Mapping[str, str], sandbox: SandboxServer) -> None:
    result = run(["sms", "send", "07 09 00 00 01", MALIAN, "--text", "Bonjour à tous"], account)
    inbox = {message.phone: message for message in sandbox.state.inbox(None)}
    assert set(inbox) == {IVORIAN[1:], MALIAN[1:]}
    assert {message.text for message in inbox.values()} == {"Bonjour à tous"}
    assert result.output.splitlines() == [
        f"lot  {inbox[IVORIAN[1:]].lot_id}",
        f"+225********01  {inbox[IVORIAN[1:]].message_id}",
        f"+223******10  {inbox[MALIAN[1:]].message_id}",
    ]


def test_a_phone_named_twice_gets_one_sms(
    account: Mapping[str, str], sandbox: SandboxServer
) -> None:
    assert run(["sms", "send", "0709000001", IVORIAN, "--text", "x"], account).exit_code == 0
    assert len(sandbox.state.inbox(None)) == 1


def test_one_wrong_number_stops_the_whole_send(
    account: Mapping[str, str], sandbox: SandboxServer
) -> None:
    result = run(["sms", "send", IVORIAN, "22509000001", "--text", "x"], account)
    assert result.exit_code == 2
    assert "PHONE 2" in result.stderr
    assert "10 digits since" in result.stderr
    assert "9000001" not in result.output
    assert sandbox.state.inbox(None) == []


@pytest.mark.parametrize(("sender_id", "exit_code"), [("Stranger", 1), ("no", 2)])
def test_a_wrong_sender_id_is_told(
    account: Mapping[str, str], sender_id: str, exit_code: int
) -> None:
    result = run(["sms", "send", IVORIAN, "--text", "x", "--sender-id", sender_id], account)
    assert result.exit_code == exit_code
    assert "sender ID" in result.stderr


def test_a_lost_answer_says_that_the_sms_may_have_left(
    account: Mapping[str, str], sandbox: SandboxServer
) -> None:
    fault = {"operation": "text/single", "fault": "reset_after"}
    with urllib3.PoolManager() as pool:
        pool.request("PUT", f"{sandbox.url}/faults", body=json.dumps(fault))
    result = run(["sms", "send", IVORIAN, "--text", "x"], account)
    assert result.exit_code == 1
    assert "may have been done" in result.stderr
    assert len(sandbox.state.inbox(None)) == 1


def test_a_status_is_shown_in_the_providers_words(account: Mapping[str, str]) -> None:
    sent = run(["sms", "send", IVORIAN, "--text", "x"], account).output
    lot_id, message_id = sent.split()[1], sent.split()[-1]
    account = {**account, "OTPSERVICE_VAVASMS_STATUS_PATH": "text/single"}
    result = run(["sms", "status", message_id, "--lot-id", lot_id], account)
    assert result.output == f"{message_id}  sent  Envoyé\n"


def test_without_its_path_a_status_is_not_asked_for(
    account: Mapping[str, str], sandbox: SandboxServer
) -> None:
    result = run("sms status SM-20190623-1217879", account)
    assert result.exit_code == 1
    assert "OTPSERVICE_VAVASMS_STATUS_PATH is not set" in result.stderr
    assert sandbox.state.calls() == {}


def test_an_unknown_message_has_no_status(account: Mapping[str, str]) -> None:
    account = {**account, "OTPSERVICE_VAVASMS_STATUS_PATH": "text/single"}
    result = run("sms status SM-20190623-1217879", account)
    assert result.exit_code == 1
    assert "no message with this id" in result.stderr


def test_serve_answers_until_it_is_told_to_stop(
    environment: Mapping[str, str], valkey_url: str
) -> None:
    port = free_port()
    own = {"OTPSERVICE_REDIS_URL": valkey_url, "OTPSERVICE_DRAIN_SECONDS": "0"}
    env = {**environment, **own}
    with running(f"serve --bind 127.0.0.1:{port} --workers 1 --threads 4", env) as process:
        assert wait_for(f"http://127.0.0.1:{port}/health/ready") == 200
        process.send_signal(signal.SIGTERM)
        _, logs = process.communicate(timeout=15)
    assert process.returncode == 0
    assert all(json.loads(line) for line in logs.splitlines())


def test_serve_says_so_if_too_few_files_can_be_open(
    environment: Mapping[str, str], valkey_url: str
) -> None:
    few = ("sh", "-c", 'ulimit -n 2048; exec "$@"', "sh")
    env = {**environment, "OTPSERVICE_REDIS_URL": valkey_url, "OTPSERVICE_DRAIN_SECONDS": "0"}
    port = free_port()
    with running(f"serve --bind 127.0.0.1:{port} --workers 1", env, *few) as process:
        assert wait_for(f"http://127.0.0.1:{port}/health/ready") == 200
        process.send_signal(signal.SIGTERM)
        _, logs = process.communicate(timeout=15)
    (line,) = [json.loads(line) for line in logs.splitlines() if "few_open_files" in line]
    assert line["connections"] == 2048 - 500 - 256


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_shows_its_account_and_stops_cleanly(stop: signal.Signals) -> None:
    with running("sandbox --bind 127.0.0.1:0", {}) as process:
        shown = [process.stdout.readline() for _ in range(5)]
        (inbox,) = [line.split()[-1] for line in shown if "/inbox" in line]
        assert wait_for(inbox) == 200
        process.send_signal(stop)
        _, errors = process.communicate(timeout=10)
    assert any("demo@example.com / demo-password" in line for line in shown)
    assert (process.returncode, errors) == (0, "")


def test_a_taken_port_is_one_line(sandbox: SandboxServer) -> None:
    address = sandbox.url.removeprefix("http://")
    result = run(["sandbox", "--bind", address])
    assert result.exit_code == 1
    assert result.stderr == f"Error: cannot listen on {address}: Address already in use\n"


def test_the_sandbox_posts_incoming_sms_to_this_machine_only() -> None:
    result = run("sandbox --bind 127.0.0.1:0 --notification-url https://example.com/")
    assert result.exit_code == 2
    assert "--notification-url" in result.stderr
