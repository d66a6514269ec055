"""The probes: alive, and ready for work."""

from flask import Blueprint
from flask.typing import ResponseReturnValue

from otpservice.verification.errors import StoreUnavailable
from otpservice.verification.ports import Store


def health_blueprint(store: Store) -> Blueprint:
    """``/health/live``, which touches nothing, and ``/health/ready``, which asks ``store``."""
    blueprint = Blueprint("health", __name__, url_prefix="/health")

    @blueprint.get("/live")
    def live() -> ResponseReturnValue:
        return {"status": "live"}

    @blueprint.get("/ready")
    def ready() -> ResponseReturnValue:
        try:
            store.ping()
        except StoreUnavailable as error:
            raise StoreUnavailable(down=["redis"]) from error
        return {"status": "ready"}

    return blueprint
