"""What many tests need: a real Valkey, and the store over it and over the fake."""

from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from fakeredis import FakeRedis
from hypothesis import settings
from prometheus_client.metrics import MetricWrapperBase
from redis import Redis

from otpservice.demo.embedded import embedded_redis
from otpservice.sandbox import SandboxServer
from otpservice.store.client import connect
from otpservice.telemetry import metrics
from otpservice.verification.phone import PhoneNumber

# `make test` does the same every time; `make test-long` looks further.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

SECRET = b"a secret key of the tests with over 32 bytes"

KEYS = {"portal": "otps_portal-key-of-the-tests", "shop": "otps_shop-key-of-the-tests"}

APPS = f"""
[apps.portal]
key_sha256 = ["{sha256(KEYS["portal"].encode()).hexdigest()}"]
purposes = ["login", "two-factor"]

[apps.shop]
key_sha256 = ["{sha256(KEYS["shop"].encode()).hexdigest()}"]

[apps.probe]
key_sha256 = ["{sha256(b"otps_probe-key").hexdigest()}"]
scopes = ["metrics"]
"""


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    with embedded_redis() as url:
        yield url


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[Redis]:
    with connect(valkey_url) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxServer]:
    """One sandbox for all tests; those that use it reset its state first."""
    with SandboxServer() as running:
        yield running


@pytest.fixture(params=["fakeredis", "valkey"])
def redis(request: pytest.FixtureRequest) -> Redis:
    if request.param == "fakeredis":
        return FakeRedis()
    return request.getfixturevalue("valkey")


@pytest.fixture(autouse=True)
def no_counts() -> None:
    """Forget what earlier tests counted: the metrics are those of the process."""
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            metric.clear()
    metrics.REQUESTS_IN_FLIGHT.set(0)


@pytest.fixture
def phone() -> PhoneNumber:
    return PhoneNumber.parse("+2250709000001", region="CI")


@pytest.fixture(scope="session")
def apps_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "apps.toml"
    path.write_text(APPS)
    return path


@pytest.fixture(scope="session")
def environment(apps_file: Path) -> Mapping[str, str]:
    """The smallest environment the service starts in; nothing listens at its addresses."""
    return {
        "OTPSERVICE_REDIS_URL": "redis://127.0.0.1:1/0",
        "OTPSERVICE_SECRET_KEY": SECRET.decode(),
        "OTPSERVICE_APPS_FILE": str(apps_file),
        "OTPSERVICE_VAVASMS_URL": "http://127.0.0.1:1/api",
        "OTPSERVICE_VAVASMS_USERNAME": "demo@example.com",
        "OTPSERVICE_VAVASMS_PASSWORD": "demo-password",
        "OTPSERVICE_VAVASMS_SENDER_ID": "DEMO",
        "OTPSERVICE_ROUTES": "vavasms-otp",
    }


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts a process of its own: `make test-fast` leaves it out."""
    for item in items:
        if starts_a_process(item):
            item.add_marker("process")


@cache
def module_starts_processes(path: Path) -> bool:
    return any(word in path.read_text() for word in ("import subprocess", "redis_servers"))


def starts_a_process(item: pytest.Item) -> bool:
    params = getattr(item, "callspec", None)
    return (
        any(folder.name in {"e2e", "deploy"} for folder in item.path.parents)
        or module_starts_processes(item.path)
        or "valkey_url" in getattr(item, "fixturenames", ())
        or (params is not None and "valkey" in params.params.values())
    )
