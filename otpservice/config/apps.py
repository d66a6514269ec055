"""The organisation's programs that may call the service, and what each of them may do."""

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from otpservice.config.app import App
from otpservice.config.apps_file import NAME, NAME_RULE, read_apps
from otpservice.config.values import file_text
from otpservice.verification.errors import InvalidSettings

__all__ = ["App", "Apps", "apps_file_lines", "new_key"]

# Keys are 48 characters; what is much longer is no key, and hashing it would only cost time.
_LONGEST_KEY = 256


@dataclass(frozen=True, slots=True)
class Apps:
    """All apps of the apps file, in its order."""

    apps: tuple[App, ...]

    @classmethod
    def load(cls, path: str) -> "Apps":
        """Read the apps file.

        Raises:
            InvalidSettings: it cannot be read, or holds mistakes; one problem each.
        """
        try:
            return cls.parse(file_text(path))
        except ValueError as error:
            raise InvalidSettings([str(error)]) from None

    @classmethod
    def parse(cls, text: str) -> "Apps":
        """Read the text of an apps file.

        Raises:
            InvalidSettings: it holds mistakes; ``problems`` has a line for each.
        """
        return cls(read_apps(text))

    def __iter__(self) -> Iterator[App]:
        return iter(self.apps)

    def named(self, name: str) -> App | None:
        """The app of this name, if there is one."""
        return next((app for app in self.apps if app.name == name), None)

    def authenticate(self, key: str) -> App | None:
        """The app whose key this is; an empty or blank key is nobody's.

        The key's hash is compared with every stored one whatever comes out, so that the time it
        takes does not tell which app came close, or which comes first in the file.
        """
        if not key.strip() or len(key) > _LONGEST_KEY or not key.isascii():
            return None
        digest = hashlib.sha256(key.encode()).digest()
        found = None
        for app in self.apps:
            for stored in app.key_hashes:
                if hmac.compare_digest(digest, stored):
                    found = app
        return found


def new_key() -> str:
    """A new API key: 256 random bits, with a prefix that secret scanners can look for."""
    return "otps_" + secrets.token_urlsafe(32)


def apps_file_lines(app_name: str, key: str) -> str:
    """The lines of the apps file that let ``app_name`` in with ``key``: they hold only its hash.

    Raises:
        ValueError: no app can have that name.
    """
    if not NAME.fullmatch(app_name):
        raise ValueError(f"An app's name {NAME_RULE}.")
    return f'[apps.{app_name}]\nkey_sha256 = ["{hashlib.sha256(key.encode()).hexdigest()}"]\n'
