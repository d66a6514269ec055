"""How keys and ids are made: an id carries its hash tag, so that it leads to its record."""

import re

from otpservice.verification.errors import NotFound

_ID = re.compile(r"ver_([0-9a-f]{4})([0-9a-f]{32})\Z")


def verification_id(tag: str, token: bytes) -> str:
    """The id callers see: ``ver_``, the tag, 128 random bits."""
    return f"ver_{tag}{token.decode()}"


def key_of(tag: str, kind: str, name: str) -> str:
    """``otp:{tag}:kind:name``; the kinds are listed in ``lua/lib/record.lua``."""
    return f"otp:{{{tag}}}:{kind}:{name}"


def tag_of(id: str) -> str:
    """The hash tag an id carries; an id of any other form was never one of ours."""
    match = _ID.match(id)
    if match is None:
        raise NotFound
    return match[1]


def record_key(id: str) -> str:
    """The key of the record of a verification.

    Raises:
        NotFound: the id was never one of ours.
    """
    return key_of(tag_of(id), "v", id[8:])
