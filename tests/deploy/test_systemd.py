"""deploy/otpservice.service, as far as systemd judges it without running it."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from otpservice.app import MAX_IN_FLIGHT
from otpservice.config.settings import SETTINGS, Settings
from otpservice.runtime.serve import gunicorn_settings
from tests.deploy.conftest import DEPLOY

UNIT = (DEPLOY / "otpservice.service").read_text()

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="no systemd-analyze on this machine"
)


def values(name):
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def judged(*words, unit):
    return subprocess.run(["systemd-analyze", *words, unit], capture_output=True, text=True)


@pytest.fixture
def unit(tmp_path):
    """The unit with a program that is there."""
    path = tmp_path / "otpservice.service"
    path.write_text(UNIT.replace("/opt/otpservice/bin/otpservice", sys.executable))
    return path


@needs_systemd
def test_systemd_understands_every_line(unit):
    done = judged("verify", "--man=no", unit=unit)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_little_is_left_to_whoever_breaks_in(unit):
    done = judged("security", "--offline=yes", "--threshold=15", unit=unit)
    assert done.returncode == 0, done.stdout


def test_every_secret_is_handed_over_and_names_a_setting():
    handed = {line.partition(":")[0] for line in values("LoadCredential")}
    files = dict(line.split("=%d/") for line in values("Environment") if "%d" in line)
    assert set(files.values()) == handed
    known = {s.file_variable for s in SETTINGS if s.file_variant} | {"OTPSERVICE_APPS_FILE"}
    assert files.keys() <= known
    assert all(line.endswith(line.partition(":")[0]) for line in values("LoadCredential"))


def test_mistakes_in_settings_are_not_started_again():
    done = subprocess.run(
        [sys.executable, "-m", "otpservice.cli", "serve"],
        env={**os.environ, "OTPSERVICE_REDIS_URL": "x"},
        capture_output=True,
    )
    assert [str(done.returncode)] == values("RestartPreventExitStatus")


def test_all_connections_of_a_worker_can_be_open(environment):
    (files,) = values("LimitNOFILE")
    options = gunicorn_settings(Settings.from_env(environment))
    assert int(files) > options["worker_connections"] + MAX_IN_FLIGHT + 256


def test_a_stop_waits_longer_than_the_longest_request(environment):
    settings = Settings.from_env({**environment, "OTPSERVICE_PROVIDER_TIMEOUT": "30"})
    (seconds,) = values("TimeoutStopSec")
    assert int(seconds) > gunicorn_settings(settings)["graceful_timeout"]
