"""Keyed digests: what stands in Redis in place of phone numbers and codes.

They are names, cut off where no two things ever share one by chance: of 2**128 names it would take
some 2**64 in use at once. Nobody can look for a second number of the same name either, who has not
the key. Those of phones and codes are in hex: locks and opt-outs are looked for by them for up to
400 days.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from otpservice.verification.code import Code
from otpservice.verification.phone import PhoneNumber


@dataclass(frozen=True, slots=True)
class PhoneDigest:
    """A phone number in key names: ``tag``, four hex digits, chooses the slot; ``name`` is it.

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
            PhoneDigest(digest.hex()[:4], digest.hex()[4:36])
            for digest in self._all("phone", phone.e164)
        )

    def codes(self, code: Code, tag: str) -> tuple[str, ...]:
        """The digests of a code, one per key, newest first.

        They are bound to ``tag``, the one thing known both of an id and of a phone before the
        store is asked; equal codes of two phones hardly ever look alike.
        """
        digests = self._all("code", f"{tag}:{code.digits}")
        return tuple(digest.hex()[:32] for digest in digests)

    def bucket(self, kind: str, value: str) -> str:
        """The digest of anything else that is counted or kept by name, in 24 characters of base64.

        Where it is part of a key, the first four are its hash tag.
        """
        return urlsafe_b64encode(self._all(f"bucket:{kind}", value)[0][:18]).decode()

    def _all(self, purpose: str, value: str) -> tuple[bytes, ...]:
        # The purpose keeps digests of different things apart that happen to have one spelling.
        message = f"{purpose}\0{value}".encode()
        return tuple(hmac.digest(secret, message, "sha256") for secret in self._secrets)
