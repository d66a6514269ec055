"""What the operator is told of the service's health, and what the probes are."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from fakeredis import FakeRedis
from flask import Flask

from otpservice import __version__
from otpservice.app import create_app
from otpservice.config.settings import Settings
from otpservice.store.client import connect
from otpservice.vavasms import Balance, Unavailable
from otpservice.verification.balance import BalanceReport
from otpservice.web.events import register_events
from otpservice.web.ops.admin import Vitals, admin_blueprint
from otpservice.web.ops.health import health_blueprint
from tests.conftest import APPS, SECRET
from tests.web.audit import audit

OPERATOR = "otps_operator-key"
HEADERS = {"Authorization": f"Bearer {OPERATOR}"}


@pytest.fixture
def settings(environment, tmp_path):
    key = sha256(OPERATOR.encode()).hexdigest()
    path = tmp_path / "apps.toml"
    path.write_text(f'{APPS}\n[apps.operator]\nkey_sha256 = ["{key}"]\nscopes = ["admin"]\n')
    changes = {
        "OTPSERVICE_APPS_FILE": str(path),
        "OTPSERVICE_SMS_PRICE_XOF": "20",
        "OTPSERVICE_LOW_BALANCE_XOF": "5000",
        "OTPSERVICE_RESEND_AFTER": "1",
    }
    return Settings.from_env({**environment, **changes})


@pytest.fixture
def asked():
    """How often the provider was asked, and what it answers."""
    return {"times": 0, "answer": Balance(25540, "XOF")}


@pytest.fixture
def make_operator(settings, asked, route):
    def ask():
        asked["times"] += 1
        if isinstance(asked["answer"], Exception):
            raise asked["answer"]
        return asked["answer"]

    def make(redis):
        app = create_app(settings, redis=redis, routes={route.name: route}, ask_balance=ask)
        return app.test_client()

    return make


@pytest.fixture
def operator(make_operator, valkey):
    return make_operator(valkey)


def health(client):
    answer = client.get("/health", headers=HEADERS)
    assert audit(client.application, "/health", "GET", answer) == ("health", (200, None))
    return answer.get_json()


@pytest.mark.parametrize(
    ("key", "status"),
    [("", 401), ("otps_wrong", 401), ("otps_probe-key", 403), (OPERATOR, 200)],
)
def test_only_the_scope_admin_sees_it(operator, key, status):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    assert operator.get("/health", headers=headers).status_code == status


def test_it_tells_of_redis_provider_balance_and_settings(operator):
    told = health(operator)
    assert (told["status"], told["version"], told["degraded"]) == ("ok", __version__, [])
    assert told["redis"].pop("latency_ms") >= 0
    assert told["redis"].pop("version").startswith("9.")
    assert datetime.fromisoformat(told["redis"].pop("since")) <= datetime.now(UTC)
    assert told["redis"] == {
        "status": "up",
        "server": "Valkey",
        "role": "primary",
        "maxmemory_policy": "noeviction",
        "aof": False,
    }
    assert told["provider"] == {"host": "127.0.0.1:1", "last_outcome": None}
    assert told["balance"]["sends_left"] == 1277
    assert any(line.startswith("OTPSERVICE_RESEND_AFTER") for line in told["warnings"])


def test_no_secret_is_in_it(operator, settings):
    text = operator.get("/health", headers=HEADERS).get_data(as_text=True)
    secrets = (SECRET.decode(), "demo-password", "demo@example.com", OPERATOR, "/api")
    assert not any(secret in text for secret in secrets)


def test_the_balance_is_asked_for_once_a_minute(operator, asked):
    ages = [health(operator)["balance"]["age"] for _ in range(3)]
    assert (asked["times"], ages[0]) == (1, 0)


def test_a_provider_that_cannot_be_asked_is_told_and_hides_nothing_else(operator, asked):
    asked["answer"] = Unavailable("check/balance")
    told = health(operator)
    assert (told["balance"]["amount"], told["balance"]["problem"]) == (None, "Unavailable")
    assert told["redis"]["status"] == "up"


def test_a_low_balance_degrades_it_and_the_readiness_probe(operator, asked):
    asked["answer"] = Balance(4999, "XOF")
    assert operator.get("/health/ready").get_json() == {"status": "ready"}
    told = health(operator)
    assert (told["status"], told["degraded"]) == ("degraded", ["low_balance"])
    ready = operator.get("/health/ready")
    assert ready.get_json() == {"status": "ready", "degraded": ["low_balance"]}
    assert (ready.status_code, asked["times"]) == (200, 1)


def test_without_redis_the_rest_is_still_told_and_nobody_is_asked(make_operator, asked):
    told = health(make_operator(connect("redis://127.0.0.1:1/0")))
    assert (told["status"], told["redis"], told["balance"]) == ("down", {"status": "down"}, None)
    assert asked["times"] == 0
    assert told["warnings"]


def test_a_server_that_does_not_tell_of_itself_is_up_all_the_same(make_operator):
    told = health(make_operator(FakeRedis()))  # knows no INFO
    assert told["redis"]["status"] == "up"
    assert told["redis"]["maxmemory_policy"] is None


def test_breakers_and_the_last_outcome_are_shown_as_they_are_told(settings):
    app = Flask("only health")
    register_events(app)
    vitals = Vitals(
        redis=dict,
        balance=BalanceReport,
        provider_url="https://vavasms.com/api",
        last_outcome=lambda: "Unavailable",
        breakers=lambda: {"vavasms-otp": {"send": "open"}},
        degraded=lambda: ["provider_credentials"],
    )
    app.register_blueprint(admin_blueprint(settings.apps, vitals))
    told = health(app.test_client())
    assert told["provider"] == {"host": "vavasms.com", "last_outcome": "Unavailable"}
    assert told["breakers"] == {"vavasms-otp": {"send": "open"}}
    assert told["degraded"] == ["provider_credentials"]


def test_readiness_asks_the_store_once_and_nothing_else():
    class Counting:
        pings = 0

        def ping(self):
            self.pings += 1

    store, app = Counting(), Flask("only probes")
    app.register_blueprint(health_blueprint(store, lambda: iter(["provider_credentials"])))
    assert app.test_client().get("/health/ready").get_json()["degraded"] == ["provider_credentials"]
    app.test_client().get("/health/live")
    assert store.pings == 1
