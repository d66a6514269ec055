"""The digits somebody typed."""

import re
import secrets
from dataclasses import dataclass, field

from otpservice.verification.errors import InvalidCode

# \Z, not $: "$" would let a trailing newline through to the provider.
_CODE = re.compile(r"[0-9]{4,9}\Z")


@dataclass(frozen=True, slots=True)
class Code:
    """A guess: 4 to 9 ASCII digits, leading zeros kept. Its ``repr`` never shows them."""

    digits: str = field(repr=False)

    @classmethod
    def random(cls, length: int) -> "Code":
        """A code of ``length`` digits, each as likely as any other."""
        return cls(f"{secrets.randbelow(10**length):0{length}}")

    @classmethod
    def parse(cls, text: str) -> "Code":
        """Take the code as it was typed.

        Raises:
            InvalidCode: anything but 4 to 9 ASCII digits, other alphabets' digits included.
        """
        if not _CODE.match(text):
            raise InvalidCode
        return cls(text)
