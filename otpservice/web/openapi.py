"""The service described for machines: OpenAPI 3.1, made from the schemas and the table of errors.

An endpoint is one entry in ``_OPERATIONS``; what all endpoints share is added to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint
from flask.typing import ResponseReturnValue
from marshmallow import Schema

from otpservice import __version__
from otpservice.web.problems import HTTP_PROBLEMS, INTERNAL_ERROR, PROBLEMS
from otpservice.web.schemas import (
    ConfirmRequest,
    ConfirmResponse,
    HealthResponse,
    LoginCodeRequest,
    LoginCodeResponse,
    ProblemResponse,
    VerificationResponse,
)

_INFO = {
    "description": "SMS verification codes. Requests are JSON or forms, of at most 4 KiB; answers "
    "are JSON, errors RFC 9457 problems whose `code` says what happened. Expect members you do "
    "not know in answers; unknown fields in requests are refused.",
}

_SECURITY = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "The app's API key. Where both headers are sent, this one counts.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}

_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "id": {
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": "The verification, as /login-code named it.",
    },
}


@dataclass(frozen=True, slots=True)
class _Header:
    """A header of answers: ``on`` names their statuses and error codes; empty is all of them."""

    name: str
    description: str
    on: frozenset[int | str] = frozenset()
    required: bool = True
    type: str = "string"


_HEADERS = (
    _Header("X-Request-Id", "The caller's, if it matched [A-Za-z0-9._-]{1,64}; else a new one."),
    _Header("Cache-Control", "no-store"),
    _Header("X-Content-Type-Options", "nosniff"),
    _Header("Location", "The verification.", on=frozenset({201, 202})),
    _Header("WWW-Authenticate", "How to authenticate.", on=frozenset({401})),
    _Header("Allow", "The methods this address has.", on=frozenset({405})),
    _Header(
        "Retry-After",
        "Seconds to wait; left out where waiting does not help.",
        on=frozenset({429, 503, "purpose_conflict"}),
        required=False,
        type="integer",
    ),
    _Header(
        "RateLimit",
        "Of rate_limited and quota_exceeded: the limit, what remains and the seconds to wait.",
        on=frozenset({"rate_limited", "quota_exceeded"}),
        required=False,
    ),
    _Header(
        "RateLimit-Policy",
        "Of rate_limited and quota_exceeded: the limit, its amount and its window in seconds.",
        on=frozenset({"rate_limited", "quota_exceeded"}),
        required=False,
    ),
)


@dataclass(frozen=True, slots=True)
class _Operation:
    """One method of one address.

    Attributes:
        name: the ``operationId``.
        answers: what it does when all is well: by status, a description and a schema, if any.
        errors: codes of the errors it can answer with, besides those of ``_codes``.
        body: the schema of the request's body, JSON or form.
        parameters: names of ``_PARAMETERS``.
        needs_key: False answers anybody.
        is_probe: True gets through however many requests are in flight.
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


_OPERATIONS = (
    _Operation(
        "post",
        "/login-code",
        "login_code",
        "Send a code; again, if one is pending.",
        {
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
            "provider_rejected",
            "provider_unavailable",
            "sending_disabled",
            "store_unavailable",
        ),
        body=LoginCodeRequest,
    ),
    _Operation(
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
            "provider_rejected",
            "provider_unavailable",
            "store_unavailable",
            "outcome_unknown",
        ),
        body=ConfirmRequest,
    ),
    _Operation(
        "get",
        "/verifications/{id}",
        "show_verification",
        "Look at a verification; never spends an attempt.",
        {200: ("As it is now.", VerificationResponse)},
        ("not_found", "store_unavailable"),
        parameters=["id"],
    ),
    _Operation(
        "delete",
        "/verifications/{id}",
        "cancel_verification",
        "Take a verification back: its codes approve nothing any more.",
        {204: ("Canceled, or over already.", None)},
        ("not_found", "already_confirmed", "expired", "store_unavailable"),
        parameters=["id"],
    ),
    _Operation(
        "get",
        "/health/live",
        "live",
        "Alive? Touches nothing else.",
        {200: ("Yes.", HealthResponse)},
        needs_key=False,
        is_probe=True,
    ),
    _Operation(
        "get",
        "/health/ready",
        "ready",
        "Ready for work?",
        {200: ("Yes; degraded names what is not well.", HealthResponse)},
        ("store_unavailable",),
        needs_key=False,
        is_probe=True,
    ),
    _Operation(
        "get",
        "/openapi.json",
        "openapi",
        "This document.",
        {200: ("OpenAPI 3.1.", {"type": "object", "required": ["openapi", "info", "paths"]})},
        needs_key=False,
    ),
)

