"""How many SMS parts a text takes, and so what it costs."""

from dataclasses import dataclass

# GSM 03.38 (3GPP TS 23.038 6.2.1): the basic table, and the characters that need an escape before
# them and so count two.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")

# One part alone, and each part of several. 160 and 70 are the page's; 153 and 67 are what the
# concatenation header (3GPP TS 23.040 9.2.3.24.1) leaves of them.
_GSM7_ROOM = (160, 153)
_UCS2_ROOM = (70, 67)


@dataclass(frozen=True, slots=True)
class Segments:
    """``encoding`` is ``GSM-7`` or ``UCS-2``; ``count`` the parts that are billed, at least 1."""

    encoding: str
    count: int


def measure(text: str) -> Segments:
    """Count the parts of ``text``. One character outside GSM-7 makes the whole text UCS-2."""
    if all(character in _BASIC or character in _EXTENDED for character in text):
        widths = [1 if character in _BASIC else 2 for character in text]
        return Segments("GSM-7", _parts(widths, *_GSM7_ROOM))
    widths = [1 if ord(character) <= 0xFFFF else 2 for character in text]  # noqa: PLR2004 - UTF-16
    return Segments("UCS-2", _parts(widths, *_UCS2_ROOM))


def _parts(widths: list[int], alone: int, each: int) -> int:
    """Fill parts one after the other; a character of two units is never cut in half."""
    if sum(widths) <= alone:
        return 1
    parts, used = 1, 0
    for width in widths:
        if used + width > each:
            parts, used = parts + 1, 0
        used += width
    return parts
