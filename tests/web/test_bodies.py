"""Bodies are read first, in a limited time, and cost a place only when they are there."""

from contextlib import contextmanager
from io import BytesIO

import pytest

from tests.web.conftest import PHONE, too_late
from tests.web.test_problems import check


class Deadline:
    """Counts the bodies that are read under it."""

    def __init__(self):
        self.bodies = 0

    @contextmanager
    def __call__(self):
        self.bodies += 1
        yield


@pytest.fixture
def deadline():
    return Deadline()


class Broken(BytesIO):
    """A body whose connection breaks."""

    def read(self, _size):
        raise ConnectionResetError


def test_a_body_that_does_not_come_in_time_is_a_request_timeout(make_client, send, route):
    check(send(client=make_client(body_deadline=too_late)), 408, "request_timeout")
    assert route.sent == []


def test_a_body_is_read_before_its_request_takes_a_place(make_client, send):
    busy = {"max_in_flight": 0}
    check(send(client=make_client(**busy, body_deadline=too_late)), 408, "request_timeout")
    check(send(client=make_client(**busy)), 503, "overloaded")


def test_a_body_in_time_is_read_as_ever(make_client, send, deadline):
    client = make_client(body_deadline=deadline)
    assert send(client=client).status_code == 201
    assert deadline.bodies == 1


def test_a_request_without_a_body_needs_no_time_for_it(make_client, deadline):
    client = make_client(body_deadline=deadline)
    assert client.get("/health/live").status_code == 200
    assert deadline.bodies == 0


def test_a_body_that_says_it_is_too_long_is_not_waited_for(make_client, deadline):
    client = make_client(body_deadline=deadline)
    check(client.post("/login-code", json={"phone": "1" * 4096}), 413, "payload_too_large")
    assert deadline.bodies == 0


@pytest.mark.parametrize(("extra", "status"), [(0, 201), (1, 413)])
def test_a_body_in_chunks_is_read_to_the_limit_and_one_byte_more(client, extra, status):
    body = b'{"phone": "%s"}' % PHONE.encode()
    answer = client.post(
        "/login-code",
        input_stream=BytesIO(body.ljust(4096 + extra)),
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
        content_type="application/json",
    )
    assert answer.status_code == status


def test_a_connection_that_breaks_in_its_body_is_an_invalid_request(client, route):
    answer = client.post(
        "/login-code", input_stream=Broken(), content_length=20, content_type="application/json"
    )
    check(answer, 400, "invalid_request")
    assert route.sent == []
