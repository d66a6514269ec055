"""Values that are allowed and still worth a second look."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from otpservice.verification.gsm import ROOM, UNIT
from otpservice.verification.message import DO_NOT_SHARE, cost, lint, size

if TYPE_CHECKING:
    from otpservice.config.apps import App
    from otpservice.config.settings import Settings

# A random key of 32 hex digits has about 14 different ones; fewer than 10 is a typed phrase.
_DIFFERENT_BYTES = 10

# The smallest number without a warning, and what a smaller one does. An SMS often takes half a
# minute, and people who wait for it press the button again.
_SHORT = {
    "CODE_TTL": (60, "codes may expire before their SMS arrives"),
    "MAX_ATTEMPTS": (2, "one slip of the finger costs another SMS"),
    "RESEND_AFTER": (30, "people ask for a second SMS before the first arrives"),
    "LOCKOUT_FAILURES": (3, "people lock themselves out by mistyping"),
    "LOCKOUT_SECONDS": (60, "a lock hardly slows guessing"),
    "DRAIN_SECONDS": (1, "load balancers learn of a stop from requests that fail"),
    "PROVIDER_TIMEOUT": (3, "answers that come late are taken for lost, though the SMS is paid"),
}
_SAFE_LOCKOUT_TOTAL = 100  # NIST SP 800-63B-4 3.2.2


def warnings_about(settings: "Settings") -> Iterator[str]:
    """One line for each, beginning with its variable; those about texts of SMS come last."""
    for text in (*_short(settings), *_weak(settings), *_turned_off(settings)):
        yield f"OTPSERVICE_{text}"
    for name in ("status_path", "plus_sign", "verify_sender_id", "lang"):
        if getattr(settings, f"vavasms_{name}"):
            yield f"OTPSERVICE_VAVASMS_{name.upper()} is unconfirmed: try it with one SMS first"
    yield from template_warnings(settings)


def template_warnings(settings: "Settings") -> Iterator[str]:
    """One line for each thing that is unwise about a text, with the apps it concerns."""
    concerned: dict[tuple[str, str], list[str]] = {}
    for app in _senders(settings):
        for source, remark in _remarks(settings, app):
            concerned.setdefault((source, remark), []).append(app.name)
    for (source, remark), names in concerned.items():
        yield f"OTPSERVICE_{source} for {', '.join(dict.fromkeys(names))}: {remark}"


def template_sizes(settings: "Settings") -> Iterator[str]:
    """One line for each text there is nothing to say against: whose it is and what it takes."""
    users: dict[str, list[str]] = {}
    for app in _senders(settings):
        languages: dict[str, list[str]] = {}
        for language in sorted(settings.languages_for(app)):
            languages.setdefault(settings.template_for(app, language), []).append(language)
        for text, names in languages.items():
            where = "" if len(languages) == 1 else f" in {' and '.join(names)}"
            users.setdefault(text, []).append(f"{app.name}{where}")
    for text, names in users.items():
        found = size(text, settings.policy.code_length)
        taken = f"{found.length} of {ROOM[found.encoding][0]} {UNIT[found.encoding]}"
        if not any(_lint(settings, text)):
            yield f"{', '.join(names)}: {taken}, {cost(found.parts, settings.sms_price_xof)}"


def _senders(settings: "Settings") -> "Iterator[App]":
    return (app for app in settings.apps if "verify" in app.scopes)


def _remarks(settings: "Settings", app: "App") -> Iterator[tuple[str, str]]:
    """What is unwise about an app's texts, each with where it is written."""
    for language in sorted(settings.languages_for(app)):
        wording = settings.wording_for(app, language)
        for remark in _lint(settings, settings.template_for(app, language)):
            yield wording.source, remark
        if app.do_not_share and wording.language not in DO_NOT_SHARE:
            known = " and ".join(sorted(DO_NOT_SHARE))
            yield (
                "APPS_FILE do_not_share",
                f"has a line in {known}, none in {wording.language}: write it into the text",
            )


def _lint(settings: "Settings", text: str) -> Iterator[str]:
    return lint(text, code_length=settings.policy.code_length, price_xof=settings.sms_price_xof)


def _short(settings: "Settings") -> Iterator[str]:
    for name, (enough, effect) in _SHORT.items():
        field = name.lower()
        holder = settings if hasattr(settings, field) else settings.policy
        if getattr(holder, field) < enough:
            yield f"{name} is under {enough}: {effect}"


def _weak(settings: "Settings") -> Iterator[str]:
    if any(len(set(key)) < _DIFFERENT_BYTES for key in settings.secret_keys):
        yield "SECRET_KEY repeats few characters: make it from random bytes"
    if settings.default_region not in settings.countries:
        yield "DEFAULT_REGION is not in COUNTRIES: national numbers are read, then refused"
    if settings.policy.lockout_total > _SAFE_LOCKOUT_TOTAL:
        yield f"LOCKOUT_TOTAL is over {_SAFE_LOCKOUT_TOTAL}: more than NIST SP 800-63B-4 allows"


def _turned_off(settings: "Settings") -> Iterator[str]:
    quotas = {
        "PHONE_SEND_QUOTA": settings.policy.phone_quota,
        "ADDRESS_SEND_QUOTA": settings.policy.address_quota,
        "ADDRESS_FAILURE_QUOTA": settings.policy.address_failure_quota,
        "PREFIX_SEND_QUOTA": settings.policy.prefix_quota,
        "LOCKOUT_TOTAL": settings.policy.lockout_total,
    }
    yield from (f"{name} is off" for name, value in quotas.items() if not value)
    if not settings.sending:
        yield "SENDING is off: no code leaves"
    if settings.log_level not in {"DEBUG", "INFO"}:
        yield "LOG_LEVEL leaves out the audit trail: its lines are INFO"
    if "phone" in settings.policy.record_only:
        yield "QUOTA_RECORD_ONLY holds phone: nothing limits the SMS to one phone"
