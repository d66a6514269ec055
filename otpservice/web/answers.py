"""Answers in JSON."""

import json
from collections.abc import Mapping
from typing import Any

from flask import Response

# Flask's jsonify makes an encoder for each answer, and its answer is then changed three times.
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode


def json_answer(
    body: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    mimetype: str = "application/json",
) -> Response:
    """``body`` as ``jsonify`` writes it, in the order it has."""
    answer = Response(f"{_ENCODE(body)}\n", status, mimetype=mimetype)
    if headers:  # after those of the body, as README shows them
        answer.headers.update(headers)
    return answer
