"""What `otpservice doctor` looks at before, or while, the service runs."""

import os
from collections.abc import Iterator, Mapping

from otpservice.config.settings import SETTINGS, Settings
from otpservice.config.warnings import template_warnings
from otpservice.doctor.account import money, provider_finding, provider_problem, text_findings
from otpservice.doctor.callers import caller_findings
from otpservice.doctor.files import file_findings
from otpservice.doctor.finding import Finding, Verdict
from otpservice.doctor.store import redis_findings
from otpservice.verification.errors import InvalidSettings

__all__ = ["Finding", "Verdict", "examine", "money", "overall", "provider_problem"]


def examine(environ: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Check everything, one finding after the other; nothing is changed and nothing sent.

    Args:
        environ: where the settings are; the process's own environment if left out.
    """
    environ = os.environ if environ is None else environ
    try:
        settings = Settings.from_env(environ)
    except InvalidSettings as error:
        yield from (Finding(Verdict.FAIL, "settings", problem) for problem in error.problems)
        return
    yield from _settings(settings)
    yield from caller_findings(settings.apps)
    yield from file_findings(environ)
    yield from redis_findings(settings)
    yield provider_finding(settings)
    yield from text_findings(settings)


def overall(findings: list[Finding]) -> Verdict:
    """The worst of all verdicts."""
    verdicts = {finding.verdict for finding in findings}
    return next((v for v in (Verdict.FAIL, Verdict.WARNING) if v in verdicts), Verdict.OK)


def _settings(settings: Settings) -> Iterator[Finding]:
    apps = ", ".join(app.name for app in settings.apps)
    yield Finding(
        Verdict.OK, "settings", f"complete; apps: {apps}; routes: {', '.join(settings.routes)}"
    )
    about_texts = set(template_warnings(settings))
    warnings = [warning for warning in settings.warnings if warning not in about_texts]
    yield from (Finding(Verdict.WARNING, "settings", warning) for warning in warnings)
    told = " ".join(warnings)
    for setting in SETTINGS:
        if setting.meaning.startswith("unconfirmed") and setting.variable not in told:
            yield Finding(
                Verdict.WARNING,
                "settings",
                f"{setting.variable}: its default is unconfirmed; ask VavaSMS or try it with one "
                "SMS",
            )
