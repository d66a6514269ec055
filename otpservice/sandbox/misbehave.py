"""The wrong answers, one for each fault."""

import time
from collections.abc import Callable
from http import HTTPStatus

from flask import Response, request

from otpservice.sandbox import answers, wire
from otpservice.sandbox.answers import Json
from otpservice.sandbox.faults import Fault

FOLLOWED = "/followed"
"""Where redirects lead; a request that arrives there came with a password it should have kept."""

_PAGE = "<!doctype html><title>VavaSMS</title><h1>{}</h1>"


def json_response(answer: Json, status: int = 200) -> Response:
    """The right answer. 200 for refusals too: the page names no HTTP status for them."""
    return _response(answers.encode(answer), "application/json", status)


def misbehave(fault: Fault, operation: str, work: Callable[[], Json]) -> Response:
    """Answer one call wrongly: wait, do the work or not, and spoil what comes of it."""
    answer: Json = {}
    if fault.works_first:
        answer = work()
    if fault.kind not in ("hang", "drip"):
        time.sleep(fault.seconds)
    if fault.works and not fault.works_first:
        answer = work()
    return _SPOILT[fault.kind](fault, operation, answer)


def _delay(_: Fault, __: str, answer: Json) -> Response:
    return json_response(answer)


def _hang(fault: Fault, _: str, answer: Json) -> Response:
    request.environ[wire.DELIVERY] = wire.hang(fault.seconds)
    return json_response(answer)


def _reset(_: Fault, __: str, answer: Json) -> Response:
    request.environ[wire.DELIVERY] = wire.reset
    return json_response(answer)


def _cut(_: Fault, __: str, answer: Json) -> Response:
    request.environ[wire.DELIVERY] = wire.cut
    return json_response(answer)


def _drip(fault: Fault, _: str, answer: Json) -> Response:
    request.environ[wire.DELIVERY] = wire.drip(fault.seconds)
    return json_response(answer)


def _html(_: Fault, __: str, ___: Json) -> Response:
    return _response(_PAGE.format("Maintenance"), "text/html", 200)


def _garbage(_: Fault, __: str, ___: Json) -> Response:
    return _response('{"code": 0, "mess', "application/json", 200)


def _trailing_comma(_: Fault, __: str, answer: Json) -> Response:
    return _response(answers.encode_with_trailing_comma(answer), "application/json", 200)


def _no_message_id(_: Fault, __: str, answer: Json) -> Response:
    data = answer.get("data")
    if isinstance(data, dict):
        data.pop("message_id", None)
    return json_response(answer)


def _http(fault: Fault, _: str, __: Json) -> Response:
    status = fault.http or 500
    if status == HTTPStatus.NOT_MODIFIED:
        return Response(status=status)
    response = _response(_PAGE.format(status), "text/html", status)
    if 300 <= status < 400:  # noqa: PLR2004 - the redirects
        response.headers["Location"] = FOLLOWED
    return response


def _code(fault: Fault, operation: str, _: Json) -> Response:
    return json_response(answers.by_code(operation, fault.fault), fault.http_status)


def _response(text: str, content_type: str, status: int) -> Response:
    return Response(text, status, content_type=content_type)


_SPOILT: dict[str, Callable[[Fault, str, Json], Response]] = {
    "delay": _delay,
    "hang": _hang,
    "reset": _reset,
    "cut": _cut,
    "drip": _drip,
    "html": _html,
    "garbage": _garbage,
    "trailing_comma": _trailing_comma,
    "no_message_id": _no_message_id,
    "http": _http,
    "code": _code,
}
