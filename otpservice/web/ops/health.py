"""The probes: alive, and ready for work."""

from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from otpservice.verification.errors import StoreUnavailable
from otpservice.verification.ports import Store
from otpservice.web.requests import Stopping


def health_blueprint(
    store: Store,
    degraded: Callable[[], Iterable[str]] = tuple,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Blueprint:
    """``/health/live``, which touches nothing, and ``/health/ready``, which asks ``store``.

    Args:
        store: has to answer.
        degraded: reasons why some of the work cannot be done, such as ``low_balance``; asked once
            a second by every probe, so it must neither wait nor call anybody.
        is_stopping: asked first: a worker that stops is not ready, whatever the store says.
    """
    blueprint = Blueprint("health", __name__, url_prefix="/health")

    @blueprint.get("/live")
    def live() -> ResponseReturnValue:
        return {"status": "live"}

    @blueprint.get("/ready")
    def ready() -> ResponseReturnValue:
        if is_stopping():
            raise Stopping
        try:
            store.ping()
        except StoreUnavailable as error:
            raise StoreUnavailable(down=["redis"]) from error
        body: dict[str, Any] = {"status": "ready"}
        if reasons := list(degraded()):
            body["degraded"] = reasons
        return body

    return blueprint
