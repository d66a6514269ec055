"""Keyed digests: what stands in Redis in place of phone numbers and codes.

They are names, cut off where no two things ever share one by chance: of 2**128 names it would take
some 2**64 in use at once. Nobody can look for a second number of the same name either, who has not
the key. Written in base64 they take a third less of Redis's memory than in hex, and each is held
several times.
"""

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from otpservice.verification.code import Code
from otpservice.verification.phone import PhoneNumber


@dataclass(frozen=True, slots=True)
class PhoneDigest:
    """A phone number in key names: ``tag``, four hex digits, chooses the slot; ``name``, 20
    characters, is the rest of it: 136 bits together.

    Many phones share a tag, so a verification's id, which carries it, tells nobody whose it is.
    """

    tag: str
    name: str


_BLOCK = 64  # bytes SHA-256 takes at a time


class _Hmac:
    """HMAC-SHA256 under one key (RFC 2104).

    The key's own two blocks are hashed once; ``hmac.digest`` sets all up anew for every message,
    which takes twice as long.
    """

    def __init__(self, key: bytes) -> None:
        key = sha256(key).digest() if len(key) > _BLOCK else key
        padded = key.ljust(_BLOCK, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in padded))

    def digest(self, message: bytes) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


class Digester:
    """Digests under the service's secret keys.

    Args:
        secrets: one or two keys of at least 32 bytes, newest first. New digests are made with the
            newest; the older one still finds what was stored under it.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._keys = tuple(map(_Hmac, secrets))

    def phones(self, phone: PhoneNumber) -> tuple[PhoneDigest, ...]:
        """The digests of a number, one per key, newest first."""
        return tuple(
            PhoneDigest(digest[:2].hex(), _spelled(digest[2:17]))
            for digest in self._all("phone", phone.e164)
        )

    def codes(self, code: Code, tag: str) -> tuple[str, ...]:
        """The digests of a code, one per key, newest first.

        They are bound to ``tag``, the one thing known both of an id and of a phone before the
        store is asked; equal codes of two phones hardly ever look alike.
        """
        digests = self._all("code", f"{tag}:{code.digits}")
        return tuple(_spelled(digest[:15]) for digest in digests)

    def bucket(self, kind: str, value: str) -> str:
        """The digest of anything else that is counted or kept by name; 24 characters.

        Where it is part of a key, the first four are its hash tag.
        """
        return _spelled(self._keys[0].digest(_message(f"bucket:{kind}", value))[:18])

    def _all(self, purpose: str, value: str) -> list[bytes]:
        message = _message(purpose, value)
        return [key.digest(message) for key in self._keys]


def _message(purpose: str, value: str) -> bytes:
    # The purpose keeps digests of different things apart that happen to have one spelling.
    return f"{purpose}\0{value}".encode()


def _spelled(digest: bytes) -> str:
    """The bytes, a multiple of three, in base64's alphabet for file names: no padding."""
    return urlsafe_b64encode(digest).decode()
