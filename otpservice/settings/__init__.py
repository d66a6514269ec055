"""What the operator decides: read once at start, checked together, never changed after."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from otpservice.apps import App, Apps
from otpservice.apps.values import DEFAULT_ROUTES, KNOWN_ROUTES
from otpservice.settings.advice import warnings_about
from otpservice.settings.reading import read_all
from otpservice.settings.table import SETTINGS, Setting
from otpservice.verification.address import Network
from otpservice.verification.message import Wording, compose
from otpservice.verification.policy import Policy

__all__ = ["DEFAULT_ROUTES", "KNOWN_ROUTES", "SETTINGS", "Setting", "Settings"]

_POLICY = (
    "code_length",
    "code_ttl",
    "max_attempts",
    "provider_timeout",
    "resend_after",
    "lockout_failures",
    "lockout_seconds",
    "lockout_total",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, by the names of the environment variables in lower case.

    Grouped are ``policy`` (lengths, times, guesses, locks and quotas) and ``messages``
    (``MESSAGE_FR`` as ``fr``). Empty is None, or (), where a setting may be left out. ``repr``
    shows no secret and no phone number.

    Attributes:
        secret_keys: one or two, newest first, 32 bytes or more each.
        apps: what the apps file holds.
        vavasms_url, http_route_url: without a slash at the end.
        drain_seconds, keep_alive, breaker_seconds: seconds.
        denied_numbers, allowed_numbers: E.164 numbers and prefixes, from DENY_FILE and ALLOW_FILE.
        phone_rate_limit, app_rate_limit: as limits.parse_many reads them.
        sms_price_xof, low_balance_xof: CFA francs; None if nobody said.
    """

    redis_url: str = field(repr=False)
    redis_wait_replicas: int
    secret_keys: tuple[bytes, ...] = field(repr=False)
    apps: Apps
    vavasms_url: str
    vavasms_username: str = field(repr=False)
    vavasms_password: str = field(repr=False)
    vavasms_sender_id: str | None
    vavasms_status_path: str | None
    vavasms_plus_sign: bool
    vavasms_verify_sender_id: bool
    vavasms_lang: str | None
    routes: tuple[str, ...]
    http_route_url: str | None = field(repr=False)
    http_route_secret: str | None = field(repr=False)
    inbound_token: str | None = field(repr=False)
    inbound_addresses: tuple[Network, ...]
    default_region: str
    countries: frozenset[str]
    policy: Policy
    phone_rate_limit: str
    app_rate_limit: str
    pumping_guard: str
    denied_numbers: tuple[str, ...] = field(repr=False)
    allowed_numbers: tuple[str, ...] = field(repr=False)
    drain_seconds: int
    keep_alive: int
    breaker_failures: int
    breaker_seconds: int
    message: str
    messages: Mapping[str, str]
    default_locale: str
    sms_price_xof: int | None
    low_balance_xof: int | None
    sending: bool
    log_level: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read all settings from ``environ``, or from the process's own environment.

        Raises:
            InvalidSettings: with every mistake at once, a line each, by the variable's full name.
        """
        return cls(**_grouped(read_all(os.environ if environ is None else environ)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for each value that is allowed and unwise, beginning with its variable."""
        return tuple(warnings_about(self))

    def sender_id_for(self, app: App) -> str:
        """The name an app's SMS show as their sender: its own, or the service's."""
        return app.sender_id or self.vavasms_sender_id or ""

    def template_for(self, app: App, locale: str | None) -> str:
        """The text of an SMS, with ``##OTP##`` where the code goes: what ``compose`` makes of the
        app's wording.
        """
        wording = self.wording_for(app, locale)
        return compose(
            wording.template,
            brand=app.brand or self.sender_id_for(app) or app.name,
            # Rounded down: nobody should be told of a minute in which the code is dead.
            minutes=max(1, self.policy.code_ttl // 60),
            language=wording.language,
            do_not_share=app.do_not_share,
            webotp_host=app.webotp_host,
            sms_retriever_hash=app.sms_retriever_hash,
        )

    def wording_for(self, app: App, locale: str | None) -> Wording:
        """The template an app's SMS are made from.

        An app's own for the language wins, then the service's for the language, then ``MESSAGE``,
        which is in the default language.
        """
        language = self.language_for(app, locale)
        if language in app.messages:
            return Wording(app.messages[language], language, f"APPS_FILE message.{language}")
        if language in self.messages:
            return Wording(self.messages[language], language, f"MESSAGE_{language.upper()}")
        return Wording(self.message, self.default_locale, "MESSAGE")

    def language_for(self, app: App, locale: str | None) -> str:
        """The language of a locale: ``fr`` of ``fr-CI``; the default one if there is no text."""
        language = (locale or self.default_locale).replace("_", "-").partition("-")[0].lower()
        return language if language in self.languages_for(app) else self.default_locale

    def languages_for(self, app: App) -> frozenset[str]:
        """The languages an app may ask for; any other is taken for the default one."""
        return frozenset({*app.messages, *self.messages, "fr", "en", self.default_locale})


def _grouped(values: dict[str, Any]) -> dict[str, Any]:
    """The values of single variables as the fields of Settings."""
    policy = {name: values.pop(name) for name in _POLICY}
    by_locale = {name: values.pop(f"message_{name}") for name in ("fr", "en")}
    return {
        "secret_keys": values.pop("secret_key"),
        "apps": values.pop("apps_file"),
        "policy": Policy(
            phone_quota=values.pop("phone_send_quota"),
            address_quota=values.pop("address_send_quota"),
            address_failure_quota=values.pop("address_failure_quota"),
            prefix_quota=values.pop("prefix_send_quota"),
            daily_budget=values.pop("daily_send_budget"),
            record_only=values.pop("quota_record_only"),
            **policy,
        ),
        "denied_numbers": values.pop("deny_file") or (),
        "allowed_numbers": values.pop("allow_file") or (),
        "messages": MappingProxyType({name: text for name, text in by_locale.items() if text}),
        **values,
    }
