"""The service under gunicorn: one set of settings for the command and for deploy/."""

import logging
import sys
from collections.abc import Callable
from functools import cache, partial
from math import ceil
from typing import Any, NoReturn

from flask import Flask
from gunicorn.app.base import BaseApplication

from otpservice.app import MAX_IN_FLIGHT, create_app
from otpservice.config.settings import Settings
from otpservice.runtime import machine
from otpservice.runtime.stopping import (
    LAST_REQUEST_SECONDS,
    Worker,
    announce_stop,
    body_deadline,
    is_stopping,
)
from otpservice.store.client import connect
from otpservice.telemetry import metric_files
from otpservice.telemetry.logs import configure_logging, logging_config
from otpservice.verification.errors import InvalidSettings

log = logging.getLogger(__name__)

# Connections to one worker, idle ones and those with half a request included. They must be far more
# than the requests handled at once, or slow callers keep others out.
_CONNECTIONS = 10_000

# Files that a worker has open beside its connections and those to the provider: connections to
# Redis, counts of metrics, libraries.
_OTHER_FILES = 256

# Seconds that a request's head may take where connections are not kept alive.
_HEAD_SECONDS = 10

# Seconds that a request may need beside the provider: in a burst it may wait five for a connection
# to Redis before the call, and as long after it.
_BESIDE_THE_PROVIDER = 10


def settings_or_exit() -> Settings:
    """The settings of the environment; with mistakes, each is named and the process exits 2."""
    try:
        return Settings.from_env()
    except InvalidSettings as error:
        _exit(error)


def _exit(error: InvalidSettings) -> NoReturn:
    sys.stderr.writelines(f"{problem}\n" for problem in error.problems)
    sys.exit(2)


@cache
def settings_once() -> Settings:
    """The same, read in the arbiter and inherited by its workers.

    So a reload (SIGHUP) reads no settings again, and cannot end a service that runs by a mistake.
    """
    return settings_or_exit()


def _start() -> Settings:
    settings = settings_once()
    try:
        connect(settings.redis_url).close()  # it has made no connection yet
    except InvalidSettings as error:
        _exit(error)
    configure_logging(settings.log_level)
    for warning in settings.warnings:
        log.warning("unwise_setting", extra={"advice": warning})
    return settings


def application() -> Flask:
    """The WSGI application of the environment's settings."""
    return _build(_start())


def _build(settings: Settings, requests: int = MAX_IN_FLIGHT) -> Flask:
    return create_app(
        settings, max_in_flight=requests, is_stopping=is_stopping, body_deadline=body_deadline
    )


def gunicorn_settings(
    settings: Settings,
    *,
    bind: str = "127.0.0.1:8000",
    workers: int | None = None,
    requests: int = MAX_IN_FLIGHT,
) -> dict[str, Any]:
    """gunicorn's settings, with the reasons.

    Args:
        settings: the service's own.
        bind: address and port.
        workers: processes; the cores that this process may use if left out.
        requests: how many one worker handles at once.
    """
    connections = _room_for_connections(requests)
    return {
        "bind": bind,
        "workers": workers or machine.usable_cores(),
        # A request waits for the provider most of its time: a greenlet each costs next to nothing.
        "worker_class": Worker,
        "worker_connections": connections,
        "backlog": 2048,
        # Also limits how long the head of a request may take.
        "keepalive": settings.keep_alive or _HEAD_SECONDS,
        # From SIGTERM: new requests, the last ones on connections kept alive, and their answers. A
        # request waits in no queue for others: those without a place are refused.
        "graceful_timeout": settings.drain_seconds
        + ceil(LAST_REQUEST_SECONDS)
        + ceil(settings.policy.provider_timeout)
        + _BESIDE_THE_PROVIDER,
        "timeout": 60,  # of a worker that stopped to answer the arbiter; no request's
        # Bodies have 4 KiB at the most; so should lines and headers be short.
        "limit_request_line": 2048,
        "limit_request_fields": 64,
        "limit_request_field_size": 4096,
        # gunicorn's remote control, on by default; nobody here needs it.
        "control_socket_disable": True,
        "logconfig_dict": logging_config(settings.log_level),
        "loglevel": settings.log_level.lower(),
        "accesslog": None,  # the service logs each request itself
        **_hooks(settings, connections),
    }


def _room_for_connections(requests: int) -> int:
    """How many connections one worker can have; each request may need one to the provider, too."""
    beside = requests + _OTHER_FILES
    return max(requests, machine.allow_open_files(_CONNECTIONS + beside) - beside)


def _hooks(settings: Settings, connections: int) -> dict[str, Callable[..., None]]:
    """What happens at the turns of gunicorn's life.

    Workers count in files, so that any of them can tell /metrics what all of them counted.
    """

    def when_ready(arbiter: Any) -> None:  # noqa: ANN401 - gunicorn has no types
        announce_stop(arbiter)
        if connections < _CONNECTIONS:
            log.warning("few_open_files", extra={"connections": connections})

    def post_fork(_arbiter: object, worker: Worker) -> None:
        worker.drain_seconds = settings.drain_seconds
        worker.keeps_alive = settings.keep_alive > 0

    return {
        "when_ready": when_ready,
        "post_fork": post_fork,
        "child_exit": lambda _arbiter, worker: metric_files.worker_is_gone(worker.pid),
        "on_exit": lambda _arbiter: metric_files.remove_directory(),
    }


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with one application, without its command line.

    Args:
        build: makes the application; called once in each worker.
        options: as ``gunicorn_settings`` gives them.
    """

    def __init__(self, build: Callable[[], Flask], options: dict[str, Any]) -> None:
        self._build = build
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Take the options, and none of the environment or a file lying about."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The application, in a worker."""
        return self._build()


def serve(bind: str, workers: int | None, requests: int) -> None:
    """Run the service until it gets a signal to stop."""
    settings = _start()
    options = gunicorn_settings(settings, bind=bind, workers=workers, requests=requests)
    Server(partial(_build, settings, requests), options).run()
