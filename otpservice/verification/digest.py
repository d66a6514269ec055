"""Keyed digests: what stands in Redis in place of phone numbers and codes.

They are names, cut off where no two things ever share one by chance: of 2**128 names it would take
some 2**64 in use at once. Nobody can look for a second number of the same name either, who has not
the key. Written in base64 they take a third less of Redis's memory than in hex, and each is held
several times.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

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


class Digester:
    """Digests under the service's secret keys.

    Args:
        secrets: one or two keys of at least 32 bytes, newest first. New digests are made with the
            newest; the older one still finds what was stored under it.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = tuple(secrets)

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
        return _spelled(_digest(self._secrets[0], f"bucket:{kind}", value)[:18])

    def _all(self, purpose: str, value: str) -> list[bytes]:
        return [_digest(secret, purpose, value) for secret in self._secrets]


def _digest(secret: bytes, purpose: str, value: str) -> bytes:
    # The purpose keeps digests of different things apart that happen to have one spelling.
    return hmac.digest(secret, f"{purpose}\0{value}".encode(), "sha256")


def _spelled(digest: bytes) -> str:
    """The bytes, a multiple of three, in base64's alphabet for file names: no padding."""
    return urlsafe_b64encode(digest).decode()
