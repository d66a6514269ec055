"""The service under gunicorn: one set of settings for the command and for deploy/."""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from flask import Flask
from gunicorn.app.base import BaseApplication

from otpservice.adapters.redis_client import connect
from otpservice.app import MAX_IN_FLIGHT, create_app
from otpservice.logs import configure_logging, logging_config
from otpservice.settings import Settings
from otpservice.verification.errors import InvalidSettings
from otpservice.web import metric_files

log = logging.getLogger(__name__)

# Threads beyond the requests handled at once: probes, and those who are told "overloaded".
_SPARE_THREADS = 32


# Workers count in files, so that any of them can tell /metrics what all of them counted.
_METRIC_HOOKS: dict[str, Callable[..., None]] = {
    "when_ready": lambda _server: metric_files.make_directory(),
    "post_fork": lambda _server, _worker: metric_files.count_in_files(),
    "child_exit": lambda _server, worker: metric_files.worker_is_gone(worker.pid),
    "on_exit": lambda _server: metric_files.remove_directory(),
}


def settings_or_exit() -> Settings:
    """The settings of the environment; with mistakes, each is named and the process exits 2."""
    try:
        return Settings.from_env()
    except InvalidSettings as error:
        _exit(error)


def _exit(error: InvalidSettings) -> NoReturn:
    sys.stderr.writelines(f"{problem}\n" for problem in error.problems)
    sys.exit(2)


def _start() -> Settings:
    settings = settings_or_exit()
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
    return create_app(_start())


def gunicorn_settings(
    settings: Settings,
    *,
    bind: str = "127.0.0.1:8000",
    workers: int | None = None,
    threads: int = MAX_IN_FLIGHT,
) -> dict[str, Any]:
    """What gunicorn is told, with the reasons.

    Args:
        settings: the service's own.
        bind: address and port.
        workers: processes; the cores of the machine if left out.
        threads: requests one worker handles at once.
    """
    return {
        "bind": bind,
        "workers": workers or os.cpu_count() or 1,
        # A request waits for the provider most of its time: a thread each, made when first needed.
        "worker_class": "gthread",
        "threads": threads + _SPARE_THREADS,
        "worker_connections": 2 * (threads + _SPARE_THREADS),
        "backlog": 2048,
        # Longer than a proxy keeps an idle connection would be a race about who closes first.
        "keepalive": 75,
        # No request outlasts the provider's deadline by more than Redis needs.
        "graceful_timeout": int(settings.provider_timeout) + 5,
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
        **_METRIC_HOOKS,
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


def serve(bind: str, workers: int | None, threads: int) -> None:
    """Run the service until it is told to stop."""
    settings = _start()
    options = gunicorn_settings(settings, bind=bind, workers=workers, threads=threads)
    Server(lambda: create_app(settings, max_in_flight=threads), options).run()
