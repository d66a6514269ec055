"""The metrics. docs/metrics.md describes them, and deploy/alerts.yml has rules over them.

No label may hold a phone number, a code, an id or anything else that a caller typed.
"""

from threading import Lock

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.multiprocess import MultiProcessCollector

from otpservice.telemetry.metric_files import directory

# Seconds. Without a provider a request takes some milliseconds; with one at most 30 and a bit.
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 35)
_PROVIDER_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30)
# Redis is given up on after 0.25; a pass of the rate limits may wait once for each limit.
_REDIS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)

disable_created_metrics()  # type: ignore[no-untyped-call]  # files do not hold them

REGISTRY = CollectorRegistry()

REQUESTS = Counter(
    "otpservice_requests_total",
    "Requests answered.",
    ["endpoint", "status", "code"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "otpservice_request_duration_seconds",
    "How long requests took.",
    ["endpoint"],
    buckets=_REQUEST_BUCKETS,
    registry=REGISTRY,
)
REQUESTS_IN_FLIGHT = Gauge(
    "otpservice_requests_in_flight",
    "Requests being handled, probes left out.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
REQUESTS_IN_FLIGHT_LIMIT = Gauge(
    "otpservice_requests_in_flight_limit",
    "Requests that can be handled at once.",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
LIMITS_HIT = Counter(
    "otpservice_limits_hit_total",
    "Requests refused by a limit, by its name.",
    ["code", "limit"],
    registry=REGISTRY,
)
QUOTA_WOULD_REFUSE = Counter(
    "otpservice_quota_would_refuse_total",
    "SMS and guesses that a quota let through only because it is set to record.",
    ["quota"],
    registry=REGISTRY,
)

SENDS = Counter(
    "otpservice_sends_total",
    "SMS with codes that left (sent) or may have left (unknown).",
    ["route", "country", "delivery"],
    registry=REGISTRY,
)
CONFIRMATIONS = Counter(
    "otpservice_confirmations_total",
    "Codes confirmed.",
    ["country"],
    registry=REGISTRY,
)

PROVIDER_CALLS = Counter(
    "otpservice_provider_calls_total",
    "Calls to a provider.",
    ["route", "operation", "outcome"],
    registry=REGISTRY,
)
PROVIDER_CALL_SECONDS = Histogram(
    "otpservice_provider_call_duration_seconds",
    "How long calls to a provider took.",
    ["route", "operation"],
    buckets=_PROVIDER_BUCKETS,
    registry=REGISTRY,
)
PROVIDER_UNKNOWN_CODES = Counter(
    "otpservice_provider_unknown_codes_total",
    "Answers with a code that the provider does not document.",
    ["operation", "code"],
    registry=REGISTRY,
)
PROVIDER_TOLERATED_ANSWERS = Counter(
    "otpservice_provider_tolerated_answers_total",
    "Answers that could only be read after a trailing comma was taken out.",
    ["operation"],
    registry=REGISTRY,
)
BREAKERS_OPEN = Gauge(
    "otpservice_breakers_open",
    "Workers whose circuit breaker is not closed.",
    ["route", "operation"],
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
BREAKER_OPENINGS = Counter(
    "otpservice_breaker_openings_total",
    "How often a circuit breaker opened, in any worker.",
    ["route", "operation"],
    registry=REGISTRY,
)

REDIS_CALL_SECONDS = Histogram(
    "otpservice_redis_call_duration_seconds",
    "How long Redis took, by script or command, failures included.",
    ["call"],
    buckets=_REDIS_BUCKETS,
    registry=REGISTRY,
)
REDIS_ERRORS = Counter(
    "otpservice_redis_errors_total",
    "Calls to Redis that failed.",
    ["call"],
    registry=REGISTRY,
)


class CodeLabels:
    """Limits the values of the label ``code`` of ``PROVIDER_UNKNOWN_CODES``.

    Each value is a series for ever, and a provider may answer anything: a code of four digits and
    more might be one that an end user typed. So only codes up to 999 are shown, and only the first
    20.
    """

    MOST = 20
    LARGEST = 999

    def __init__(self) -> None:
        self._lock = Lock()
        self._shown: set[int] = set()

    def label(self, code: int) -> str:
        """The code, or ``other``."""
        with self._lock:
            if 0 <= code <= self.LARGEST and len(self._shown) < self.MOST:
                self._shown.add(code)
            return str(code) if code in self._shown else "other"


def counted() -> CollectorRegistry:
    """What all workers counted, or this process if it has no siblings."""
    if (shared := directory()) is None:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=shared)  # type: ignore[no-untyped-call]
    return registry
