"""The settings under which gunicorn runs the service."""

import pytest

from otpservice.config.settings import Settings
from otpservice.runtime import machine
from otpservice.runtime import serve as server


@pytest.fixture
def settings(environment):
    def read(**changes):
        names = {f"OTPSERVICE_{name.upper()}": value for name, value in changes.items()}
        return Settings.from_env({**environment, **names})

    return read


@pytest.fixture
def open_files(monkeypatch):
    """Sets how many files a process may have open."""

    def allow(limit):
        monkeypatch.setattr(machine, "allow_open_files", lambda wanted: min(wanted, limit))

    return allow


def test_a_worker_takes_ten_thousand_connections_however_few_requests(settings, open_files):
    open_files(20_000)
    for requests in (1, 500, 4000):
        options = server.gunicorn_settings(settings(), requests=requests)
        assert options["worker_connections"] == 10_000


def test_connections_leave_files_for_the_requests(settings, open_files):
    open_files(4096)
    options = server.gunicorn_settings(settings(), requests=500)
    assert options["worker_connections"] == 4096 - 500 - 256


def test_there_are_never_fewer_connections_than_requests(settings, open_files):
    open_files(256)
    assert server.gunicorn_settings(settings(), requests=500)["worker_connections"] == 500


def test_workers_are_the_cores_that_can_be_used(settings, monkeypatch):
    monkeypatch.setattr(machine, "usable_cores", lambda: 3)
    assert server.gunicorn_settings(settings())["workers"] == 3
    assert server.gunicorn_settings(settings(), workers=5)["workers"] == 5


@pytest.mark.parametrize(("seconds", "head"), [("75", 75), ("0", 10)])
def test_a_head_has_a_limit_even_where_no_connection_is_kept(settings, seconds, head):
    assert server.gunicorn_settings(settings(keep_alive=seconds))["keepalive"] == head
