"""``GET /metrics``: what all workers counted and timed, as Prometheus reads it."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from otpservice import __version__
from otpservice.config.apps import Apps
from otpservice.verification.balance import BalanceReport
from otpservice.verification.errors import StoreUnavailable
from otpservice.web.counting import PrometheusMeter
from otpservice.web.metric_files import directory
from otpservice.web.requests import authenticated

T = TypeVar("T")


class _Known(Collector):
    """What is not counted but known, the same to every worker; read while Prometheus waits."""

    def __init__(self, balance: BalanceReport | None, since: datetime | None) -> None:
        self._balance = balance
        self._since = since

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily(
            "otpservice_build_info", "1, with the service's version.", labels=["version"]
        )
        build.add_metric([__version__], 1)
        yield build
        since = GaugeMetricFamily(
            "otpservice_store_since_timestamp_seconds",
            "When the state in Redis began; another time means that it was lost.",
        )
        if self._since:
            since.add_metric([], self._since.timestamp())
        yield since
        told = self._balance or BalanceReport()
        balance = GaugeMetricFamily(
            "otpservice_balance",
            "What is left at the provider, in whole units of the currency.",
            labels=["currency"],
        )
        if told.amount is not None:
            balance.add_metric([told.currency or ""], told.amount)
        yield balance
        yield _gauge("age_seconds", "Since the provider told the balance.", told.age)
        yield _gauge("sends_left", "Codes the balance still pays for.", told.sends_left)
        yield _gauge("days_left", "Days it lasts at the mean of last week.", told.days_left)
        low = None if told.amount is None else told.low
        yield _gauge("low", "1 if it is below the operator's threshold.", low)


def _gauge(name: str, meaning: str, value: float | None) -> Metric:
    """A gauge about the balance, without a sample where the value is not known."""
    gauge = GaugeMetricFamily(f"otpservice_balance_{name}", meaning)
    if value is not None:
        gauge.add_metric([], value)
    return gauge


def metrics_blueprint(
    apps: Apps,
    meter: PrometheusMeter,
    balance: Callable[[], BalanceReport | None],
    since: Callable[[], datetime],
) -> Blueprint:
    """``GET /metrics``, for apps with the scope ``metrics``.

    Args:
        apps: who may ask.
        meter: what this process counts with.
        balance: the last one known, without waiting for the provider; raises StoreUnavailable.
        since: when the state in Redis began; raises StoreUnavailable.
    """
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    @authenticated(apps, "metrics")
    def metrics() -> ResponseReturnValue:
        text = generate_latest(_counted(meter)) + generate_latest(
            _Known(_told(balance), _told(since))
        )
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    return blueprint


def _counted(meter: PrometheusMeter) -> CollectorRegistry:
    if (shared := directory()) is None:
        return meter.registry
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=shared)  # type: ignore[no-untyped-call]
    return registry


def _told(ask: Callable[[], T | None]) -> T | None:
    """What Redis knows; this is read most when it is away, so that is no error here."""
    try:
        return ask()
    except StoreUnavailable:
        return None
