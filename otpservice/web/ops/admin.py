"""What the operator sees: everything the service knows of its own health, and no secret."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint
from flask.typing import ResponseReturnValue

from otpservice import __version__
from otpservice.config.apps import Apps
from otpservice.verification.balance import BalanceReport
from otpservice.verification.errors import StoreUnavailable
from otpservice.web.api.schemas import timestamp
from otpservice.web.requests import authenticated


def _nothing() -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Vitals:
    """Where the parts of ``GET /health`` come from.

    Attributes:
        redis: its details, ``since`` as a datetime; raises StoreUnavailable if it does not answer.
        balance: the provider's account; raises StoreUnavailable likewise.
        provider_url: the provider's base address, of which only the host is shown.
        last_outcome: how this worker's last call to the provider came out, None if there was none.
        breakers: the state of this worker's breakers by name.
        degraded: reasons why some of the work cannot be done.
        warnings: a line for each setting that is allowed and unwise.
    """

    redis: Callable[[], Mapping[str, Any]]
    balance: Callable[[], BalanceReport | None]
    provider_url: str
    last_outcome: Callable[[], str | None] = lambda: None
    breakers: Callable[[], Mapping[str, Any]] = _nothing
    degraded: Callable[[], Iterable[str]] = tuple
    warnings: tuple[str, ...] = ()


def admin_blueprint(apps: Apps, vitals: Vitals) -> Blueprint:
    """``GET /health``, for apps with the scope ``admin``."""
    blueprint = Blueprint("admin", __name__)

    @blueprint.get("/health")
    @authenticated(apps, "admin")
    def health() -> ResponseReturnValue:
        redis, balance = _redis(vitals), _balance(vitals)
        degraded = list(vitals.degraded())
        return {
            "status": _status(redis, degraded),
            "version": __version__,
            "degraded": degraded,
            "redis": redis,
            "provider": {
                "host": urlsplit(vitals.provider_url).netloc,
                "last_outcome": vitals.last_outcome(),
            },
            "breakers": dict(vitals.breakers()),
            "balance": asdict(balance) if balance else None,
            "warnings": list(vitals.warnings),
        }

    return blueprint


def _status(redis: Mapping[str, Any], degraded: list[str]) -> str:
    if redis["status"] == "down":
        return "down"
    return "degraded" if degraded else "ok"


def _redis(vitals: Vitals) -> dict[str, Any]:
    """Whether it is up; this page is read when it is not, so it is no error here."""
    try:
        details = vitals.redis()
    except StoreUnavailable:
        return {"status": "down"}
    shown = {name: timestamp(v) if isinstance(v, datetime) else v for name, v in details.items()}
    return {"status": "up", **shown}


def _balance(vitals: Vitals) -> BalanceReport | None:
    try:
        return vitals.balance()
    except StoreUnavailable:
        return None
