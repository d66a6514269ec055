"""The sandbox as a Flask app."""

import time
from collections.abc import Callable

from flask import Flask

from otpservice.sandbox.account import DEMO_ACCOUNT, Account
from otpservice.sandbox.api import make_api
from otpservice.sandbox.controls import make_controls
from otpservice.sandbox.incoming import require_loopback
from otpservice.sandbox.state import State

_EXTENSION = "sandbox"


def create_app(
    *,
    account: Account = DEMO_ACCOUNT,
    notification_url: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Flask:
    """Make one sandbox with a memory of its own.

    Args:
        account: the customer it serves.
        notification_url: where ``POST /inbound`` delivers incoming SMS; this machine only.
        clock: seconds since 1970; codes expire and ids are dated by it.

    Raises:
        ValueError: the notification URL is not of this machine.

    Faults that break the connection need ``SandboxServer``; under another WSGI server those calls
    are answered as if nothing were wrong.
    """
    if notification_url is not None:
        require_loopback(notification_url)
    app = Flask("otpservice.sandbox", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    state = State(account, notification_url, clock)
    app.extensions[_EXTENSION] = state
    app.register_blueprint(make_api(state))
    app.register_blueprint(make_controls(state))
    return app


def state_of(app: Flask) -> State:
    """What this sandbox remembers, for tests in the same process."""
    state = app.extensions[_EXTENSION]
    assert isinstance(state, State)  # noqa: S101 - for the type checker
    return state
