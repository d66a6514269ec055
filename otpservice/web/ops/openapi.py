"""The service described for machines: OpenAPI 3.1, from the schemas and the table of errors."""

from functools import cache
from itertools import groupby
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint
from flask.typing import ResponseReturnValue
from marshmallow import Schema

from otpservice import __version__
from otpservice.web.api.schemas import ProblemResponse
from otpservice.web.ops.operations import HEADERS, OPERATIONS, PARAMETERS, Header, Operation
from otpservice.web.problems import HTTP_PROBLEMS, INTERNAL_ERROR, PROBLEMS

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
    for name, parameter in PARAMETERS.items():
        spec.components.parameter(name, parameter["in"], parameter)
    for header in HEADERS:
        spec.components.header(header.name, _header(header))
    for operation in OPERATIONS:
        for schema in (operation.body, *(schema for _, schema in operation.answers.values())):
            _add_schema(spec, schema)
    _add_schema(spec, ProblemResponse)
    for operation in OPERATIONS:
        spec.path(operation.path, operations={operation.method: _operation(operation)})
    return spec.to_dict()


def _add_schema(spec: APISpec, schema: object) -> None:
    """Under its class's name, with the rules over several fields that it tells itself."""
    if isinstance(schema, type) and schema.__name__ not in spec.components.schemas:
        rules = getattr(schema, "json_schema", {})
        spec.components.schema(schema.__name__, rules, schema=schema)


def _header(header: Header) -> dict[str, Any]:
    return {
        "description": header.description,
        "required": header.required,
        "schema": {"type": header.type},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {
            status: _answer({status}, description, operation.media_type, schema)
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


def _codes(operation: Operation) -> list[str]:
    """All errors it can answer with, those of its kind included."""
    codes = ["method_not_allowed", "internal_error", *operation.errors]
    if operation.needs_key:
        codes += ["unauthorized", "forbidden"]
    if operation.body:
        codes += ["invalid_request", "request_timeout"]
        codes += ["payload_too_large", "unsupported_media_type"]
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
    headers = {h.name: h.name for h in HEADERS if not h.on or h.on & marks}
    content = {"content": {kind: {"schema": schema}}} if schema else {}
    return {"description": description, "headers": headers, **content}
