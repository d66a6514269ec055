"""The answer of GET /health; /openapi.json is made from this."""

from typing import Any

from marshmallow import fields

from otpservice.web.api.schemas import Answer


def _nullable(kind: type[fields.Field[Any]], description: str, **kwargs: Any) -> fields.Field[Any]:  # noqa: ANN401
    """A member that is null where it is not context."""
    return kind(required=True, allow_none=True, metadata={"description": description, **kwargs})


class RedisHealth(Answer):
    """Redis or Valkey; ``status`` alone if it does not answer."""

    status = fields.String(required=True, metadata={"enum": ["up", "down"]})
    latency_ms = fields.Float(metadata={"description": "Of one PING.", "minimum": 0})
    server = fields.String(allow_none=True, metadata={"description": "Redis or Valkey."})
    version = fields.String(allow_none=True)
    role = fields.String(allow_none=True, metadata={"description": "primary or replica."})
    maxmemory_policy = fields.String(
        allow_none=True, metadata={"description": "Has to be noeviction."}
    )
    aof = fields.Boolean(allow_none=True, metadata={"description": "Whether it is on."})
    since = fields.String(metadata={"description": "When its state began.", "format": "date-time"})


class ProviderHealth(Answer):
    """The provider, as this worker sees it."""

    host = fields.String(required=True)
    last_outcome = _nullable(fields.String, "How this worker's last call came out.")


class BalanceHealth(Answer):
    """The provider's account; at most a minute old, unless it could not be asked."""

    amount = _nullable(fields.Integer, "Whole units of the currency.")
    currency = _nullable(fields.String, "ISO 4217.")
    age = _nullable(fields.Integer, "Seconds since the provider said so.", minimum=0)
    sends_left = _nullable(fields.Integer, "Codes it still pays for.", minimum=0)
    days_left = _nullable(
        fields.Float, "How long, at the mean of the last complete days.", minimum=0
    )
    low = fields.Boolean(required=True, metadata={"description": "Somebody has to pay in."})
    problem = _nullable(fields.String, "Why it could not be asked the last time.")


class HealthReportResponse(Answer):
    """The answer of GET /health."""

    status = fields.String(required=True, metadata={"enum": ["ok", "degraded", "down"]})
    version = fields.String(required=True, metadata={"description": "The service's."})
    degraded = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Why some of the work cannot be done."},
    )
    redis = fields.Nested(RedisHealth, required=True)
    provider = fields.Nested(ProviderHealth, required=True)
    breakers = fields.Dict(
        required=True, metadata={"description": "This worker's, by name; empty if none is context."}
    )
    balance = fields.Nested(
        BalanceHealth,
        required=True,
        allow_none=True,
        metadata={"description": "null without an account, or without Redis."},
    )
    warnings = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Settings that are allowed and unwise."},
    )
