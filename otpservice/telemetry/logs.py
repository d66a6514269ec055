"""Logs for machines: one JSON object a line on standard error, without secrets.

Every line goes through ``scrub``: third parties write into the same stream, and their exceptions
quote what they were given.
"""

import logging
import logging.config
import math
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger import json
from pythonjsonlogger.core import merge_record_extra

request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered, if any; every line carries it."""

# Libraries whose lines below WARNING help only those who ask for DEBUG.
_QUIET = ("flask-limiter", "limits", "redis", "urllib3", "werkzeug")

_DEEPEST = 5
_TYPED = re.compile(r"\d{4,9}").fullmatch
_PHONE_LIKE = 10_000_000  # eight digits and more
_SECRET_NAMES = re.compile(
    r"(?:.*[_-])?(?:otp|pass(?:word|wd|phrase)|pwd|secret(?:_?keys?)?|token|api[_-]?key"
    r"|authorization)",
    re.IGNORECASE,
)
_VALUE = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\\"[^"\\]*\\"|[^\s&,]+)"""

# Digits that operators look for and that are no phone's: ids of verifications and of messages.
_IDS = r"(?P<id>ver_[0-9A-Za-z_-]{20,}|(?:OTP|SM|LOT)-[0-9]{8}-[0-9]+)"
_SPACED = r"\+\d(?:[ ().-]{0,2}\d){7,14}"


def scrub(text: str) -> str:
    """``text`` without passwords, keys, codes and whole phone numbers.

    Of a run of 8 or more digits the last two stay, so that lines about one phone can be matched.
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def _mask_digits(match: re.Match[str]) -> str:
    if match["id"]:
        return match[0]
    return re.sub(r"\d", "*", match[0][:-2]) + match[0][-2:]


_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"\b(bearer)\s+[^\s\"',]+", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"\botps_[A-Za-z0-9_-]+"), "otps_***"),
    (re.compile(r"whsec_[A-Za-z0-9+/=_-]+"), "whsec_***"),
    (re.compile(r"(/webhooks/vavasms/)[^\s\"'?/]+"), r"\1***"),
    (re.compile(r"(://)[^/?#\s\"']*@"), r"\1***@"),
    (
        re.compile(
            rf"((?<![A-Za-z])(?:otp|pass(?:word|wd|phrase)|pwd|secret(?:_?key)?|token|api[_-]?key)"
            rf"[\"'\\]*\s*[=:]\s*){_VALUE}",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
    # Provider and error codes have the same name; three digits or words, so they stay.
    (re.compile(r"(\bcode[\"'\\]*\s*[=:]\s*[\"'\\]*)\d{4,9}\b", re.IGNORECASE), r"\1***"),
    (re.compile(rf"{_IDS}|{_SPACED}|\+?\d{{8,}}"), _mask_digits),
)


class JsonFormatter(json.JsonFormatter):
    """Formats a record as one line of JSON, whatever was passed by ``extra=``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end: ``time``, ``level``, ``logger``, ``event`` and the rest."""
        try:
            return super().format(record)
        except Exception as error:  # a line lost here would hide what went wrong
            return super().format(_without_fields(record, error))

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Take the fields of a record; what came by ``extra=`` replaces none of the others."""
        moment = datetime.fromtimestamp(record.created, UTC)
        log_data["time"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        log_data |= {"level": record.levelname, "logger": record.name}
        log_data["event"] = record.getMessage()
        if request_id := request_id_var.get():
            log_data["request_id"] = request_id
        for name, value in merge_record_extra(record, {}, self.reserved_attrs).items():
            log_data[f"{name}_" if name in log_data else name] = value
        for name, theirs in (("exception", "exc_info"), ("stack", "stack_info")):
            if theirs in message_dict:
                log_data[name] = message_dict[theirs]

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """The fields without secrets."""
        shown = dict(_member(name, value, 0) for name, value in log_data.items())
        shown["time"] = log_data["time"]
        request_id = request_id_var.get()
        if request_id and not request_id.isdigit():  # as in the answer, digits and all
            shown["request_id"] = request_id
        return shown


def _without_fields(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    """A record with what can always be shown of another."""
    args = f" {_text(record.args)}" if record.args else ""
    event = f"{_text(record.msg)}{args} (it cannot be shown whole: {type(error).__name__})"
    kept = {name: vars(record)[name] for name in ("name", "levelname", "created")}
    return logging.makeLogRecord({**kept, "msg": event})


def _member(name: object, value: object, depth: int) -> tuple[str, Any]:
    """A field as it is shown; ``depth`` is how many others its value lies in."""
    name = _text(name)
    if _SECRET_NAMES.fullmatch(name):
        return scrub(name), "***"
    # Three digits are what a provider answers, four and more what an end user typed.
    if name in {"code", "vendor_code"} and _TYPED(_text(value)):
        return name, "***"
    return scrub(name), _plain(value, depth)


def _plain(value: object, depth: int) -> Any:  # noqa: ANN401 - JSON of any shape
    """``value`` as JSON can hold it, scrubbed."""
    if isinstance(value, str):
        return scrub(value)
    if value is None or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, int) and -_PHONE_LIKE < value < _PHONE_LIKE:
        return value
    if depth < _DEEPEST and isinstance(value, Mapping):
        return dict(_member(key, value[key], depth + 1) for key in value)
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    return scrub(_text(value))


def _text(value: object) -> str:
    try:
        return value if isinstance(value, str) else repr(value)
    except Exception:  # a __repr__ that fails must not take the line with it
        return f"<{type(value).__name__}>"


def logging_config(level: str) -> dict[str, Any]:
    """What logging.config.dictConfig and gunicorn's ``logconfig_dict`` take.

    Args:
        level: ``DEBUG`` to ``CRITICAL``, for the service's own lines and gunicorn's.
    """
    quiet = level if level in {"DEBUG", "ERROR", "CRITICAL"} else "WARNING"
    gunicorn = {"level": level, "handlers": ["stderr"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "otpservice.telemetry.logs.JsonFormatter"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stderr",
            }
        },
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {
            "gunicorn.error": gunicorn,
            # With a config of its own gunicorn logs every access; the service does that better.
            "gunicorn.access": {**gunicorn, "level": "WARNING"},
            **{name: {"level": quiet} for name in _QUIET},
        },
    }


def configure_logging(level: str) -> None:
    """Send every log line, Python's warnings included, to standard error as JSON."""
    logging.config.dictConfig(logging_config(level))
    logging.captureWarnings(capture=True)
