"""What an SMS says: templates, the lines added to them, and what is unwise about the result."""

import difflib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from otpservice.verification.gsm import ROOM, UNIT, Encoding, Misfit, Size, measure, misfits
from otpservice.verification.routes import PLACEHOLDER

BRAND = r"[^#\x00-\x1f\x7f-\x9f\u2028\u2029]{1,40}"
"""A name in a message, as an expression. Without ``#``: it might come to be a placeholder."""

HOST = (
    r"(?=.{1,253}\Z)(?:localhost"
    r"|(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9]))"
)
"""A host name as browsers compare it: ASCII, lower case, no port; ``localhost`` for trying out."""

RETRIEVER_HASH = "[A-Za-z0-9+/]{11}"
"""The hash of an Android app: the first 11 characters of a base64 (Google's SMS Retriever)."""

DO_NOT_SHARE = {
    "fr": "Ne communiquez ce code à personne.",
    "en": "Do not share this code with anyone.",
}
"""The line that warns of those who ask for codes, by language; all of GSM-7."""

_FILLED = re.compile("##(BRAND|MINUTES)##")
_NAMES = ("OTP", "BRAND", "MINUTES")


@dataclass(frozen=True, slots=True)
class Wording:
    """A template as somebody wrote it.

    Attributes:
        template: the text, its placeholders not yet filled.
        language: the one it is in: ``fr``.
        source: where it is written, as warnings say: ``MESSAGE_FR``.
    """

    template: str
    language: str
    source: str


def compose(
    template: str,
    *,
    brand: str,
    minutes: int,
    language: str = "",
    do_not_share: bool = False,
    webotp_host: str | None = None,
    sms_retriever_hash: str | None = None,
) -> str:
    """The text of an SMS, which still holds ``##OTP##``; the route puts the code there.

    Browsers read WebOTP's last line from its start and ignore what follows the code
    (wicg.github.io/sms-one-time-codes), and Android looks for a hash at the end: with both they
    share the last line.

    Args:
        template: with ``##OTP##`` and, at will, ``##BRAND##`` and ``##MINUTES##``.
        brand: stands for ``##BRAND##``.
        minutes: stands for ``##MINUTES##``.
        language: the template's.
        do_not_share: add the line of ``DO_NOT_SHARE``, if there is one in the language.
        webotp_host: add ``@HOST #CODE``, by which the browser offers the code to that site.
        sms_retriever_hash: add the hash of the Android app that may read the SMS.
    """
    added = []
    if do_not_share and language in DO_NOT_SHARE:
        added.append(DO_NOT_SHARE[language])
    last = [f"@{webotp_host} #{PLACEHOLDER}"] if webotp_host else []
    last += [sms_retriever_hash] if sms_retriever_hash else []
    added += [" ".join(last)] if last else []
    text = _fill(template, brand, minutes)
    return "\n".join([text.rstrip(), *added]) if added else text


def _fill(template: str, brand: str, minutes: int) -> str:
    values = {"BRAND": brand, "MINUTES": str(minutes)}
    return _FILLED.sub(lambda placeholder: values[placeholder[1]], template)


def holds_code(template: str) -> bool:
    """Whether there is a place for the code once the rest is filled: ``##BRAND##OTP##`` has none.

    The two placeholders share their ``##``, and the first takes them.
    """
    return PLACEHOLDER in _fill(template, "-", 1)


def size(template: str, code_length: int) -> Size:
    """What an SMS takes with a code of ``code_length`` digits in it."""
    return measure(template.replace(PLACEHOLDER, "0" * code_length))


def cost(parts: int, price_xof: int | None) -> str:
    """``2 parts, 40 XOF each``; without a price only the parts."""
    counted = f"{parts} part" if parts == 1 else f"{parts} parts"
    return counted if price_xof is None else f"{counted}, {parts * price_xof:,} XOF each"


def lint(template: str, *, code_length: int, price_xof: int | None = None) -> Iterator[str]:
    """What is unwise about a text that ``compose`` made, a sentence each; nothing here is fatal.

    Args:
        template: the text with ``##OTP##``.
        code_length: digits of the code that will stand there.
        price_xof: of one part, in CFA francs; None if nobody said.
    """
    if PLACEHOLDER not in template:
        yield f"has no {PLACEHOLDER}, where the code goes"
    yield from _unknown_placeholders(template)
    text = template.replace(PLACEHOLDER, "0" * code_length)
    yield from _encoding(text)
    yield from _length(measure(text), price_xof)
    lines = re.split(r"\r\n|\r|\n", template)
    yield from _webotp(lines)
    yield from _retriever(lines, len(text.encode()))


