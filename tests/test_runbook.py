"""docs/runbook.md has an answer to whatever wakes somebody."""

import re
from pathlib import Path

import pytest
import yaml

from otpservice.web.problems import HTTP_PROBLEMS, INTERNAL_ERROR, PROBLEMS
from tests.test_readme import anchors

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "runbook.md"
ENTRIES = dict(re.findall(r"^### (.+)\n((?:(?!##).*\n?)*)", PAGE.read_text(), re.MULTILINE))


def alerts():
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yml").read_text())
    return [rule for group in rules["groups"] for rule in group["rules"]]


def server_errors():
    problems = [*PROBLEMS.values(), *HTTP_PROBLEMS.values(), INTERNAL_ERROR]
    return sorted({problem.code for problem in problems if problem.status >= 500})


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_leads_to_its_heading(alert):
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert ROOT / page == PAGE
    assert anchor == alert["alert"].lower()
    assert anchor in anchors(PAGE)


@pytest.mark.parametrize("name", [*(alert["alert"] for alert in alerts()), *server_errors()])
def test_every_alert_and_every_5xx_says_what_to_do_and_whom_to_wake(name):
    parts = re.findall(r"^- \*\*(.+?)\*\*", ENTRIES[name], re.MULTILINE)
    assert [part.rstrip(":") for part in parts] == ["Do", "Look at", "Wake somebody"]


def test_it_has_no_alert_that_is_gone():
    named = {name for name in ENTRIES if name.startswith("Otp")}
    assert named == {alert["alert"] for alert in alerts()}


def test_every_metric_it_names_is_in_the_docs():
    known = set(re.findall(r"`(otpservice_\w+)`", (ROOT / "docs" / "metrics.md").read_text()))
    named = set(re.findall(r"otpservice_\w+", PAGE.read_text()))
    assert {name.removesuffix("_bucket") for name in named} <= known
