"""What README.md shows of commands and their output is what they print.

``make readme`` runs this with RENEW=1, which puts the outputs of this run into the page.
"""

import hashlib
import os
import sys
from pathlib import Path

import pytest

from tests import transcript
from tests.e2e.conftest import running_service

README = Path(__file__).resolve().parents[2] / "README.md"
KEYS = {"portal": "otps_portal-key-of-the-page", "shop": "otps_shop-key-of-the-page"}
TOKEN = "inbound-token-of-the-page-0123456789"
RENEW = os.environ.get("RENEW") == "1"


def apps_of_the_page():
    def table(name, more):
        digest = hashlib.sha256(KEYS[name].encode()).hexdigest()
        return f'[apps.{name}]\nkey_sha256 = ["{digest}"]\n{more}\n'

    return table("portal", 'scopes = ["verify", "admin", "metrics"]') + table("shop", "")


@pytest.fixture
def settings(environment, valkey, valkey_url, sandbox, tmp_path):
    """The settings of the page: everything it does not name has its default."""
    sandbox.state.reset()
    (tmp_path / "apps.toml").write_text(apps_of_the_page())
    own = {k: v for k, v in environment.items() if k != "OTPSERVICE_ROUTES"}
    return own | {
        "OTPSERVICE_REDIS_URL": valkey_url,
        "OTPSERVICE_VAVASMS_URL": f"{sandbox.url}/api",
        "OTPSERVICE_APPS_FILE": str(tmp_path / "apps.toml"),
        "OTPSERVICE_INBOUND_TOKEN": TOKEN,
        "OTPSERVICE_DRAIN_SECONDS": "1",
    }


@pytest.fixture
def service(settings, sandbox, tmp_path):
    """One worker: what one worker's breakers saw, the next one's did not."""
    with running_service(settings, sandbox, tmp_path, "--workers", "1") as running:
        yield running


def shell(settings, service, sandbox):
    commands = Path(sys.executable).parent
    return settings | {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "USER": "awa",
        "LOGNAME": "awa",
        "S": service.url,
        "I": sandbox.url,
        "KEY": KEYS["portal"],
        "SHOP": f"Authorization: Bearer {KEYS['shop']}",
        "A": f"Authorization: Bearer {KEYS['portal']}",
        "J": "Content-Type: application/json",
        "TOKEN": TOKEN,
    }


def at_the_usual_ports(printed, service, sandbox, valkey_url):
    """As a reader sees it who runs all of it at its default addresses."""
    addresses = {
        service.url: "http://127.0.0.1:8000",
        sandbox.url: "http://127.0.0.1:8025",
        valkey_url: "redis://127.0.0.1:6379/0",
    }
    for ours, usual in addresses.items():
        netloc = [url.split("//")[1].split("/")[0] for url in (ours, usual)]
        printed = printed.replace(*netloc)
    return printed


def test_the_commands_of_the_readme_print_what_it_says(service, settings, sandbox, valkey_url):
    page = README.read_text()
    done = [
        (step, command, at_the_usual_ports(printed, service, sandbox, valkey_url))
        for step, command, printed in transcript.run(
            [*transcript.steps(page)], shell(settings, service, sandbox)
        )
    ]
    if RENEW:
        README.write_text(transcript.renewed(page, done))
        return
    for step, command, printed in done:
        if not step.hidden:
            assert transcript.plain(printed) == transcript.plain(step.printed), command
