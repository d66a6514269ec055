"""The body of a request, as HTML forms are sent."""

from collections.abc import Mapping
from urllib.parse import quote_plus


class _Characters(dict[int, str]):
    """How a form writes a character, by its number; kept from when it is first met."""

    def __missing__(self, character: int) -> str:
        self[character] = quote_plus(chr(character))
        return self[character]


_WRITTEN = _Characters()


def form(fields: Mapping[str, str]) -> str:
    """``fields`` as ``urllib.parse.urlencode`` writes them, at a fraction of its cost.

    Args:
        fields: by name; names are letters, digits and underscores.
    """
    return "&".join([f"{name}={fields[name].translate(_WRITTEN)}" for name in fields])
