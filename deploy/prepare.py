"""Make what compose.yaml needs and no repository may hold: keys, passwords and the apps file.

    python3 deploy/prepare.py --sandbox                # to try it out; nothing is sent to any phone
    python3 deploy/prepare.py --username NAME --sender-id NAME    # asks for the account's password

Writes secrets/ and .env beside compose.yaml, and nothing that is there already. Needs Python alone.
"""

import argparse
import getpass
import os
import secrets
import sys
from hashlib import sha256
from pathlib import Path

# The user of deploy/Dockerfile, for whoever runs this as root.
IMAGE_USER = 10001

# Beyond its own keys the service may do nothing, and with them no CONFIG, no FLUSHALL, no KEYS.
ACL = """\
user default on nopass resetkeys resetchannels -@all +ping
user otpservice on #{digest} resetchannels ~otp:* ~LIMITS:* +@all -@admin -@dangerous +info
"""

APPS = """\
[apps.portal]
key_sha256 = ["{portal}"]

[apps.prometheus]
key_sha256 = ["{metrics}"]
scopes = ["metrics"]

[apps.operations]
key_sha256 = ["{admin}"]
scopes = ["admin"]
"""


def main() -> None:
    """Write the files, or say why not."""
    chosen = _arguments()
    directory: Path = chosen.directory / "secrets"
    if directory.exists():
        sys.exit(f"{directory} is there already: nothing was changed.")
    os.umask(0o077)
    directory.mkdir(parents=True)
    owner = _owner()
    for name, text in _contents(chosen).items():
        path = directory / name
        path.write_text(text)
        # Others' containers read these under users of their own; the directory keeps people out.
        path.chmod(0o644 if name in {"valkey.acl", "metrics-key"} else 0o600)
        os.chown(path, *owner)
    (chosen.directory / ".env").write_text(_environment(chosen, owner))
    print(f"Made {directory} and .env. The API key of the app portal is in secrets/portal-key.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the secrets that compose.yaml needs.")
    parser.add_argument("--sandbox", action="store_true", help="use the stand-in for VavaSMS")
    parser.add_argument("--username", help="of the account at VavaSMS")
    parser.add_argument("--sender-id", help="the sender SMS show")
    parser.add_argument("--directory", type=Path, default=Path(__file__).parent)
    chosen = parser.parse_args()
    if chosen.sandbox:
        chosen.username, chosen.sender_id = "demo@example.com", "DEMO"
    elif not (chosen.username and chosen.sender_id):
        parser.error("--sandbox, or both --username and --sender-id")
    return chosen


def _contents(chosen: argparse.Namespace) -> dict[str, str]:
    keys = {name: f"otps_{secrets.token_urlsafe(32)}" for name in ("portal", "metrics", "admin")}
    redis = secrets.token_urlsafe(32)
    # The sandbox has one account, and it is public.
    password = "demo-password" if chosen.sandbox else getpass.getpass("Password at VavaSMS: ")
    return {
        **{f"{name}-key": key for name, key in keys.items()},
        "apps.toml": APPS.format(**{name: _digest(key) for name, key in keys.items()}),
        "redis-url": f"redis://otpservice:{redis}@valkey:6379/0",
        "valkey.acl": ACL.format(digest=_digest(redis)),
        "secret-key": secrets.token_hex(32),
        "vavasms-username": chosen.username,
        "vavasms-password": password,
    }


def _environment(chosen: argparse.Namespace, owner: tuple[int, int]) -> str:
    url = "http://127.0.0.1:8025/api" if chosen.sandbox else "https://vavasms.com/api"
    return (
        f"COMPOSE_PROFILES={'sandbox' if chosen.sandbox else ''}\n"
        f"SERVICE_USER={owner[0]}:{owner[1]}\n"
        f"VAVASMS_URL={url}\n"
        f"VAVASMS_SENDER_ID={chosen.sender_id}\n"
    )


def _owner() -> tuple[int, int]:
    """Whose the files are and as whom the service runs: secrets are read by their owner alone."""
    return (os.getuid(), os.getgid()) if os.getuid() else (IMAGE_USER, IMAGE_USER)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    main()
