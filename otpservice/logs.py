"""Logs for machines: one JSON object a line on standard error, without secrets.

Every line goes through ``scrub``: third parties write into the same stream, and their exceptions
quote what they were given.
"""

import json
import logging
import logging.config
import math
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

request_id_var: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request this thread is answering, if any; every line carries it."""

# Loggers of others whose lines below WARNING are of use only to somebody who asks for DEBUG.
_QUIET = ("flask-limiter", "limits", "redis", "urllib3", "werkzeug")

# What a LogRecord has of itself; anything more came by ``extra=``.
_OWN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}

# json.dumps would make an encoder for each line.
_ENCODE = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode

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


# What most fields of a line are: the ids of verifications, words with up to six digits and none of
# the signs that come before a secret, the operations of the provider. Without the two beginnings of
# keys no rule changes them.
_HARMLESS = re.compile(
    r"(?:ver_[0-9a-f]{20,}|[A-Za-z_.*+-]*(?:[0-9]{1,3}[A-Za-z_.*+-]*){0,2}|[a-z]+/[a-z]+)\Z"
).match


def scrub(text: str) -> str:
    """``text`` without passwords, keys, codes and whole phone numbers.

    Of a run of 8 or more digits the last two stay, so that lines about one phone can be matched.
    """
    if _HARMLESS(text) and "otps_" not in text and "whsec_" not in text:
        return text
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


class JsonFormatter(logging.Formatter):
    """One record as one line of JSON; never raises, whatever was passed by ``extra=``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end: ``time``, ``level``, ``logger``, ``event`` and the rest."""
        try:
            entry = self._entry(record)
        except Exception as error:  # a line lost here would hide what went wrong
            event = (
                f"{scrub(_message(record))} (its fields cannot be shown: {type(error).__name__})"
            )
            entry = {**_head(record), "event": event}
        # ASCII only: a stream of another encoding would write escapes that are not JSON's.
        return _ENCODE(entry)

    def _entry(self, record: logging.LogRecord) -> dict[str, Any]:
        entry = {**_head(record), "event": scrub(_message(record))}
        if request_id := request_id_var.get():
            entry["request_id"] = scrub(request_id) if request_id.isdigit() else request_id
        for name, value in vars(record).items():
            if name not in _OWN:
                shown, show = _name(name)
                entry[f"{shown}_" if shown in entry else shown] = show(value, 0)
        if record.exc_info and record.exc_info[0]:
            entry["exception"] = scrub(self.formatException(record.exc_info))
        if record.stack_info:
            entry["stack"] = scrub(record.stack_info)
        return entry


def _head(record: logging.LogRecord) -> dict[str, Any]:
    return {
        "time": f"{_second(int(record.created))}.{int(record.msecs):03d}Z",
        "level": record.levelname,
        "logger": record.name,
    }


@lru_cache(maxsize=4)
def _second(time: int) -> str:
    """Many lines have the same."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # too few arguments, or one whose __str__ fails
        return f"{_text(record.msg)} {_text(record.args)}"


@lru_cache(maxsize=256)
def _name(name: object) -> tuple[str, Callable[[object, int], Any]]:
    """How a field's name is shown, and what shows its value; remembered, for the names are few."""
    name = _text(name)
    if _SECRET_NAMES.fullmatch(name):
        return scrub(name), lambda _value, _depth: "***"
    return scrub(name), _plain_code if name in {"code", "vendor_code"} else _plain


def _plain(value: object, depth: int) -> Any:  # noqa: ANN401 - JSON of any shape
    """``value`` as JSON can hold it, scrubbed; ``depth`` is how many others it lies in."""
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


def _member(key: object, value: object, depth: int) -> tuple[str, Any]:
    shown, show = _name(_text(key))  # as text: it may be an object that nothing should keep
    return shown, show(value, depth)


def _plain_code(value: object, depth: int) -> Any:  # noqa: ANN401 - JSON of any shape
    # Three digits are what a provider answers, four and more what somebody typed.
    return "***" if _TYPED(_text(value)) else _plain(value, depth)


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
        "formatters": {"json": {"()": "otpservice.logs.JsonFormatter"}},
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
    # What no line shows need not be found out for each (the logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
