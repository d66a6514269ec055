"""Every setting, declared once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from otpservice.config import values
from otpservice.config.apps import App, Apps
from otpservice.config.environment import declared_in, read_all, setting
from otpservice.config.redis_url import redis_url
from otpservice.config.values import choice, optional, quotas, switch, whole
from otpservice.config.warnings import warnings_about
from otpservice.verification.address import Network
from otpservice.verification.message import Wording, compose
from otpservice.verification.policy import Policy, Quota


@dataclass(frozen=True)
class Settings:
    """All settings, one field for each variable: how it is read, its default, its meaning.

    A field is named like its variable in lower case, or says ``name``. Optional settings that are
    empty are None or (). ``repr`` shows no secret and no phone number.
    """

    redis_url: str = setting(
        redis_url,
        None,
        "Redis or Valkey: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://",
        secret=True,
    )
    redis_wait_replicas: int = setting(
        whole(0, 5),
        "0",
        "replicas that must hold a count before the answer goes out, 0 to 5; 0 = none",
    )
    secret_keys: tuple[bytes, ...] = setting(
        values.secret_keys,
        None,
        "key of all digests, at least 32 bytes; two while rotating: newest,older",
        secret=True,
        name="SECRET_KEY",
    )
    apps: Apps = setting(
        Apps.load, None, "path of the apps file", name="APPS_FILE", file_variant=False
    )
    vavasms_url: str = setting(
        values.provider_url,
        "https://vavasms.com/api",
        "the provider's base URL; plain http only to a loopback address",
    )
    vavasms_username: str = setting(
        values.one_line, "", "the provider's account; required with a vavasms route", secret=True
    )
    vavasms_password: str = setting(
        values.one_line, "", "its password; required with a vavasms route", secret=True
    )
    vavasms_sender_id: str | None = setting(
        optional(values.sender_id),
        "",
        "the sender SMS show, 3 to 11 letters and digits; required with a vavasms route",
    )
    vavasms_status_path: str | None = setting(
        optional(values.status_path),
        "",
        "unconfirmed: the status operation, a path under VAVASMS_URL/v1/; empty = off",
    )
    vavasms_plus_sign: bool = setting(
        switch, "off", "unconfirmed: on sends numbers with their plus sign, off digits only"
    )
    vavasms_verify_sender_id: bool = setting(
        switch, "off", "unconfirmed: on sends the sender ID with otp/verify too"
    )
    vavasms_lang: str | None = setting(
        optional(values.language),
        "",
        "unconfirmed: the provider's lang field, two letters; empty = not sent",
    )
    routes: tuple[str, ...] = setting(
        values.route_list, "vavasms-otp,vavasms-text", "ways to send a code, first choice first"
    )
    http_route_url: str | None = setting(
        optional(values.provider_url),
        "",
        "the organisation's own SMS gateway; required with the route http",
        secret=True,
    )
    http_route_secret: str | None = setting(
        optional(values.webhook_secret),
        "",
        "what its requests are signed with, whsec_…; required with the route http",
        secret=True,
    )
    inbound_token: str | None = setting(
        optional(values.inbound_token),
        "",
        "last part of the incoming SMS URL, at least 32 characters; empty = off",
        secret=True,
    )
    inbound_addresses: tuple[Network, ...] = setting(
        values.networks,
        "",
        "addresses or networks incoming SMS may be posted from, such as 192.0.2.0/24; empty = any",
    )
    default_region: str = setting(values.country, "CI", "country whose national numbers are meant")
    countries: frozenset[str] = setting(
        values.country_list, "CI,ML", "countries codes may be sent to"
    )
    code_length: int = setting(whole(6, 9), "6", "digits of a code, 6 to 9")
    code_ttl: int = setting(whole(1, 600), "300", "seconds a code is good for, 1 to 600")
    max_attempts: int = setting(whole(1, 10), "5", "guesses per verification, 1 to 10")
    resend_after: int = setting(whole(0, 600), "60", "seconds between two sends, 0 to 600; 0 = off")
    phone_rate_limit: str = setting(
        values.rate_limit, "30/minute", "requests about one phone, or one id"
    )
    app_rate_limit: str = setting(values.rate_limit, "600/minute", "requests of one app")
    phone_send_quota: tuple[Quota, ...] = setting(
        quotas, "5/hour;10/day", "SMS to one phone; empty = off"
    )
    address_send_quota: tuple[Quota, ...] = setting(
        quotas, "20/hour", "SMS asked for from one client_ip; empty = off"
    )
    address_failure_quota: tuple[Quota, ...] = setting(
        quotas, "50/hour", "wrong codes from one client_ip; empty = off"
    )
    prefix_send_quota: tuple[Quota, ...] = setting(
        quotas, "30/hour", "SMS to one block of 1,000 numbers; empty = off"
    )
    quota_record_only: frozenset[str] = setting(
        values.record_only,
        "",
        "quotas that count and log but do not refuse, among phone, address, prefix, app",
    )
    daily_send_budget: int = setting(
        whole(0, 999_999_999), "0", "SMS of the whole service in one UTC day; 0 = none"
    )
    lockout_failures: int = setting(
        whole(1, 100), "10", "failures in a row that lock a phone, 1 to 100"
    )
    lockout_seconds: int = setting(
        whole(1, 86_400), "3600", "seconds of the first lock, 1 to 86400"
    )
    lockout_total: int = setting(
        whole(0, 10_000),
        "100",
        "failures in a row that lock a phone until it is unlocked, 0 to 10000; 0 = off",
    )
    pumping_guard: str = setting(
        choice("off", "record", "enforce"),
        "record",
        "what a suspected pumping attack leads to: off, record or enforce",
    )
    denied_numbers: tuple[str, ...] = setting(
        values.number_file,
        "",
        "path of a file with numbers and prefixes never sent to, one a line",
        secret=True,
        name="DENY_FILE",
    )
    allowed_numbers: tuple[str, ...] = setting(
        values.number_file,
        "",
        "path of a file with numbers and prefixes past country list and blocks, one a line",
        secret=True,
        name="ALLOW_FILE",
    )
    provider_timeout: float = setting(
        values.seconds(1, 30), "10", "seconds for one call in all, 1 to 30"
    )
    drain_seconds: int = setting(
        whole(0, 60),
        "2",
        "seconds it still serves after SIGTERM, 0 to 60; load balancers look away meanwhile",
    )
    keep_alive: int = setting(
        whole(0, 3600),
        "75",
        "seconds an idle connection is kept, 0 to 3600; longer than the proxy's; 0 = not kept",
    )
    breaker_failures: int = setting(
        whole(0, 1000), "5", "failures in a row that open a route's breaker, 0 to 1000; 0 = off"
    )
    breaker_seconds: int = setting(whole(1, 3600), "30", "seconds it stays open, 1 to 3600")
    message: str = setting(
        values.template,
        "Votre code OTP est : ##OTP##",
        "text of the SMS, in DEFAULT_LOCALE, where there is none for the locale; must hold ##OTP##",
    )
    message_fr: str | None = setting(
        optional(values.template), "", "text in French; empty = MESSAGE"
    )
    message_en: str | None = setting(
        optional(values.template), "", "text in English; empty = MESSAGE"
    )
    default_locale: str = setting(
        values.locale, "fr", "language where none, or an unknown one, is asked for"
    )
    sms_price_xof: int | None = setting(
        optional(whole(0, 999_999_999)),
        "",
        "price of one SMS part in CFA francs, for doctor and /health; empty = unknown",
    )
    low_balance_xof: int | None = setting(
        optional(whole(0, 999_999_999)),
        "",
        "a balance below it is a warning, in CFA francs; empty = off",
    )
    sending: bool = setting(switch, "on", "off: /login-code is refused, /confirm goes on")
    log_level: str = setting(
        choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        "INFO",
        "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read all settings from ``environ``, or from the process's own environment.

        Raises:
            InvalidSettings: with every mistake at once, a line each, by the variable's full name.
        """
        return cls(**read_all(SETTINGS, os.environ if environ is None else environ))

    @cached_property
    def policy(self) -> Policy:
        """Lengths, times, guesses, locks and quotas, as the domain takes them."""
        return Policy(
            code_length=self.code_length,
            code_ttl=self.code_ttl,
            max_attempts=self.max_attempts,
            provider_timeout=self.provider_timeout,
            resend_after=self.resend_after,
            phone_quota=self.phone_send_quota,
            address_quota=self.address_send_quota,
            address_failure_quota=self.address_failure_quota,
            prefix_quota=self.prefix_send_quota,
            daily_budget=self.daily_send_budget,
            record_only=self.quota_record_only,
            lockout_failures=self.lockout_failures,
            lockout_seconds=self.lockout_seconds,
            lockout_total=self.lockout_total,
        )

    @cached_property
    def messages(self) -> Mapping[str, str]:
        """The texts that have a variable of their own, by language: ``MESSAGE_FR`` as ``fr``."""
        texts = {"fr": self.message_fr, "en": self.message_en}
        return MappingProxyType({language: text for language, text in texts.items() if text})

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for each value that is allowed and unwise, beginning with its variable."""
        return tuple(warnings_about(self))

    def sender_id_for(self, app: App) -> str:
        """The name an app's SMS show as their sender: its own, or the service's."""
        return app.sender_id or self.vavasms_sender_id or ""

    def template_for(self, app: App, locale: str | None) -> str:
        """The text of an app's SMS, with ``##OTP##`` where the code goes."""
        wording = self.wording_for(app, locale)
        return compose(
            wording.template,
            brand=app.brand or self.sender_id_for(app) or app.name,
            # Rounded down: the text must not promise a minute in which the code is dead.
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


SETTINGS = declared_in(Settings)
