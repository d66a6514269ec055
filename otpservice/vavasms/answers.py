"""What the provider answered, read once and without trust.

Its page shows codes as numbers and as strings, names in two places, ``data`` in four shapes, and a
trailing comma no JSON parser takes.
"""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,8}")
# No digits: a name is logged, and a provider that echoes a phone number must not get it in there.
_NAME = re.compile(r"[A-Z][A-Z_]{1,39}\Z")
_STRING = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_TRAILING_COMMA = re.compile(rf"({_STRING})|,(?=[ \t\r\n]*[}}\]])", re.DOTALL)
_TEXT_OR_DIGITS = re.compile(rf"{_STRING}|[0-9]{{4,}}", re.DOTALL)
_HARMLESS = re.compile(
    '"(?:code|status|message|description|data|message_id|lot_id|amount|currency|success|[0-9]{1,3}'
    "|OPERATION_SUCCES|EXECUTION_ERROR|EXPIRED_OTP|OTP_NOT_FOUND"
    '|INVALID_(?:CREDENTIALS|SENDER_ID|PHONE_NUMBER|OTP))"'
)
_SAMPLE_LENGTH = 300
_LARGEST = 10**18


class Answer(NamedTuple):
    """One answer.

    Attributes:
        http_status: 200 and the like.
        code: None if there was none that could be read.
        name: an error's name, or what stands in its place (``OPERATION_SUCCES``); None if none.
        data: whatever ``data`` held.
        sample: a redacted copy, if it could only be read after a trailing comma was taken out.
    """

    http_status: int
    code: int | None = None
    name: str | None = None
    data: object = None
    sample: str | None = None

    @property
    def rows(self) -> tuple[Mapping[str, object], ...]:
        """The objects in ``data``, whether it is a list of them, a single one or nothing."""
        found = self.data if isinstance(self.data, list) else [self.data]
        return tuple(row for row in found if isinstance(row, dict))

    @property
    def fields(self) -> Mapping[str, object]:
        """``data`` as one object; empty if it is not one."""
        return self.data if isinstance(self.data, dict) else {}

    @property
    def message_ids(self) -> tuple[str, ...]:
        """The message ids it names, in order."""
        found = self.fields.get("message_id")
        ids = found if isinstance(found, list) else [found]
        return tuple(filter(None, map(text, ids)))


def read_answer(http_status: int, body: bytes) -> Answer:
    """Make of ``body`` what can be made of it; never fails."""
    # Bytes that are not UTF-8 can only stand in texts for people.
    written = body.removeprefix(BOM_UTF8).decode(errors="replace")
    parsed, sample = _parse(written), None
    if parsed is None:
        mended = _TRAILING_COMMA.sub(r"\1", written)
        parsed = _parse(mended) if mended != written else None
        sample = _redacted(written) if parsed is not None else None
    if not isinstance(parsed, dict):
        return Answer(http_status, sample=sample)
    return Answer(http_status, _code(parsed), _name(parsed), parsed.get("data"), sample)


def text(value: object) -> str | None:
    """An id or word as text: a non-empty string, or a whole number written out; else None."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST:
        return str(value)
    return None


def whole_number(value: object) -> int | None:
    """An integer, or a string that is one in the usual spelling; else None."""
    written = text(value)
    return int(written) if written and _WHOLE.fullmatch(written) else None


def _parse(written: str) -> object:
    try:
        return _DECODER.decode(written)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # {"code": 913, "code": 0} says both; picking one would be a guess.
        raise ValueError("a key twice")
    return found


# json.loads would make one for each answer.
_DECODER = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_without_doubles)


def _code(parsed: Mapping[str, object]) -> int | None:
    return whole_number(parsed.get("code"))


def _name(parsed: Mapping[str, object]) -> str | None:
    for key in ("status", "message"):
        word = parsed.get(key)
        if isinstance(word, str) and _NAME.match(word):
            return word
    return None


def _redacted(written: str) -> str:
    """Its shape: the words of the page and short codes stay, all other texts and numbers go."""

    def cover(match: re.Match[str]) -> str:
        return match[0] if _HARMLESS.fullmatch(match[0]) else '"…"'

    return _TEXT_OR_DIGITS.sub(cover, written)[:_SAMPLE_LENGTH]
