"""What arrives: the caller, the body, and what is wrong with them."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

from flask import request
from marshmallow import Schema, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.wsgi import get_content_length

from otpservice.config.apps import App, Apps
from otpservice.web.context import current_context

View = TypeVar("View", bound=Callable[..., Any])

_MOST_FIELDS = 32
_NAME = re.compile(r"[A-Za-z][A-Za-z_]{0,19}\Z")


class InvalidRequest(Exception):
    """The body cannot be understood.

    ``errors`` names what to correct by field, each with a list of sentences; ``reason`` is one
    sentence about the whole.
    """

    def __init__(self, reason: str = "", errors: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.errors = errors or {}


class Unauthorized(Exception):
    """No API key, or one that is nobody's."""


class Forbidden(Exception):
    """A good key without the right that is needed; ``reason`` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Overloaded(Exception):
    """More requests at once than this worker takes."""

    retry_after = 1


class Stopping(Exception):
    """This process finishes what it has and takes nothing more for long."""

    retry_after = 1


class RateLimited(Exception):
    """More requests than ``amount`` in ``window`` seconds; room again in ``retry_after``."""

    def __init__(self, limit: str, amount: int, window: int, retry_after: int) -> None:
        super().__init__(limit)
        self.limit = limit
        self.amount = amount
        self.window = window
        self.retry_after = retry_after


def authenticated(apps: Apps, scope: str) -> Callable[[View], View]:
    """Decorate a view: it runs only for an app with ``scope``, which it finds by ``caller()``.

    Raises:
        Unauthorized: no key or a wrong one.
        Forbidden: the key's app has not the scope.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the view takes
            app = current_context().app = _authenticated(apps)
            if scope not in app.scopes:
                raise Forbidden(f"This API key has not the scope {scope!r}.")
            return view(*args, **kwargs)

        return checked  # type: ignore[return-value]

    return decorate


def _authenticated(apps: Apps) -> App:
    headers = request.headers
    authorization = headers.get("Authorization")
    if authorization is None:
        key = headers.get("X-API-Key", "")
    else:
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized
    app = apps.authenticate(key.strip(" "))
    if app is None:
        raise Unauthorized
    return app


def read_fields(query: Collection[str] = ()) -> dict[str, Any]:
    """The request's JSON object or form as it came, each field once.

    Args:
        query: names of the query parameters that may be given, each once.

    Raises:
        UnsupportedMediaType: it is neither.
        InvalidRequest: it cannot be read.
    """
    if request.query_string:
        _check_query(request.args, query)
    if request.mimetype == "application/json":
        return _read_json(read_body())
    if request.mimetype == "application/x-www-form-urlencoded":
        return _read_form(read_body())
    raise UnsupportedMediaType


def _check_query(given: MultiDict[str, str], allowed: Collection[str]) -> None:
    if unknown := given.keys() - set(allowed):
        _refuse_names("Unknown query parameter.", unknown)
    if twice := [name for name, values in given.lists() if len(values) > 1]:
        _refuse_names("Given more than once.", twice)


def read_body() -> bytes:
    """The request's body, all of it: half a number or half a code may be a good one too.

    Werkzeug takes what came for the whole where the server ends the body, as gunicorn does.

    Raises:
        RequestEntityTooLarge: it is longer than ``MAX_CONTENT_LENGTH``.
        InvalidRequest: the caller went away before its end.
    """
    data = request.get_data()
    length = get_content_length(request.environ)
    if length is None:  # in chunks
        if request.environ["wsgi.input"].read(1):
            raise RequestEntityTooLarge
    elif len(data) < length:
        raise InvalidRequest("The body ends before its Content-Length.")
    return data


def load(schema: Schema, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, checked and loaded by ``schema``.

    Raises:
        InvalidRequest: they break it.
    """
    try:
        loaded: dict[str, Any] = schema.load(fields)
    except ValidationError as error:
        said = {_shown(name): why for name, why in error.messages_dict.items()}
        raise InvalidRequest(errors=said) from None
    return loaded


def _read_json(data: bytes) -> dict[str, Any]:
    try:
        fields = _decode(data.decode())
        if b"\\u" in data:  # half of a surrogate pair is JSON, but no text
            json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidRequest("The body is not valid JSON in UTF-8.") from None
    if not isinstance(fields, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return fields


def _read_form(data: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            data.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise InvalidRequest("The body is not a valid form in UTF-8.") from None
    return _once(pairs)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = {name for name in fields if names.count(name) > 1}
        _refuse_names("Given more than once.", sorted(twice))
    return fields


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


# Of two members with one name Python takes the last; who wrote the first would be fooled.
_decode = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant).decode


def _refuse_names(why: str, names: Any) -> NoReturn:  # noqa: ANN401 - any iterable of names
    raise InvalidRequest(errors={_shown(name): [why] for name in names})


def _shown(name: str) -> str:
    """A caller's name for a field; what may be a number or a code in its place is not repeated."""
    return name if _NAME.match(name) else "(a name that is not shown)"
