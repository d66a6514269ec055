"""Holds what the service answers to what /openapi.json tells of it."""

import copy

from flask.testing import FlaskClient
from jsonschema import Draft202012Validator, FormatChecker

from otpservice.web.ops.openapi import document
from tests.conftest import KEYS

UNTOLD_HEADERS = {"Content-Type", "Content-Length"}  # HTTP's own


def strict_document():
    """The description, with answers held to the members it names."""
    strict = copy.deepcopy(document())
    for schema in strict["components"]["schemas"].values():
        schema["additionalProperties"] = False
    return strict


STRICT = strict_document()


def violations(schema, instance):
    whole = {"components": STRICT["components"], "allOf": [schema]}
    checked = Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(instance)
    return [error.message for error in checked]


def template_of(rule):
    return rule.rule.replace("<", "{").replace(">", "}")


def operation_of(app, path, method):
    """What is told of a request; a method the address has not is told by any that it has."""
    rules = app.url_map.bind("localhost")
    rule, _ = rules.match(path, method=rules.allowed_methods(path)[0], return_rule=True)
    methods = STRICT["paths"][template_of(rule)]
    return methods.get(method.lower()) or next(iter(methods.values()))


def audit(app, path, method, answer):
    """Hold one answer to the description; returns what it was an answer of."""
    operation = operation_of(app, path, method)
    told = operation["responses"].get(str(answer.status_code))
    assert told, f"{method} {path} answered {answer.status_code}: {answer.get_data()}"
    audit_headers(told, answer)
    if "content" in told:
        is_text = answer.mimetype == "text/plain"
        body = answer.get_data(as_text=True) if is_text else answer.get_json()
        assert violations(told["content"][answer.mimetype]["schema"], body) == []
    else:
        assert answer.get_data() == b""
    body = answer.get_json(silent=True) or {}
    return operation["operationId"], (answer.status_code, body.get("code"))


def audit_headers(told, answer):
    headers = {name: STRICT["components"]["headers"][name] for name in told["headers"]}
    given = set(answer.headers.keys()) - UNTOLD_HEADERS
    assert given <= headers.keys()
    assert {name for name, header in headers.items() if header["required"]} <= given
    for name in given:
        whole_number = headers[name]["schema"]["type"] == "integer"
        assert not whole_number or answer.headers[name].isdecimal()


class AuditedClient(FlaskClient):
    """Every answer is held to the description, and what it answered is remembered."""

    def open(self, path, *args, **kwargs):
        answer = super().open(path, *args, **kwargs)
        app = self.application
        app.extensions["seen"].append(audit(app, path.partition("?")[0], kwargs["method"], answer))
        return answer


def audited(app, seen):
    app.extensions["seen"] = seen
    app.test_client_class = AuditedClient
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {KEYS['portal']}"
    return client


def told_of(operation_id):
    """Every (status, code) the description names for an operation."""
    operations = [o for path in document()["paths"].values() for o in path.values()]
    (operation,) = [o for o in operations if o["operationId"] == operation_id]
    told = set()
    for status, answer in operation["responses"].items():
        problem = answer.get("content", {}).get("application/problem+json")
        codes = problem["schema"]["allOf"][1]["properties"]["code"]["enum"] if problem else [None]
        told |= {(int(status), code) for code in codes}
    return told
