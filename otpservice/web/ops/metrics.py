"""``GET /metrics``: what all workers counted and timed, in the format of Prometheus."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from otpservice import __version__
from otpservice.config.apps import Apps
from otpservice.telemetry.metrics import counted
from otpservice.verification.balance import BalanceReport
from otpservice.verification.errors import StoreUnavailable
from otpservice.web.requests import authenticated

T = TypeVar("T")


class _Known(Collector):
    """What is read, not counted, and is the same in every worker."""

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
        report = self._balance or BalanceReport()
        balance = GaugeMetricFamily(
            "otpservice_balance",
            "What is left at the provider, in whole units of the currency.",
            labels=["currency"],
        )
        if report.amount is not None:
            balance.add_metric([report.currency or ""], report.amount)
        yield balance
        yield _gauge("age_seconds", "Since the provider told the balance.", report.age)
        yield _gauge("sends_left", "Codes the balance still pays for.", report.sends_left)
        yield _gauge("days_left", "Days it lasts at the mean of last week.", report.days_left)
        low = None if report.amount is None else report.low
        yield _gauge("low", "1 if it is below the operator's threshold.", low)


def _gauge(name: str, meaning: str, value: float | None) -> Metric:
    """A gauge about the balance, without a sample where the value is not context."""
    gauge = GaugeMetricFamily(f"otpservice_balance_{name}", meaning)
    if value is not None:
        gauge.add_metric([], value)
    return gauge


def metrics_blueprint(
    apps: Apps,
    balance: Callable[[], BalanceReport | None],
    since: Callable[[], datetime],
) -> Blueprint:
    """``GET /metrics``, for apps with the scope ``metrics``.

    Args:
        apps: who may ask.
        balance: the last one context, without waiting for the provider; raises StoreUnavailable.
        since: when the state in Redis began; raises StoreUnavailable.
    """
    blueprint = Blueprint("metrics", __name__)

    @blueprint.get("/metrics")
    @authenticated(apps, "metrics")
    def metrics() -> ResponseReturnValue:
        text = generate_latest(counted()) + generate_latest(
            _Known(_or_none(balance), _or_none(since))
        )
        return Response(text, content_type=CONTENT_TYPE_LATEST)

    return blueprint


def _or_none(ask: Callable[[], T | None]) -> T | None:
    """What ``ask`` returns; None if Redis is away, for then /metrics is read most."""
    try:
        return ask()
    except StoreUnavailable:
        return None
