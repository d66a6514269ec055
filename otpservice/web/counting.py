"""Counts and times with prometheus-client what a ``Meter`` is told.

docs/metrics.md tells what each is good for; deploy/alerts.yml has rules over them.
"""

from functools import cache
from threading import Lock

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from otpservice.meter import Meter
from otpservice.web.events import note_provider_call, note_redis_call

# Seconds. Without a provider a request takes some milliseconds; with one at most 30 and a bit.
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 35)
_PROVIDER_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30)
# Redis is given up on after 0.25; a pass of the rate limits may wait twice.
_REDIS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)

# Each value of a label is a series for ever, and a provider may answer anything: a code of four
# digits and more might even be somebody's, echoed.
_MOST_CODES = 20
_LARGEST_CODE = 999
_OTHER = "other"


class PrometheusMeter(Meter):
    """Counts with prometheus-client, in files if ``metric_files`` says so. One a process.

    What each request counts is found once by its labels: that takes longer than to count.

    Args:
        max_in_flight: requests this worker handles at once.
    """

    def __init__(self, *, max_in_flight: int) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # in files there are none
        self.registry = registry = CollectorRegistry()
        self._requests = cache(
            Counter(
                "otpservice_requests_total",
                "Requests answered.",
                ["endpoint", "status", "code"],
                registry=registry,
            ).labels
        )
        self._request_seconds = cache(
            Histogram(
                "otpservice_request_duration_seconds",
                "How long requests took.",
                ["endpoint"],
                buckets=_REQUEST_BUCKETS,
                registry=registry,
            ).labels
        )
        self._in_flight = Gauge(
            "otpservice_requests_in_flight",
            "Requests being handled, probes left out.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        limit = Gauge(
            "otpservice_requests_in_flight_limit",
            "Requests that can be handled at once.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        limit.set(max_in_flight)
        self._limits_hit = Counter(
            "otpservice_limits_hit_total",
            "Requests refused by a limit, by its name.",
            ["code", "limit"],
            registry=registry,
        )
        self._would_refuse = Counter(
            "otpservice_quota_would_refuse_total",
            "SMS and guesses that a quota let through only because it is set to record.",
            ["quota"],
            registry=registry,
        )
        self._count_sms(registry)
        self._watch_providers(registry)
        self._watch_redis(registry)

    def _count_sms(self, registry: CollectorRegistry) -> None:
        self._sends = cache(
            Counter(
                "otpservice_sends_total",
                "SMS with codes that left (sent) or may have left (unknown).",
                ["route", "country", "delivery"],
                registry=registry,
            ).labels
        )
        self._confirmations = cache(
            Counter(
                "otpservice_confirmations_total", "Codes confirmed.", ["country"], registry=registry
            ).labels
        )

    def _watch_providers(self, registry: CollectorRegistry) -> None:
        self._provider_calls = cache(
            Counter(
                "otpservice_provider_calls_total",
                "Calls to a provider.",
                ["route", "operation", "outcome"],
                registry=registry,
            ).labels
        )
        self._provider_seconds = cache(
            Histogram(
                "otpservice_provider_call_duration_seconds",
                "How long calls to a provider took.",
                ["route", "operation"],
                buckets=_PROVIDER_BUCKETS,
                registry=registry,
            ).labels
        )
        self._unknown_codes = Counter(
            "otpservice_provider_unknown_codes_total",
            "Answers with a code that the provider does not document.",
            ["operation", "code"],
            registry=registry,
        )
        self._seen_codes: set[int] = set()
        self._seeing = Lock()
        self._tolerated = Counter(
            "otpservice_provider_tolerated_answers_total",
            "Answers that could only be read after a trailing comma was taken out.",
            ["operation"],
            registry=registry,
        )
        self._breakers_open = Gauge(
            "otpservice_breakers_open",
            "Workers whose circuit breaker is not closed.",
            ["route", "operation"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._breaker_openings = Counter(
            "otpservice_breaker_openings_total",
            "How often a circuit breaker opened, in any worker.",
            ["route", "operation"],
            registry=registry,
        )

    def _watch_redis(self, registry: CollectorRegistry) -> None:
        self._redis_seconds = cache(
            Histogram(
                "otpservice_redis_call_duration_seconds",
                "How long Redis took, by script or command, failures included.",
                ["call"],
                buckets=_REDIS_BUCKETS,
                registry=registry,
            ).labels
        )
        self._redis_errors = Counter(
            "otpservice_redis_errors_total",
            "Calls to Redis that failed.",
            ["call"],
            registry=registry,
        )

    def entered(self) -> None:
        """See ``Meter``."""
        self._in_flight.inc()

    def left(self) -> None:
        """See ``Meter``."""
        self._in_flight.dec()

    def answered(self, endpoint: str, status: int, code: str, seconds: float) -> None:
        """See ``Meter``."""
        self._requests(endpoint, status, code).inc()
        self._request_seconds(endpoint).observe(seconds)

    def limit_hit(self, code: str, limit: str) -> None:
        """See ``Meter``."""
        self._limits_hit.labels(code, limit).inc()

    def would_refuse(self, quota: str) -> None:
        """See ``Meter``."""
        self._would_refuse.labels(quota).inc()

    def sent(self, route: str, country: str, delivery: str) -> None:
        """See ``Meter``."""
        self._sends(route, country, delivery).inc()

    def confirmed(self, country: str) -> None:
        """See ``Meter``."""
        self._confirmations(country).inc()

    def provider_called(self, route: str, operation: str, outcome: str, seconds: float) -> None:
        """See ``Meter``."""
        self._provider_calls(route, operation, outcome).inc()
        self._provider_seconds(route, operation).observe(seconds)
        note_provider_call(seconds)

    def unknown_code(self, operation: str, code: int) -> None:
        """See ``Meter``; only small codes are named, and only the first 20 a worker sees."""
        self._unknown_codes.labels(operation, self._shown(code)).inc()

    def tolerated(self, operation: str) -> None:
        """See ``Meter``."""
        self._tolerated.labels(operation).inc()

    def breaker_turned(self, route: str, operation: str, *, is_open: bool) -> None:
        """See ``Meter``."""
        self._breakers_open.labels(route, operation).set(is_open)
        self._breaker_openings.labels(route, operation).inc(is_open)

    def redis_called(self, call: str, seconds: float) -> None:
        """See ``Meter``."""
        self._redis_seconds(call).observe(seconds)
        note_redis_call(seconds)

    def redis_failed(self, call: str) -> None:
        """See ``Meter``."""
        self._redis_errors.labels(call).inc()

    def _shown(self, code: int) -> str:
        if not 0 <= code <= _LARGEST_CODE:
            return _OTHER
        with self._seeing:
            if len(self._seen_codes) < _MOST_CODES:
                self._seen_codes.add(code)
            return str(code) if code in self._seen_codes else _OTHER
