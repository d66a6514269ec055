"""Flask without what this service has no use for and would pay for with every request."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface


class _NoSessions(SessionInterface):
    """There are none, and none is made to say so."""

    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002 - Flask's
        return self._none


class Application(Flask):
    """A Flask without sessions, whose views, hooks and handlers are never coroutines."""

    session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """``func``: Flask would look at each of them for each request."""
        return func
