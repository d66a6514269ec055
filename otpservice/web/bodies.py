"""When a request's body is read: first, before the request costs anybody else anything."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from io import BytesIO

from flask import Flask, request
from werkzeug.exceptions import ClientDisconnected
from werkzeug.wsgi import get_content_length


def read_bodies_first(app: Flask, deadline: Callable[[], AbstractContextManager[object]]) -> None:
    """Read each body before the request takes one of the worker's places.

    So callers who send slowly, or stop in the middle, keep no others out.

    Args:
        app: its ``MAX_CONTENT_LENGTH`` limits what is read.
        deadline: makes a context manager that raises RequestTimeout if the reading takes too long.
    """
    limit = app.config["MAX_CONTENT_LENGTH"]

    @app.before_request
    def receive() -> None:
        if size := _size_to_read(limit):
            with deadline():
                body = _read(size)
            request.environ["wsgi.input"] = BytesIO(body)


def _read(size: int) -> bytes:
    try:
        body: bytes = request.environ["wsgi.input"].read(size)
    except OSError as error:  # those of gunicorn's for broken chunks, too
        raise ClientDisconnected from error
    return body


def _size_to_read(limit: int) -> int:
    """Bytes to read; 0 where there is no body, or one that is refused by its Content-Length."""
    length = get_content_length(request.environ)
    if length is None:
        # One byte more shows that a body in chunks is too long.
        return limit + 1 if request.headers.get("Transfer-Encoding") else 0
    return length if length <= limit else 0
