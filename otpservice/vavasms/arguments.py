"""What the provider would refuse is refused before it is sent, as a ValueError."""

import re

PHONE = re.compile(r"\+?[1-9][0-9]{6,14}")  # E.164: at most 15 digits
CODE = re.compile(r"[0-9]{4,9}")
SENDER_ID = re.compile(r"[A-Za-z0-9]{3,11}")
LANGUAGE = re.compile(r"[A-Za-z]{2}(?:[-_][A-Za-z]{2})?")
PATH = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*")
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
OTP_LENGTHS = range(4, 10)


def matching(pattern: re.Pattern[str], value: str, what: str) -> str:
    """``value``, if all of it is of the pattern; the error names it ``what`` and never shows it."""
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"{what} must match {pattern.pattern}")
    return value


def filled(value: str) -> str:
    """A message or an id, if it is there."""
    if not value:
        raise ValueError("A message or id must not be empty.")
    return encodable(value, "A message")


def encodable(value: str, what: str) -> str:
    """``value``, if UTF-8 can write it: half a surrogate pair cannot be sent."""
    # Not by trying: the error of a failed encoding carries the whole text with it.
    if _HALF_A_PAIR.search(value):
        raise ValueError(f"{what} must be text that can be written as UTF-8.")
    return value
