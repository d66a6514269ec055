"""Telephone numbers: any usual spelling in, E.164 out, never shown whole by accident."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

import phonenumbers
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    NumberParseException,
    PhoneNumberType,
)

from otpservice.verification.errors import DestinationBlocked, InvalidPhone

# phonenumbers also reads letters ("FLOWERS" dials), extensions and other alphabets' digits. One
# bucket per phone and no surprise recipients: only what people type on a keypad, and only there.
_SPELLING = re.compile(r"\+?[0-9(][0-9 ().\-/]{3,30}\Z")

_REGIONS = {str(code): regions for code, regions in COUNTRY_CODE_TO_REGION_CODE.items()}

# Where nobody can tell the two apart (North America), a number that may be mobile is taken.
_MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}

# Côte d'Ivoire put two digits before its 8-digit numbers on 31 January 2021.
_OLD_IVORIAN = re.compile(r"(?:\+?225|00225)?[0-9]{8}\Z")


@dataclass(frozen=True)
class PhoneNumber:
    """A valid mobile number.

    Attributes:
        e164: with the plus sign: ``+2250709000001``. Only ``parse`` vouches for it.
    """

    e164: str = field(repr=False)

    @classmethod
    def parse(cls, text: str, *, region: str) -> "PhoneNumber":
        """Read one number as people write it, national or international.

        Args:
            text: the number; ASCII digits, spaces and ``+ ( ) . - /`` only.
            region: ISO 3166 code of the country whose national numbers are meant.

        Raises:
            InvalidPhone: it is not a valid mobile number.
        """
        spelled = text.strip(" ")
        if not _SPELLING.match(spelled):
            raise InvalidPhone(
                "A phone number is digits, with an optional leading + and spaces, dots, dashes or "
                "brackets between them."
            )
        read = _read(spelled, region)
        if read is None:
            raise InvalidPhone(_why_invalid(spelled, region))
        number, kind = read
        if kind not in _MOBILE:
            raise InvalidPhone("This is not a mobile number, so it cannot receive the SMS.")
        return cls(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))

    def require_country(self, countries: Collection[str]) -> None:
        """Refuse a number outside ``countries`` (ISO 3166 codes).

        Raises:
            DestinationBlocked: its country is not among them.
        """
        if self.country not in countries:
            raise DestinationBlocked

    @cached_property
    def country(self) -> str:
        """ISO 3166 code of the country the number belongs to: ``CI``."""
        regions = _REGIONS[self._calling_code]
        if len(regions) == 1:
            return regions[0]
        return phonenumbers.region_code_for_number(phonenumbers.parse(self.e164)) or ""

    @property
    def digits(self) -> str:
        """E.164 without the plus sign: ``2250709000001``."""
        return self.e164[1:]

    @cached_property
    def masked(self) -> str:
        """The calling code and the last two digits: ``+225********01``."""
        code = self._calling_code
        hidden = len(self.e164) - len(code) - 3
        return f"+{code}{'*' * hidden}{self.e164[-2:]}"

    @cached_property
    def _calling_code(self) -> str:
        return _calling_code(self.e164)

    def __str__(self) -> str:
        return self.masked


def _calling_code(e164: str) -> str:
    """``225``: one to three digits, none of them the beginning of another; "" if there is none."""
    for end in (2, 3, 4):
        if e164[1:end] in _REGIONS:
            return e164[1:end]
    return ""


def _read(spelled: str, region: str) -> tuple[phonenumbers.PhoneNumber, int] | None:
    """The number and what kind it is.

    National first; failing that, digits that are an international number without its plus.
    """
    for candidate in (spelled, f"+{spelled}"):
        try:
            number = phonenumbers.parse(candidate, region)
        except NumberParseException:
            continue
        kind = phonenumbers.number_type(number)
        if kind != PhoneNumberType.UNKNOWN and not number.extension:
            return number, kind
    return None


def _why_invalid(spelled: str, region: str) -> str:
    digits = re.sub(r"[^0-9+]", "", spelled)
    if _OLD_IVORIAN.match(digits) and (region == "CI" or "225" in digits[:5]):
        return (
            "Ivorian numbers have 10 digits since 31 January 2021: put 01, 05 or 07 before the "
            "old 8, after +225."
        )
    return f"This is not a valid number. Write it internationally, or as it is dialled in {region}."
