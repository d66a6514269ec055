"""The apps file: who may do what, and whose key is being replaced."""

from collections.abc import Iterator

from otpservice.config.apps import Apps
from otpservice.doctor.finding import Finding, Verdict

# What is missing where no app has a scope.
_WITHOUT = {
    "verify": "no code can be sent",
    "metrics": "Prometheus cannot read /metrics, and no alert fires",
}
_WATCHING = {"admin", "metrics"}


def caller_findings(apps: Apps) -> Iterator[Finding]:
    """A line for each thing that is unwise, or one that says who there is."""
    warnings = [*_missing_scopes(apps), *_mixed_scopes(apps), *_second_keys(apps)]
    yield from (Finding(Verdict.WARNING, "apps", warning) for warning in warnings)
    if not warnings:
        yield Finding(Verdict.OK, "apps", "each has one key, and keys that watch send nothing")


def _missing_scopes(apps: Apps) -> Iterator[str]:
    held = {scope for app in apps for scope in app.scopes}
    yield from (f"none has the scope {s}: {why}" for s, why in _WITHOUT.items() if s not in held)


def _mixed_scopes(apps: Apps) -> Iterator[str]:
    for app in apps:
        if "verify" in app.scopes and (more := sorted(app.scopes & _WATCHING)):
            yield f"{app.name} sends codes and has {' and '.join(more)}: make a key for that alone"


def _second_keys(apps: Apps) -> Iterator[str]:
    for app in apps:
        if len(app.key_hashes) > 1:
            yield f"{app.name} has two keys: take the older out when the app has changed over"
