"""The sandbox's own pages: inbox, faults, counts, incoming SMS and a reset. Not the provider's."""

from datetime import UTC, datetime

import urllib3
from flask import Blueprint, Response, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue

from otpservice.sandbox.answers import Json, success
from otpservice.sandbox.faults import OPERATIONS, BadFault, Fault
from otpservice.sandbox.incoming import IncomingSms, deliver, require_loopback
from otpservice.sandbox.misbehave import FOLLOWED, json_response
from otpservice.sandbox.state import State, rfc3339

# Messages on the page; /inbox.json has them all.
_PAGE_LENGTH = 100


class _BadRequest(ValueError):
    """What is wrong with a request to a control, as a sentence."""


def make_controls(state: State) -> Blueprint:
    """The controls over ``state``. Their mistakes are 400 ``{"error": "a sentence"}``."""
    controls = Blueprint("controls", __name__)
    _add_inbox(controls, state)
    _add_faults(controls, state)
    _add_incoming(controls, state)
    _add_counts(controls, state)

    @controls.errorhandler(ValueError)
    def _mistake(error: ValueError) -> ResponseReturnValue:
        return {"error": str(error)}, 400

    return controls


def _add_inbox(controls: Blueprint, state: State) -> None:
    @controls.get("/")
    def _home() -> ResponseReturnValue:
        return redirect("/inbox")

    @controls.get("/inbox")
    def _inbox() -> str:
        messages = state.inbox(_phone_filter())
        return render_template(
            "inbox.html",
            messages=messages[:_PAGE_LENGTH],
            total=len(messages),
            phone=_phone_filter(),
            account=state.account,
            balance=state.balance(),
            faults=state.faults.active(),
            rfc3339=rfc3339,
        )

    @controls.get("/inbox.json")
    def _inbox_json() -> Response:
        return jsonify([message.as_json() for message in state.inbox(_phone_filter())])


def _add_faults(controls: Blueprint, state: State) -> None:
    @controls.get("/faults")
    def _list() -> Response:
        return jsonify([fault.as_json() for fault in state.faults.active()])

    @controls.put("/faults")
    def _put() -> Response:
        state.faults.put(Fault.parse(request.get_json(force=True, silent=True)))
        return _list()

    @controls.delete("/faults")
    def _clear() -> ResponseReturnValue:
        operation = request.args.get("operation")
        if operation not in (None, "*", *OPERATIONS):
            raise BadFault(f"operation must be one of {', '.join(OPERATIONS)} or *")
        state.faults.clear(operation)
        return "", 204


def _add_incoming(controls: Blueprint, state: State) -> None:
    @controls.put("/inbound")
    def _configure() -> Json:
        state.notification_url = require_loopback(_required(_fields(), "url"))
        return {"url": state.notification_url}

    @controls.post("/inbound")
    def _send() -> ResponseReturnValue:
        fields = _fields()
        url = require_loopback(fields["url"]) if "url" in fields else state.notification_url
        if url is None:
            return {"error": "no notification URL: PUT /inbound {'url': …} or add a url"}, 409
        sms = _incoming_sms(state, fields)
        try:
            return {"delivered": deliver(sms, url), "message_id": sms.message_id}
        except urllib3.exceptions.HTTPError as error:
            return {"error": f"not delivered: {type(error).__name__}"}, 502


def _add_counts(controls: Blueprint, state: State) -> None:
    @controls.get("/calls.json")
    def _calls() -> Json:
        return dict.fromkeys((*OPERATIONS, "followed"), 0) | state.calls()

    @controls.post("/reset")
    def _reset() -> ResponseReturnValue:
        state.reset()
        return "", 204

    # What a careless client would take for a yes: it must not have come here with its password.
    @controls.route(FOLLOWED, methods=["GET", "POST"])
    def _followed() -> Response:
        state.count_call("followed")
        return json_response(success({"message_id": "OTP-20190621-2234509", "status": "success"}))


def _phone_filter() -> str | None:
    """Digits of ``?phone=``; a plus that nobody escaped arrives as a space."""
    return request.args.get("phone", "").strip(" +") or None


def _incoming_sms(state: State, fields: dict[str, str]) -> IncomingSms:
    now = datetime.fromtimestamp(state.clock(), UTC)
    return IncomingSms(
        message_id=fields.get("message_id") or state.new_incoming_id(),
        sender=_required(fields, "phone"),
        content=_required(fields, "content"),
        date=fields.get("sms_date") or f"{now:%Y-%m-%d %H:%M:%S}",
    )


def _fields() -> dict[str, str]:
    """The body's fields, JSON or form; all are text."""
    if not request.is_json:
        return request.form.to_dict()
    body = request.get_json(silent=True)
    if not isinstance(body, dict) or not all(isinstance(value, str) for value in body.values()):
        raise _BadRequest("the body must be a JSON object of strings, or a form")
    return body


def _required(fields: dict[str, str], name: str) -> str:
    if not fields.get(name):
        raise _BadRequest(f"{name} is required")
    return fields[name]
