"""Every endpoint as /openapi.json tells it: an endpoint is one entry in ``OPERATIONS``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import Schema

from otpservice.web.api.schemas import (
    ConfirmRequest,
    ConfirmResponse,
    DryRunResponse,
    HealthResponse,
    IncomingSmsRequest,
    LoginCodeRequest,
    LoginCodeResponse,
    VerificationResponse,
)
from otpservice.web.ops.health_schemas import HealthReportResponse

PARAMETERS: Mapping[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "in": "header",
        "required": False,
        "schema": {
            "type": "string",
            "pattern": r'^(?:[!#-~][!-~]{0,254}|"(?:[!#-\[\]-~]|\\["\\]){1,255}")$',
        },
        "description": "The caller's name for this call: sent again with it, what spent an SMS or "
        "a guess is answered again and not done again. Kept 24 hours.",
    },
    "dry_run": {
        "in": "query",
        "required": False,
        "schema": {"type": "string", "enum": ["true", "false"]},
        "description": "true: say what would happen, and send nothing.",
    },
    "id": {
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": "The verification, as /login-code named it.",
    },
    "token": {
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": "What the operator gave the provider; any other is not found.",
    },
}


@dataclass(frozen=True, slots=True)
class Header:
    """A header of answers: ``on`` names their statuses and error codes; empty is all of them."""

    name: str
    description: str
    on: frozenset[int | str] = frozenset()
    required: bool = True
    type: str = "string"


HEADERS = (
    Header("X-Request-Id", "The caller's, if it matched [A-Za-z0-9._-]{1,64}; else a new one."),
    Header("Cache-Control", "no-store"),
    Header("X-Content-Type-Options", "nosniff"),
    Header("Location", "The verification.", on=frozenset({201, 202})),
    Header(
        "Verification-Route",
        "The route that sent, or may have; not where the answer was given before.",
        on=frozenset({201, 202}),
        required=False,
    ),
    Header(
        "Idempotency-Replayed",
        "true where the answer was given before.",
        on=frozenset({200, 201, 202, "wrong_code", "outcome_unknown"}),
        required=False,
    ),
    Header("WWW-Authenticate", "How to authenticate.", on=frozenset({401})),
    Header("Allow", "The methods this address has.", on=frozenset({405})),
    Header(
        "Retry-After",
        "Seconds to wait; left out where waiting does not help.",
        on=frozenset({429, 503, "purpose_conflict", "idempotency_in_progress"}),
        required=False,
        type="integer",
    ),
    Header(
        "RateLimit",
        "Of rate_limited and quota_exceeded: the limit, what remains and the seconds to wait.",
        on=frozenset({"rate_limited", "quota_exceeded"}),
        required=False,
    ),
    Header(
        "RateLimit-Policy",
        "Of rate_limited and quota_exceeded: the limit, its amount and its window in seconds.",
        on=frozenset({"rate_limited", "quota_exceeded"}),
        required=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address.

    Attributes:
        name: the ``operationId``.
        answers: what it does when all is well: by status, a description and a schema, if any.
        errors: codes of the errors it can answer with, besides those all of its kind can.
        body: the schema of the request's body, JSON or form.
        parameters: names of ``PARAMETERS``.
        needs_key: False answers anybody.
        is_probe: True gets through however many requests are in flight.
        media_type: of its answers when all is well.
    """

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, tuple[str, type[Schema] | dict[str, Any] | None]]
    errors: Sequence[str] = ()
    body: type[Schema] | None = None
    parameters: Sequence[str] = ()
    needs_key: bool = True
    is_probe: bool = False
    media_type: str = "application/json"


OPERATIONS = (
    Operation(
        "post",
        "/login-code",
        "login_code",
        "Send a code; again, if one is pending.",
        {
            200: ("Of a dry run: whether it would be sent.", DryRunResponse),
            201: ("Sent.", LoginCodeResponse),
            202: (
                "The provider's answer was lost: the SMS may come, and can be confirmed.",
                LoginCodeResponse,
            ),
        },
        (
            "invalid_phone",
            "destination_blocked",
            "purpose_conflict",
            "phone_locked",
            "resend_too_soon",
            "rate_limited",
            "quota_exceeded",
            "budget_exhausted",
            "provider_rejected",
            "provider_unavailable",
            "sending_disabled",
            "store_unavailable",
            "idempotency_in_progress",
            "idempotency_mismatch",
        ),
        body=LoginCodeRequest,
        parameters=["Idempotency-Key", "dry_run"],
    ),
    Operation(
        "post",
        "/confirm",
        "confirm",
        "Check a code; the right one is approved once.",
        {200: ("Approved.", ConfirmResponse)},
        (
            "invalid_phone",
            "not_found",
            "already_confirmed",
            "canceled",
            "expired",
            "wrong_code",
            "phone_locked",
            "attempts_exhausted",
            "rate_limited",
            "quota_exceeded",
            "provider_rejected",
            "provider_unavailable",
            "store_unavailable",
            "outcome_unknown",
            "idempotency_in_progress",
            "idempotency_mismatch",
        ),
        body=ConfirmRequest,
        parameters=["Idempotency-Key"],
    ),
    Operation(
        "get",
        "/verifications/{id}",
        "show_verification",
        "Look at a verification; never spends an attempt.",
        {200: ("As it is now.", VerificationResponse)},
        ("not_found", "store_unavailable"),
        parameters=["id"],
    ),
    Operation(
        "delete",
        "/verifications/{id}",
        "cancel_verification",
        "Take a verification back: its codes approve nothing any more.",
        {204: ("Canceled, or over already.", None)},
        ("not_found", "already_confirmed", "expired", "store_unavailable"),
        parameters=["id"],
    ),
    Operation(
        "get",
        "/health/live",
        "live",
        "Alive? Touches nothing else.",
        {200: ("Yes.", HealthResponse)},
        needs_key=False,
        is_probe=True,
    ),
    Operation(
        "get",
        "/health/ready",
        "ready",
        "Ready for work?",
        {200: ("Yes; degraded names what is not well.", HealthResponse)},
        ("store_unavailable", "overloaded"),
        needs_key=False,
        is_probe=True,
    ),
    Operation(
        "get",
        "/health",
        "health",
        "Everything that is known of the service's health.",
        {200: ("As it is now, also without Redis.", HealthReportResponse)},
    ),
    Operation(
        "get",
        "/metrics",
        "metrics",
        "What was counted and timed, for Prometheus.",
        {200: ("Its text format, of all workers together.", {"type": "string"})},
        media_type="text/plain",
    ),
    Operation(
        "post",
        "/webhooks/vavasms/{token}",
        "incoming_sms",
        "Where the provider delivers an incoming SMS; not found unless that is turned on.",
        {204: ("Kept, now or before.", None)},
        ("not_found", "store_unavailable"),
        body=IncomingSmsRequest,
        parameters=["token"],
        needs_key=False,
    ),
    Operation(
        "get",
        "/openapi.json",
        "openapi",
        "This document.",
        {200: ("OpenAPI 3.1.", {"type": "object", "required": ["openapi", "info", "paths"]})},
        needs_key=False,
    ),
)
