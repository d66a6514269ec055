"""How an SMS is encoded, how many parts it takes, and which characters make it dear.

The alphabet is 3GPP TS 23.038, 6.2.1; national shift tables are left out, as providers do not use
them. An SMS carries 140 bytes (3GPP TS 23.040, 9.2.3.24).
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

# In the order of the standard's table, without its escape: that is no character.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ"
    " !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Each of these stands behind an escape, and so counts two.
_EXTENDED = frozenset("\f^{}\\[~]|€")


class Encoding(StrEnum):
    """One of the two an SMS may be in; a single character decides for the whole text."""

    GSM_7 = "GSM-7"
    UCS_2 = "UCS-2"


ROOM = {Encoding.GSM_7: (160, 153), Encoding.UCS_2: (70, 67)}
"""Units of one part alone, and of each of several: 140 bytes, and what a header of 6 leaves."""

UNIT = {Encoding.GSM_7: "septets", Encoding.UCS_2: "characters of 16 bits"}
"""What ``Size.length`` counts, for people."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a text takes.

    Attributes:
        encoding: of the whole text.
        length: septets of GSM-7, or 16-bit units of UCS-2.
        parts: SMS that are sent and paid, at least 1.
    """

    encoding: Encoding
    length: int
    parts: int


def encoding_of(text: str) -> Encoding:
    """GSM-7 where every character is in it, else UCS-2."""
    return Encoding.GSM_7 if _fits(text) else Encoding.UCS_2


def measure(text: str) -> Size:
    """The encoding, the length and the parts of a text."""
    encoding = encoding_of(text)
    if encoding is Encoding.GSM_7:
        widths = [1 if character in _BASIC else 2 for character in text]
    else:
        widths = [1 if character <= "\uffff" else 2 for character in text]
    return Size(encoding, sum(widths), _parts(widths, *ROOM[encoding]))


def _parts(widths: list[int], alone: int, each: int) -> int:
    """Fill one part after the other; a character of two units is never cut in half."""
    if sum(widths) <= alone:
        return 1
    parts, used = 1, 0
    for width in widths:
        if used + width > each:
            parts, used = parts + 1, 0
        used += width
    return parts


@dataclass(frozen=True, slots=True)
class Misfit:
    """A character that forces UCS-2.

    Attributes:
        text: the character, with the combining marks after it.
        position: where it begins, counted from 0.
        replacement: how to write it in GSM-7, "" for leaving it out; None: there is no way.
    """

    text: str
    position: int
    replacement: str | None


def misfits(text: str) -> Iterator[Misfit]:
    """Every character that is not in GSM-7, in order. None is where the text is GSM-7."""
    for position, cluster in _clusters(text):
        if not _fits(cluster):
            yield Misfit(cluster, position, _replacement(cluster))


def _fits(text: str) -> bool:
    return all(character in _BASIC or character in _EXTENDED for character in text)


def _clusters(text: str) -> Iterator[tuple[int, str]]:
    """Characters with their combining marks: an é typed as e and an accent is one of them."""
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or not unicodedata.combining(text[end]):
            yield start, text[start:end]
            start = end


# What normalisation does not know: punctuation, the French ligature, and the letters of Bambara
# and Dioula, which è, ò, ny and ng were written for before 1982.
_SPELLED = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2039\u203a\u00b4`", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2022\u00b7", "-"),
        **dict(zip("\tœŒ", (" ", "oe", "OE"), strict=True)),
        **dict(zip("ɛɔɲŋ", ("è", "ò", "ny", "ng"), strict=True)),
        **dict(zip("ƐƆƝŊ", ("E", "O", "Ny", "Ng"), strict=True)),
    }
)

# Unicode categories of what can be left out: accents, enclosing marks, invisible signs.
_LEFT_OUT = frozenset({"Mn", "Me", "Cf"})


def _replacement(cluster: str) -> str | None:
    """The same composed or in plain characters, failing that without its accents."""
    spelled = cluster.translate(_SPELLED)
    composed = unicodedata.normalize("NFKC", spelled)
    decomposed = unicodedata.normalize("NFKD", spelled)
    bare = "".join(c for c in decomposed if unicodedata.category(c) not in _LEFT_OUT)
    return next((form for form in (composed, bare) if _fits(form)), None)
