"""The service over the fake Redis and a route that does as it is told."""

from collections.abc import Callable
from contextlib import contextmanager, nullcontext

import pytest
from fakeredis import FakeRedis
from flask.testing import FlaskClient
from werkzeug.exceptions import RequestTimeout

from otpservice.app import create_app
from otpservice.config.settings import Settings
from otpservice.verification.errors import CodeForgotten, CodeRefused
from tests.conftest import KEYS

PHONE = "+2250709000001"


@contextmanager
def too_late():
    """The deadline of a body that does not come in time."""
    raise RequestTimeout
    yield


class ScriptedRoute:
    """A route in memory: it knows one code, and raises what it is given to raise."""

    name = "vavasms-otp"

    def __init__(self) -> None:
        self.sent = []
        self.checked = []
        self.code = "123456"
        self.raises = None
        self.during = lambda: None

    def send(self, message):
        self.sent.append(message)
        self.during()
        if self.raises:
            raise self.raises

    def check(self, phone, code):
        self.checked.append((phone, code))
        self.during()
        if self.raises:
            raise self.raises
        if not self.sent:
            raise CodeForgotten
        if code.digits != self.code:
            raise CodeRefused


@pytest.fixture
def route() -> ScriptedRoute:
    return ScriptedRoute()


@pytest.fixture
def make_client(environment, route) -> Callable[..., FlaskClient]:
    def make(
        *,
        redis=None,
        max_in_flight=500,
        is_stopping=lambda: False,
        body_deadline=nullcontext,
        **changes,
    ):
        names = {f"OTPSERVICE_{name.upper()}": value for name, value in changes.items()}
        settings = Settings.from_env({**environment, **names})
        app = create_app(
            settings,
            redis=FakeRedis() if redis is None else redis,
            routes={route.name: route},
            max_in_flight=max_in_flight,
            is_stopping=is_stopping,
            body_deadline=body_deadline,
        )
        app.testing = True
        app.config["PROPAGATE_EXCEPTIONS"] = False
        client = app.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {KEYS['portal']}"
        return client

    return make


@pytest.fixture
def client(make_client) -> FlaskClient:
    return make_client()


@pytest.fixture
def send(client):
    def post(phone=PHONE, client=client, **body):
        return client.post("/login-code", json={"phone": phone, **body})

    return post


@pytest.fixture
def confirm(client):
    def post(code="123456", client=client, **body):
        return client.post("/confirm", json={"code": code, **body})

    return post
