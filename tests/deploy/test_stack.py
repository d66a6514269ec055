"""deploy/compose.yaml: its form, and its parts together as far as they go without an engine."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from redis.exceptions import NoPermissionError

from otpservice.app import MAX_IN_FLIGHT
from otpservice.config.apps import Apps
from otpservice.config.settings import SETTINGS, Settings
from otpservice.runtime.serve import gunicorn_settings
from otpservice.store.client import connect
from tests.deploy.conftest import DEPLOY, compose, inherited, prepare
from tests.e2e.conftest import running_service

SERVICES = compose()["services"]


def test_it_is_of_the_form_that_the_compose_specification_has():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, DEPLOY / "compose.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_each_container_may_do_as_little_as_it_can(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "pid", "devices"} & service.keys()
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert all(
        mount.endswith(":ro") or mount[0] not in "./" for mount in service.get("volumes", [])
    )
    image = service["image"]
    assert image == "otpservice" or re.search(r":v?\d+\.\d+", image)


def test_every_setting_it_sets_is_one_and_no_secret_is_in_the_environment():
    known = {s.variable for s in SETTINGS} | {s.file_variable for s in SETTINGS if s.file_variant}
    environment = SERVICES["service"]["environment"]
    assert environment.keys() <= known
    for name in ("REDIS_URL", "SECRET_KEY", "VAVASMS_PASSWORD"):
        assert environment[f"OTPSERVICE_{name}_FILE"].startswith("/run/secrets/")


def test_every_secret_is_one_that_prepare_makes(secrets):
    named = {secret["file"] for secret in compose()["secrets"].values()}
    assert named <= {f"secrets/{path.name}" for path in secrets.iterdir()}
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert used == compose()["secrets"].keys()


def test_a_stop_waits_longer_than_the_longest_request(stack):
    with_files = {**stack, "OTPSERVICE_PROVIDER_TIMEOUT": "30"}
    longest = gunicorn_settings(Settings.from_env(with_files))["graceful_timeout"]
    assert int(SERVICES["service"]["stop_grace_period"].removesuffix("s")) > longest


def test_all_connections_of_a_worker_can_be_open(environment):
    options = gunicorn_settings(Settings.from_env(environment))
    files = SERVICES["service"]["ulimits"]["nofile"]
    assert files > options["worker_connections"] + MAX_IN_FLIGHT + 256


def test_secrets_are_for_their_owner_alone_and_made_once(prepared, secrets):
    modes = {path.name: path.stat().st_mode & 0o777 for path in secrets.iterdir()}
    shared = {name for name, mode in modes.items() if mode != 0o600}
    assert shared == {"valkey.acl", "metrics-key"}
    assert secrets.stat().st_mode & 0o777 == 0o700
    again = prepare(prepared, "--sandbox")
    assert again.returncode == 1
    assert "nothing was changed" in again.stderr


def test_the_keys_it_makes_open_what_they_should(secrets):
    apps = Apps.load(str(secrets / "apps.toml"))
    scopes = {
        name: apps.authenticate((secrets / f"{name}-key").read_text()).scopes
        for name in ("portal", "metrics", "admin")
    }
    assert scopes == {"portal": {"verify"}, "metrics": {"metrics"}, "admin": {"admin"}}


def test_two_runs_make_different_secrets(secrets, tmp_path):
    assert prepare(tmp_path, "--sandbox").returncode == 0
    for name in ("secret-key", "redis-url", "portal-key", "metrics-key", "admin-key"):
        assert (tmp_path / "secrets" / name).read_text() != (secrets / name).read_text()


def test_without_an_account_it_asks_for_one(tmp_path):
    assert prepare(tmp_path / "x").returncode == 2
    assert not (tmp_path / "x").exists()


def test_doctor_finds_nothing_to_mend_in_the_stack(stack):
    command = [sys.executable, "-m", "otpservice.cli", "doctor", "--json"]
    done = subprocess.run(command, env={**inherited(), **stack}, capture_output=True)
    assert done.returncode == 0, done.stdout
    odd = {f["name"] for f in json.loads(done.stdout)["findings"] if f["verdict"] != "ok"}
    assert odd <= {"settings"}, done.stdout  # what VavaSMS has not confirmed


def test_the_whole_service_works_under_the_rights_that_valkey_gives_it(stack, secrets, tmp_path):
    key = (secrets / "portal-key").read_text()
    once = {"Authorization": f"Bearer {key}", "Idempotency-Key": "once"}
    with running_service({**inherited(), **stack}, None, tmp_path, "--workers", "1") as service:
        body = {"phone": "+2250709000001", "client_ip": "192.0.2.7"}
        sent = service.call("POST", "/login-code", body, **once)
        assert sent.status == 201, sent.body
        assert service.call("POST", "/login-code", body, **once).headers["Idempotency-Replayed"]
        wrong = {"id": sent.body["id"], "code": "000000", "client_ip": "192.0.2.7"}
        refused = service.call("POST", "/confirm", wrong, Authorization=f"Bearer {key}")
        assert refused.body["code"] == "wrong_code", refused.body
    assert "NOPERM" not in (tmp_path / "service.log").read_text()


@pytest.mark.parametrize("words", ["CONFIG GET *", "FLUSHALL", "KEYS *", "GET other", "SHUTDOWN"])
def test_what_the_service_never_does_valkey_refuses_it(stack, words):
    url = Path(stack["OTPSERVICE_REDIS_URL_FILE"]).read_text()
    with connect(url) as client, pytest.raises(NoPermissionError):
        client.execute_command(*words.split())
