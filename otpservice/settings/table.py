"""Every variable once: its name, how it is read, its default and its meaning."""

from collections.abc import Callable
from dataclasses import dataclass

from otpservice.apps import Apps
from otpservice.apps.values import locale, quotas, sender_id, template
from otpservice.settings import values
from otpservice.settings.values import choice, optional, seconds, switch, whole

PREFIX = "OTPSERVICE_"


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable.

    Attributes:
        name: without ``OTPSERVICE_``.
        read: makes the value of its text; raises ValueError with what is allowed.
        default: as it would be written, read like any other text; None: it must be set.
        meaning: one line for people, with its range.
        file_variant: whether ``OTPSERVICE_<NAME>_FILE`` may name a file that holds the text.
    """

    name: str
    read: Callable[[str], object]
    default: str | None
    meaning: str
    file_variant: bool = True

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.name

    @property
    def file_variable(self) -> str:
        """The name that holds the path of a file with its text instead."""
        return f"{self.variable}_FILE"


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "REDIS_URL",
        values.redis_url,
        None,
        "Redis or Valkey: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://",
    ),
    Setting(
        "REDIS_WAIT_REPLICAS",
        whole(0, 5),
        "0",
        "replicas that must have what was counted before anybody is told, 0 to 5; 0 = none",
    ),
    Setting(
        "SECRET_KEY",
        values.secret_keys,
        None,
        "key of all digests, at least 32 bytes; two while rotating: newest,older",
    ),
    Setting("APPS_FILE", Apps.load, None, "path of the apps file", file_variant=False),
    Setting(
        "VAVASMS_URL",
        values.provider_url,
        "https://vavasms.com/api",
        "the provider's base URL; plain http only to a loopback address",
    ),
    Setting(
        "VAVASMS_USERNAME",
        values.one_line,
        "",
        "the provider's account; required with a vavasms route",
    ),
    Setting("VAVASMS_PASSWORD", values.one_line, "", "its password; required with a vavasms route"),
    Setting(
        "VAVASMS_SENDER_ID",
        optional(sender_id),
        "",
        "the sender SMS show, 3 to 11 letters and digits; required with a vavasms route",
    ),
    Setting(
        "VAVASMS_STATUS_PATH",
        optional(values.status_path),
        "",
        "unconfirmed: the status operation, a path under VAVASMS_URL/v1/; empty = off",
    ),
    Setting(
        "VAVASMS_PLUS_SIGN",
        switch,
        "off",
        "unconfirmed: on sends numbers with their plus sign, off digits only",
    ),
    Setting(
        "VAVASMS_VERIFY_SENDER_ID",
        switch,
        "off",
        "unconfirmed: on sends the sender ID with otp/verify too",
    ),
    Setting(
        "VAVASMS_LANG",
        optional(values.language),
        "",
        "unconfirmed: the provider's lang field, two letters; empty = not sent",
    ),
    Setting(
        "ROUTES",
        values.route_list,
        "vavasms-otp,vavasms-text",
        "ways to send a code, first choice first",
    ),
    Setting(
        "HTTP_ROUTE_URL",
        optional(values.provider_url),
        "",
        "the organisation's own SMS gateway; required with the route http",
    ),
    Setting(
        "HTTP_ROUTE_SECRET",
        optional(values.webhook_secret),
        "",
        "what its requests are signed with, whsec_…; required with the route http",
    ),
    Setting(
        "INBOUND_TOKEN",
        optional(values.inbound_token),
        "",
        "last part of the incoming SMS URL, at least 32 characters; empty = off",
    ),
    Setting(
        "INBOUND_ADDRESSES",
        values.networks,
        "",
        "addresses or networks incoming SMS may be posted from, such as 192.0.2.0/24; empty = any",
    ),
    Setting("DEFAULT_REGION", values.country, "CI", "country whose national numbers are meant"),
    Setting("COUNTRIES", values.country_list, "CI,ML", "countries codes may be sent to"),
    Setting("CODE_LENGTH", whole(6, 9), "6", "digits of a code, 6 to 9"),
    Setting("CODE_TTL", whole(1, 600), "300", "seconds a code is good for, 1 to 600"),
    Setting("MAX_ATTEMPTS", whole(1, 10), "5", "guesses per verification, 1 to 10"),
    Setting("RESEND_AFTER", whole(0, 600), "60", "seconds between two sends, 0 to 600; 0 = off"),
    Setting(
        "PHONE_RATE_LIMIT", values.rate_limit, "30/minute", "requests about one phone, or one id"
    ),
    Setting("APP_RATE_LIMIT", values.rate_limit, "600/minute", "requests of one app"),
    Setting("PHONE_SEND_QUOTA", quotas, "5/hour;10/day", "SMS to one phone; empty = off"),
    Setting(
        "ADDRESS_SEND_QUOTA", quotas, "20/hour", "SMS asked for from one client_ip; empty = off"
    ),
    Setting(
        "ADDRESS_FAILURE_QUOTA", quotas, "50/hour", "wrong codes from one client_ip; empty = off"
    ),
    Setting(
        "PREFIX_SEND_QUOTA", quotas, "30/hour", "SMS to one block of 1,000 numbers; empty = off"
    ),
    Setting(
        "QUOTA_RECORD_ONLY",
        values.record_only,
        "",
        "quotas that count and log but do not refuse, among phone, address, prefix, app",
    ),
    Setting(
        "DAILY_SEND_BUDGET",
        whole(0, 999_999_999),
        "0",
        "SMS of the whole service in one UTC day; 0 = none",
    ),
    Setting(
        "LOCKOUT_FAILURES", whole(1, 100), "10", "failures in a row that lock a phone, 1 to 100"
    ),
    Setting("LOCKOUT_SECONDS", whole(1, 86_400), "3600", "seconds of the first lock, 1 to 86400"),
    Setting(
        "LOCKOUT_TOTAL",
        whole(0, 10_000),
        "100",
        "failures in a row that lock a phone until it is unlocked, 0 to 10000; 0 = off",
    ),
    Setting(
        "PUMPING_GUARD",
        choice("off", "record", "enforce"),
        "record",
        "what a suspected pumping attack leads to: off, record or enforce",
    ),
    Setting(
        "DENY_FILE",
        optional(values.number_file),
        "",
        "path of a file with numbers and prefixes never sent to, one a line",
    ),
    Setting(
        "ALLOW_FILE",
        optional(values.number_file),
        "",
        "path of a file with numbers and prefixes past country list and blocks, one a line",
    ),
    Setting("PROVIDER_TIMEOUT", seconds(1, 30), "10", "seconds for one call in all, 1 to 30"),
    Setting(
        "DRAIN_SECONDS",
        whole(0, 60),
        "2",
        "seconds it still serves once told to stop, 0 to 60; load balancers look away meanwhile",
    ),
    Setting(
        "KEEP_ALIVE",
        whole(0, 3600),
        "75",
        "seconds an idle connection is kept, 0 to 3600; longer than the proxy's; 0 = not kept",
    ),
    Setting(
        "BREAKER_FAILURES",
        whole(0, 1000),
        "5",
        "failures in a row that open a route's breaker, 0 to 1000; 0 = off",
    ),
    Setting("BREAKER_SECONDS", whole(1, 3600), "30", "seconds it stays open, 1 to 3600"),
    Setting(
        "MESSAGE",
        template,
        "Votre code OTP est : ##OTP##",
        "text of the SMS, in DEFAULT_LOCALE, where there is none for the locale; must hold ##OTP##",
    ),
    Setting("MESSAGE_FR", optional(template), "", "text in French; empty = MESSAGE"),
    Setting("MESSAGE_EN", optional(template), "", "text in English; empty = MESSAGE"),
    Setting("DEFAULT_LOCALE", locale, "fr", "language where none, or an unknown one, is asked for"),
    Setting(
        "SMS_PRICE_XOF",
        optional(whole(0, 999_999_999)),
        "",
        "price of one SMS part in CFA francs, for doctor and /health; empty = unknown",
    ),
    Setting(
        "LOW_BALANCE_XOF",
        optional(whole(0, 999_999_999)),
        "",
        "a balance below it is a warning, in CFA francs; empty = off",
    ),
    Setting("SENDING", switch, "on", "off: /login-code is refused, /confirm goes on"),
    Setting(
        "LOG_LEVEL",
        choice("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        "INFO",
        "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    ),
)
