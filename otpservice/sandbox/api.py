"""The provider's operations under ``/api/v1/``, as its page documents them."""

import re
from collections.abc import Callable
from functools import partial

from flask import Blueprint, Response, request
from werkzeug.datastructures import MultiDict

from otpservice.sandbox import answers
from otpservice.sandbox.answers import Json, Refusal, success
from otpservice.sandbox.misbehave import json_response, misbehave
from otpservice.sandbox.state import State, parse_phone, require_credentials, require_sender_id

Form = MultiDict[str, str]

DEFAULT_MESSAGE = "Votre code OTP est : ##OTP##"
DEFAULT_LENGTH = 4
DEFAULT_MINUTES = 60
_LENGTHS = range(4, 10)
_WHOLE_NUMBER = re.compile(r"[0-9]{1,6}\Z")


def make_api(state: State) -> Blueprint:
    """The operations over ``state``; each is a form-encoded POST and answers JSON."""
    api = Blueprint("api", __name__, url_prefix="/api/v1")
    for operation, act in _OPERATIONS.items():
        serve = partial(_serve, state, operation, act)
        api.add_url_rule(f"/{operation}", operation, serve, methods=["POST"])
    return api


def _serve(state: State, operation: str, act: Callable[[State, Form], Json]) -> Response:
    state.count_call(operation)
    work = partial(_work, state, operation, act, _form())
    fault = state.faults.take(operation)
    return json_response(work()) if fault is None else misbehave(fault, operation, work)


def _work(state: State, operation: str, act: Callable[[State, Form], Json], form: Form) -> Json:
    try:
        require_credentials(state.account, form.get("username", ""), form.get("password", ""))
        return act(state, form)
    except Refusal as refusal:
        return answers.refused(operation, refusal)


def _form() -> Form:
    """The fields of the body. The page knows one encoding; another is as good as no fields."""
    if request.mimetype != "application/x-www-form-urlencoded":
        return MultiDict()
    return request.form


def _check_balance(state: State, _: Form) -> Json:
    return success({"amount": state.balance(), "currency": state.account.currency})


def _text_single(state: State, form: Form) -> Json:
    if "message_id" in form and "phone" not in form and "message" not in form:
        return _text_status(state, form)  # how the provider's Node client asks for a status
    sender_id = _sender_id(state, form)
    phones = [parse_phone(phone) for phone in form.get("phone", "").split(",")]
    text = form.get("message", "")
    if not text:
        raise Refusal(answers.EXECUTION_ERROR, "message est obligatoire")
    lot_id, message_ids = state.send_texts(sender_id, phones, text)
    description = "Message envoyé avec succès"
    return success({"lot_id": lot_id, "description": description, "message_id": message_ids})


def _text_status(state: State, form: Form) -> Json:
    message = state.find(form.get("message_id", ""), form.get("lot_id"))
    return success(
        [
            {
                "lot_id": message.lot_id,
                "message_id": message.message_id,
                "status": message.status,
                "description": "Envoyé",
            }
        ]
    )


def _otp_send(state: State, form: Form) -> Json:
    sender_id = _sender_id(state, form)
    phone = parse_phone(form.get("phone", ""))
    length = _number(form, "otp_length", DEFAULT_LENGTH)
    minutes = _number(form, "otp_expiry", DEFAULT_MINUTES)
    text = form.get("message", DEFAULT_MESSAGE)
    if length not in _LENGTHS:
        raise Refusal(answers.EXECUTION_ERROR, "otp_length doit être compris entre 4 et 9")
    if minutes == 0:
        raise Refusal(answers.EXECUTION_ERROR, "otp_expiry doit être supérieur à 0")
    if "##OTP##" not in text:
        raise Refusal(answers.EXECUTION_ERROR, "le message doit comporter la balise ##OTP##")
    message_id = state.send_otp(sender_id, phone, length, minutes, text)
    return success({"message_id": message_id, "description": "OTP envoyé avec succès"})


def _otp_verify(state: State, form: Form) -> Json:
    if "sender_id" in form:  # in the page's samples, but not in its table of fields
        _sender_id(state, form)
    phone = parse_phone(form.get("phone", ""))
    message_id = state.verify_otp(phone, form.get("otp", ""))
    return success({"message_id": message_id, "status": "success"})


def _sender_id(state: State, form: Form) -> str:
    sender_id = form.get("sender_id", "")
    require_sender_id(state.account, sender_id)
    return sender_id


def _number(form: Form, name: str, default: int) -> int:
    text = form.get(name, str(default))
    if not _WHOLE_NUMBER.match(text):
        raise Refusal(answers.EXECUTION_ERROR, f"{name} doit être un nombre entier")
    return int(text)


_OPERATIONS: dict[str, Callable[[State, Form], Json]] = {
    "check/balance": _check_balance,
    "text/single": _text_single,
    "text/status": _text_status,
    "otp/send": _otp_send,
    "otp/verify": _otp_verify,
}
