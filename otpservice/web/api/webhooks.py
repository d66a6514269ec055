"""What the provider calls: the address for incoming SMS."""

import hmac
import json
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import parse_qsl

from flask import Blueprint, abort, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import UnsupportedMediaType

from otpservice.verification.address import Network, is_among
from otpservice.verification.inbound import Received, UnreadableSms, Wish
from otpservice.web.context import current_context
from otpservice.web.requests import InvalidRequest, read_body

log = logging.getLogger(__name__)

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_NOT_FOUND = 404
_DECISIONS = {Wish.STOP: "opted_out", Wish.START: "opted_in"}


def inbound_blueprint(
    receive: Callable[[Mapping[str, str]], Received],
    expected: str | None,
    networks: Collection[Network] = (),
) -> Blueprint:
    """``POST /webhooks/vavasms/TOKEN``.

    Args:
        receive: takes in the fields of one SMS; raises UnreadableSms if they are none.
        expected: the token at the end of the address; None turns the endpoint off.
        networks: where the other end of the connection has to be; empty is anywhere.
    """
    blueprint = Blueprint("webhooks", __name__)

    @blueprint.post("/webhooks/vavasms/<token>")
    def incoming(token: str) -> ResponseReturnValue:
        if not _is_token(token, expected):
            abort(_NOT_FOUND)
        if networks and not is_among(request.remote_addr, networks):
            log.warning("inbound_address_refused", extra={"address": request.remote_addr})
            abort(_NOT_FOUND)
        try:
            received = receive(_provider_fields())
        except UnreadableSms:
            raise InvalidRequest(
                "An incoming SMS has a message_id, and a sender as form or from."
            ) from None
        context = current_context()
        context.phone = received.phone.masked if received.phone else None
        context.outcome = _outcome(received)
        if received.new and received.wish and received.phone:
            context.decision = _DECISIONS[received.wish]
        return "", 204

    return blueprint


def _is_token(offered: str, expected: str | None) -> bool:
    # In constant time: how long it takes must not tell how many characters are right.
    return expected is not None and hmac.compare_digest(offered.encode(), expected.encode())


def _outcome(received: Received) -> str:
    if not received.new:
        return "duplicate"
    return received.wish.value if received.wish else "ok"


def _provider_fields() -> dict[str, str]:
    """The fields of a body whose form is the provider's to choose, not ours to forbid.

    Numbers are taken as their digits, whatever else is no text is left out; of a field given twice
    the first counts.

    Raises:
        UnsupportedMediaType: neither JSON nor a form.
        InvalidRequest: JSON that cannot be read, or is no object.
    """
    if request.mimetype == "application/json":
        return _texts(_json(read_body()))
    if request.mimetype not in _FORMS:
        raise UnsupportedMediaType
    data = read_body()
    return _form(data) if request.mimetype == _FORMS[0] else request.form.to_dict()


def _json(data: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(_decoded(data))
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return fields


def _texts(fields: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: str(value)
        for name, value in fields.items()
        if isinstance(value, str | int) and not isinstance(value, bool)
    }


def _form(data: bytes) -> dict[str, str]:
    raw = data.decode("latin-1")
    pairs = parse_qsl(raw, keep_blank_values=True, encoding="latin-1")
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, _decoded(value.encode("latin-1")))
    return fields


def _decoded(data: bytes) -> str:
    """UTF-8, or what else gateways write: an ARRÊT must not be lost over its accent."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