_PROBLEMS = {
    problem.code: problem
    for problem in (*PROBLEMS.values(), *HTTP_PROBLEMS.values(), INTERNAL_ERROR)
}


def openapi_blueprint() -> Blueprint:
    """``/openapi.json``, for anybody."""
    blueprint = Blueprint("openapi", __name__)

    @blueprint.get("/openapi.json")
    def show() -> ResponseReturnValue:
        return document()

    return blueprint


@cache
def document() -> dict[str, Any]:
    """The whole description, as JSON will have it; built once."""
    spec = APISpec(
        "otpservice",
        __version__,
        "3.1.0",
        plugins=[MarshmallowPlugin()],
        info=_INFO,
        servers=[{"url": "/"}],
        security=[{name: []} for name in _SECURITY],
    )
    for name, scheme in _SECURITY.items():
        spec.components.security_scheme(name, scheme)
    for name, parameter in _PARAMETERS.items():
        spec.components.parameter(name, parameter["in"], parameter)
    for header in _HEADERS:
        spec.components.header(header.name, _header(header))
    for operation in _OPERATIONS:
        for schema in (operation.body, *(schema for _, schema in operation.answers.values())):
            _add_schema(spec, schema)
    _add_schema(spec, ProblemResponse)
    for operation in _OPERATIONS:
        spec.path(operation.path, operations={operation.method: _operation(operation)})
    return spec.to_dict()


def _add_schema(spec: APISpec, schema: object) -> None:
    """Under its class's name, with the rules over several fields that it tells itself."""
    if isinstance(schema, type) and schema.__name__ not in spec.components.schemas:
        rules = getattr(schema, "json_schema", {})
        spec.components.schema(schema.__name__, rules, schema=schema)


def _header(header: _Header) -> dict[str, Any]:
    return {
        "description": header.description,
        "required": header.required,
        "schema": {"type": header.type},
    }


def _operation(operation: _Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {
            status: _answer({status}, description, "application/json", schema)
            for status, (description, schema) in operation.answers.items()
        },
    }
    by_status = sorted(_codes(operation), key=_status)
    for status, codes in groupby(by_status, key=_status):
        described["responses"][status] = _problem(status, list(codes))
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body:
        described["requestBody"] = _body(operation.body)
    if not operation.needs_key:
        described["security"] = []
    return described


def _codes(operation: _Operation) -> list[str]:
    """All errors it can answer with, those of its kind included."""
    codes = ["method_not_allowed", "internal_error", *operation.errors]
    if operation.needs_key:
        codes += ["unauthorized", "forbidden"]
    if operation.body:
        codes += ["invalid_request", "payload_too_large", "unsupported_media_type"]
    if not operation.is_probe:
        codes += ["overloaded"]
    return codes


def _status(code: str) -> int:
    return _PROBLEMS[code].status


def _body(schema: type[Schema]) -> dict[str, Any]:
    kinds = ("application/json", "application/x-www-form-urlencoded")
    return {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}


def _problem(status: int, codes: list[str]) -> dict[str, Any]:
    description = "; ".join(f"{_PROBLEMS[code].title} (`{code}`)" for code in codes)
    narrowed = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    schema = {"allOf": [ProblemResponse, narrowed]}
    return _answer({status, *codes}, f"{description}.", "application/problem+json", schema)


def _answer(
    marks: set[int | str], description: str, kind: str, schema: type[Schema] | dict[str, Any] | None
) -> dict[str, Any]:
    headers = {h.name: h.name for h in _HEADERS if not h.on or h.on & marks}
    content = {"content": {kind: {"schema": schema}}} if schema else {}
    return {"description": description, "headers": headers, **content}
