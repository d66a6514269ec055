"""Schemathesis makes requests of all sorts from /openapi.json and holds the answers to it.

It runs as a program of its own and loads this module for its formats.
"""

import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pytest
import schemathesis
from hypothesis import strategies as st

KEY = "otps_schemathesis-key-of-the-tests"
APP = f"""
[apps.robot]
key_sha256 = ["{sha256(KEY.encode()).hexdigest()}"]
scopes = ["verify", "admin", "metrics"]
purposes = ["login", "two-factor"]
"""

# A deleted verification can still be looked at. A good request may come too late or have a wrong
# code. What an incoming SMS looks like is the provider's to choose, so we take more than we tell.
CONFIG = """
[checks]
use_after_free.enabled = false
positive_data_acceptance.expected-statuses = [
    "2xx", "401", "403", "404", "409", "410", "422", "429"
]

[parameters]
"path.token" = "{token}"

[[operations]]
include-name = "POST /webhooks/vavasms/{{token}}"
checks.positive_data_acceptance.enabled = false
checks.negative_data_rejection.enabled = false
"""
TOKEN = "inbound-token-of-the-tests-0123456789"

# Nothing that is full may keep requests from being understood and acted upon.
OPEN = {
    "routes": "vavasms-otp,vavasms-text",
    "inbound_token": TOKEN,
    "resend_after": "0",
    "phone_send_quota": "",
    "prefix_send_quota": "",
    "address_send_quota": "",
    "address_failure_quota": "",
    "lockout_failures": "100",
    "lockout_total": "0",
}

schemathesis.openapi.format(
    "phone", st.integers(0, 99_999_999).map(lambda digits: f"+22507{digits:08}")
)

REPEATABLE = 10  # examples of `make test`, the same every time

LINE = 1800  # bytes; gunicorn is told to refuse requests whose first line is over 2048


@schemathesis.hook
def filter_case(context, case):
    """Leave out what gunicorn refuses before it is a request."""
    return len(quote(f"{case.path_parameters}{case.query}")) < LINE


def run_schemathesis(url, directory, examples):
    config = directory / "schemathesis.toml"
    config.write_text(CONFIG.format(token=TOKEN))
    words = f"--config-file {config} run {url}/openapi.json -n {examples}"
    options = ["--header", f"Authorization: Bearer {KEY}"]
    options += ["--output-sanitize", "false", "--no-color"]
    if examples <= REPEATABLE:
        options += ["--generation-deterministic"]
    else:
        options += ["--generation-database", "none"]
    return subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), *words.split(), *options],
        env={**os.environ, "SCHEMATHESIS_HOOKS": __name__},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("examples", [REPEATABLE, pytest.param(200, marks=pytest.mark.slow)])
def test_every_answer_is_one_that_the_description_tells(run_service, tmp_path, examples):
    apps = tmp_path / "apps.toml"
    apps.write_text(APP)
    with run_service(apps_file=str(apps), **OPEN) as service:
        done = run_schemathesis(service.url, tmp_path, examples)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"outcome": "internal_error"' not in service.log.read_text()
    assert '"endpoint": "verifications.confirm"' in service.log.read_text()