_PLACEHOLDER_LIKE = re.compile("##? ?[A-Za-z_]{3,} ?##?|##[A-Za-z_]+|[A-Za-z_]{3,}##")


def _unknown_placeholders(template: str) -> Iterator[str]:
    rest = re.sub("|".join(f"##{name}##" for name in _NAMES), "0", template)
    for found in _PLACEHOLDER_LIKE.finditer(rest):
        name = found[0].strip("# ").upper()
        meant = difflib.get_close_matches(name, _NAMES, n=1) or _NAMES
        hint = " or ".join(f"##{name}##" for name in meant)
        yield f"{found[0]} is no placeholder and is sent as it stands: did you mean {hint}?"


# More would make a line nobody reads; whoever mends these runs doctor again.
_MISFITS_NAMED = 6


def _encoding(text: str) -> Iterator[str]:
    found = list(misfits(text))
    if not found:
        return
    alone = {encoding: room for encoding, (room, _) in ROOM.items()}
    first: dict[str, Misfit] = {}
    for misfit in found:
        first.setdefault(misfit.text, misfit)
    named = [_named(misfit) for misfit in first.values()]
    if len(named) > _MISFITS_NAMED:
        named[_MISFITS_NAMED:] = [f"{len(named) - _MISFITS_NAMED} more"]
    yield (
        f"{Encoding.UCS_2}, where a part holds {alone[Encoding.UCS_2]} characters instead of "
        f"{alone[Encoding.GSM_7]}, because of {', '.join(named)}{_rewritten(text, found)}"
    )


def _named(misfit: Misfit) -> str:
    shown = "".join(_shown(character) for character in misfit.text)
    advice = {None: "no replacement", "": "leave it out", " ": "write a space"}.get(
        misfit.replacement, f"write {misfit.replacement}"
    )
    return f"{shown} at {misfit.position + 1} ({advice})"


def _shown(character: str) -> str:
    """Itself, or its number where nobody could see it, or see it as a character of its own."""
    if character.isprintable() and not unicodedata.category(character).startswith("M"):
        return character
    return f"U+{ord(character):04X}"


def _rewritten(text: str, found: list[Misfit]) -> str:
    """What the replacements would bring, if every misfit has one."""
    for misfit in reversed(found):
        if misfit.replacement is None:
            return ""
        end = misfit.position + len(misfit.text)
        text = text[: misfit.position] + misfit.replacement + text[end:]
    return f"; so written it takes {cost(measure(text).parts, None)}"


def _length(found: Size, price_xof: int | None) -> Iterator[str]:
    if found.parts > 1:
        instead = "" if price_xof is None else f" instead of {price_xof:,}"
        yield (
            f"{cost(found.parts, price_xof)}{instead}: {found.length} {UNIT[found.encoding]}, "
            f"of which {ROOM[found.encoding][0]} fit into one"
        )


def _webotp(lines: list[str]) -> Iterator[str]:
    form = f"@HOST #{PLACEHOLDER}"
    for number, line in enumerate(lines, start=1):
        if not re.search(r"@\S*\s*#", line):
            continue
        match = re.fullmatch(rf"@(\S+) #{PLACEHOLDER}(?: {RETRIEVER_HASH})?", line)
        if number < len(lines):
            yield f"line {number}, {line!r}, is WebOTP's only as the last line"
        elif match is None:
            yield f"the WebOTP line must be {form} and nothing else, not {line!r}"
        elif not re.fullmatch(HOST, match[1]):
            yield f"the WebOTP line {form} needs a host name in lower case, not {match[1]!r}"


# The length of a message SMS Retriever looks at, and what a mistyped hash looks like: of nearly
# the right length, with capitals, small letters and something no word has.
_RETRIEVER_BYTES = 140
_HASH_LIKE = re.compile(r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9+/=])[A-Za-z0-9+/=]{9,16}")


def _retriever(lines: list[str], length: int) -> Iterator[str]:
    *_, end = lines[-1].split(" ")
    marked, alone = lines[0].startswith("<#>"), len(lines) > 1 and end == lines[-1]
    if re.fullmatch(RETRIEVER_HASH, end):
        if (marked or alone or lines[-1].startswith("@")) and length > _RETRIEVER_BYTES:
            yield f"{length} bytes: SMS Retriever reads messages of {_RETRIEVER_BYTES} at the most"
    elif marked:
        yield "begins with SMS Retriever's <#>, but does not end with a hash of 11 characters"
    elif alone and _HASH_LIKE.fullmatch(end):
        yield f"ends with {end}, but SMS Retriever's hash is 11 of A-Z, a-z, 0-9, + and /"
