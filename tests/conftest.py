"""What many tests need: a real Valkey, and the store over it and over the fake."""

from collections.abc import Iterator

import pytest
from fakeredis import FakeRedis
from redis import Redis

from otpservice.adapters.redis_client import connect
from otpservice.demo.embedded import embedded_redis
from otpservice.verification.phone import PhoneNumber

SECRET = b"a secret key of the tests, at least 32 bytes"


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    with embedded_redis() as url:
        yield url


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[Redis]:
    with connect(valkey_url) as client:
        client.flushall()
        yield client


@pytest.fixture(params=["fakeredis", "valkey"])
def redis(request: pytest.FixtureRequest) -> Redis:
    if request.param == "fakeredis":
        return FakeRedis()
    return request.getfixturevalue("valkey")


@pytest.fixture
def phone() -> PhoneNumber:
    return PhoneNumber.parse("+2250709000001", region="CI")
