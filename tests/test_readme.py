"""What README.md and the pages beside it say of the code is so."""

import re
from pathlib import Path
from urllib.parse import unquote

import click
import pytest

from otpservice.cli import main
from otpservice.config.settings import SETTINGS
from otpservice.verification.policy import Policy
from otpservice.web.problems import HTTP_PROBLEMS, INTERNAL_ERROR, PROBLEMS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md")])
LIMITS = (ROOT / "docs" / "limits.md").read_text()


def section(title, text=README):
    """What stands under a heading, up to the next of its level."""
    level = title.partition(" ")[0]
    return text.split(f"\n{title}\n")[1].split(f"\n{level} ")[0]


def rows(text):
    """The cells of all table rows, heads and rulers included."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def python_blocks():
    return [
        pytest.param(block, id=f"{page.name}-{n}")
        for page in PAGES
        for n, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL))
    ]


def commands(group, before=()):
    for name, command in group.commands.items():
        words = (*before, name)
        yield from commands(command, words) if isinstance(command, click.Group) else [words]


def shown_default(setting):
    if setting.default is None:
        return "required"
    return f"`{setting.default}`" if setting.default else "empty"


def test_the_settings_table_is_the_settings():
    expected = [[f"`{s.name}`", shown_default(s), s.meaning] for s in SETTINGS]
    table = [row for row in rows(section("## Settings")) if len(row) == 3]
    assert table[2:] == expected


def test_every_unconfirmed_setting_is_named_as_such():
    named = section("## Settings").split("does not document:")[1].split(".")[0]
    unconfirmed = {s.name for s in SETTINGS if s.meaning.startswith("unconfirmed")}
    assert set(re.findall(r"`(\w+)`", named)) == unconfirmed


def test_every_error_is_in_the_table_with_its_status():
    problems = [*PROBLEMS.values(), *HTTP_PROBLEMS.values(), INTERNAL_ERROR]
    table = {(row[0], row[1]) for row in rows(section("## Errors"))[2:]}
    assert table == {(f"`{problem.code}`", str(problem.status)) for problem in problems}


@pytest.mark.parametrize("words", list(commands(main)), ids=" ".join)
def test_every_command_is_mentioned(words):
    assert re.search(rf"[`\s]{' '.join(words)}\b", section("## Development"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        if not target.startswith(("http://", "https://")):
            there = (page.parent / unquote(path)).resolve() if path else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("block", python_blocks())
def test_python_in_the_pages_compiles(block):
    compile(block, "README.md", "exec")


def test_no_page_speaks_of_files_that_are_not_there():
    for page in PAGES:
        for path in re.findall(
            r"`((?:otpservice|tests|docs|deploy|bench)/[\w./-]+)`", page.read_text()
        ):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def odds(millionths):
    return f"{millionths} \u00d7 10⁻⁶ = 1 in {round(10**6 / millionths):,}"


def test_the_odds_follow_from_the_defaults():
    policy = Policy()
    assert (policy.code_length, policy.lockout_total) == (6, 100)
    alive = policy.code_ttl // policy.resend_after
    in_an_hour, in_a_day = (quota.amount for quota in policy.phone_quota)
    assert alive == in_an_hour
    one, day = policy.max_attempts, policy.max_attempts * in_a_day
    for millionths in (one, one * alive, day, policy.lockout_total, policy.lockout_total * alive):
        assert odds(millionths) in LIMITS
    assert all(odds(n) in README for n in (one, one * alive, day))


def test_the_rounds_of_a_malicious_lockout_follow_from_the_defaults():
    policy, hour, expected = Policy(), 0, []
    for n in range(policy.lockout_total // policy.lockout_failures):
        lock = min(policy.lockout_seconds * 2**n // 3600, 24)
        failures = (n + 1) * policy.lockout_failures
        last = failures >= policy.lockout_total
        shown = "until unlocked by hand" if last else f"{lock} h"
        sends = failures // policy.max_attempts
        expected.append([str(cell) for cell in (n + 1, hour, shown, failures, sends)])
        hour += lock
    assert rows(section("## Malicious lockout", LIMITS))[2:] == expected
