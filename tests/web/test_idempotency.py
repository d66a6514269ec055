"""The Idempotency-Key header, over a small application with one view per kind of answer."""

import logging
from dataclasses import dataclass, field
from threading import Event, Thread

import pytest
from fakeredis import FakeRedis, FakeServer
from flask import Flask, make_response, request
from hypothesis import example, given
from hypothesis import strategies as st

from otpservice.config.apps import App
from otpservice.store.idempotency import RedisIdempotency
from otpservice.store.scripts import Scripts
from otpservice.verification.errors import (
    NotFound,
    OutcomeUnknown,
    ProviderUnavailable,
    StoreUnavailable,
    WrongCode,
)
from otpservice.web.api.idempotency import Answer, Idempotency, read_key
from otpservice.web.context import current_context
from otpservice.web.error_handlers import register_errors
from otpservice.web.events import register_events
from otpservice.web.requests import InvalidRequest
from tests.conftest import SECRET

VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
KEY = {"Idempotency-Key": "order-4711"}
REPLAYED = "Idempotency-Replayed"


@dataclass
class World:
    """What the views do, and how often they did it."""

    redis: FakeServer = field(default_factory=FakeServer)
    acted: int = 0
    raises: Exception | None = None
    replay_raises: Exception | None = None
    status: int = 201
    during: object = lambda: None

    def act(self):
        self.acted += 1
        self.during()
        if self.raises:
            raise self.raises
        return Answer(make_response({"id": f"ver_{self.acted}"}, self.status), f"ver_{self.acted}")

    def replay(self, finished):
        if self.replay_raises:
            raise self.replay_raises
        if finished.status == 422:
            raise WrongCode(finished.id, 3)
        if finished.status == 504:
            raise OutcomeUnknown(finished.id)
        return make_response({"id": finished.id}, finished.status)


@pytest.fixture
def world():
    return World()


@pytest.fixture
def client(world):
    app = Flask(__name__)
    register_events(app)
    register_errors(app)
    store = RedisIdempotency(Scripts(FakeRedis(server=world.redis)), [SECRET], lease=15)
    act = Idempotency(app, store).once(replay=world.replay)(world.act)

    @app.post("/login-code")
    @app.post("/confirm")
    def view():
        current_context().app = App(request.headers.get("X-App", "portal"), ())
        fields = request.get_json() if request.is_json else request.form.to_dict()
        return act(fields)

    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app.test_client()


@pytest.fixture
def post(client):
    def call(path="/login-code", headers=KEY, json=None, **kwargs):
        if "data" not in kwargs:
            kwargs["json"] = {"phone": "1"} if json is None else json
        return client.post(path, headers=headers, **kwargs)

    return call


def test_without_a_key_every_call_is_done(post, world):
    answers = [post(headers={}) for _ in range(2)]
    assert [answer.get_json()["id"] for answer in answers] == ["ver_1", "ver_2"]
    assert all(REPLAYED not in answer.headers for answer in answers)
    assert list(FakeRedis(server=world.redis).scan_iter()) == []


@pytest.mark.parametrize("status", [200, 201, 202])
def test_what_was_done_is_answered_again_and_marked(post, world, status):
    world.status = status
    first, second, third = post(), post(), post()
    assert REPLAYED not in first.headers
    for again in (second, third):
        assert (again.status_code, again.get_json()) == (status, {"id": "ver_1"})
        assert again.headers[REPLAYED] == "true"
    assert world.acted == 1


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (WrongCode("ver_7", 3), 422, "wrong_code"),
        (OutcomeUnknown("ver_7"), 504, "outcome_unknown"),
    ],
)
def test_an_error_that_spent_a_guess_is_answered_again_and_marked(post, world, error, status, code):
    world.raises = error
    first, second = post(), post()
    for answer in (first, second):
        assert answer.status_code == status
        assert (answer.get_json()["code"], answer.get_json()["id"]) == (code, "ver_7")
    assert (REPLAYED in first.headers, second.headers[REPLAYED]) == (False, "true")
    assert world.acted == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [(ProviderUnavailable(), 503), (NotFound(), 404), (StoreUnavailable(), 503), (OSError(), 500)],
)
def test_an_error_that_spent_nothing_frees_the_key(post, world, error, status):
    world.raises = error
    assert post().status_code == status
    world.raises = None
    again = post(json={"phone": "2"})
    assert (again.status_code, REPLAYED in again.headers) == (201, False)
    assert world.acted == 2


@pytest.mark.parametrize("finish_first", [False, True])
def test_one_key_for_two_bodies_is_a_mismatch(post, world, finish_first):
    if finish_first:
        post()
        answer = post(json={"phone": "2"})
    else:
        seen = []
        world.during = lambda: seen.append(post(json={"phone": "2"}))
        post()
        (answer,) = seen
    assert answer.get_json()["code"] == "idempotency_mismatch"
    assert REPLAYED not in answer.headers
    assert world.acted == 1


def test_the_second_call_is_told_to_wait_while_the_first_runs(post, world):
    entered, leave = Event(), Event()

    def wait():
        entered.set()
        assert leave.wait(10)

    world.during = wait
    first = Thread(target=post)
    first.start()
    assert entered.wait(10)
    refused = post()
    leave.set()
    first.join()
    assert refused.get_json()["code"] == "idempotency_in_progress"
    assert 1 <= int(refused.headers["Retry-After"]) <= 15
    assert post().headers[REPLAYED] == "true"
    assert world.acted == 1


def test_spelling_and_form_of_the_body_do_not_matter(post, world):
    post(json={"phone": "1", "locale": "fr"})
    for data, kind in [
        (b'{\n "locale":"fr",  "phone":"1"}', "application/json"),
        (b"locale=fr&phone=%31", "application/x-www-form-urlencoded"),
    ]:
        assert post(data=data, content_type=kind).headers[REPLAYED] == "true"
    assert world.acted == 1


def test_the_key_of_another_app_or_address_is_another_key(post, world):
    post()
    post("/confirm", json={"phone": "2"})
    post(headers=KEY | {"X-App": "shop"}, json={"phone": "3"})
    assert world.acted == 3


def test_without_redis_nothing_is_done(post, world):
    world.redis.connected = False
    assert post().get_json()["code"] == "store_unavailable"
    assert world.acted == 0


@pytest.mark.parametrize(
    ("error", "status", "event"),
    [
        (None, 201, "idempotency_not_finished"),
        (WrongCode("ver_1", 3), 422, "idempotency_not_finished"),
        (NotFound(), 404, "idempotency_not_released"),
    ],
)
def test_redis_lost_on_the_way_changes_no_answer(post, world, caplog, error, status, event):
    def lose():
        world.redis.connected = False

    world.raises, world.during = error, lose
    with caplog.at_level(logging.ERROR):
        assert post().status_code == status
    assert event in [record.message for record in caplog.records]
    world.redis.connected = True
    assert post().get_json()["code"] == "idempotency_in_progress"


@pytest.mark.parametrize(("error", "status"), [(StoreUnavailable(), 503), (NotFound(), 404)])
def test_an_answer_that_cannot_be_built_again_is_not_marked(post, world, error, status):
    post()
    world.replay_raises = error
    answer = post()
    assert (answer.status_code, REPLAYED in answer.headers) == (status, False)
    world.replay_raises = None
    assert post().headers[REPLAYED] == "true"
    assert world.acted == 1


bare_keys = st.text(VISIBLE, min_size=1, max_size=255).filter(lambda key: key[0] != '"')


def quoted(key):
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(bare_keys)
@example("a,b")
@example('a"b')
@example("a\\b")
@example("!" * 255)
def test_bare_and_quoted_are_one_key(key):
    assert read_key(key) == read_key(quoted(key)) == read_key(f" {quoted(key)}\t") == key


@given(st.text(VISIBLE, min_size=1, max_size=255))
@example('"')
@example('"' * 255)
def test_a_quoted_key_holds_any_visible_character(key):
    assert read_key(quoted(key)) == key


@given(st.text(VISIBLE, max_size=20), st.characters(exclude_characters=VISIBLE), st.text(VISIBLE))
def test_any_other_character_is_refused_wherever_it_stands(before, other, after):
    for header in (f"x{before}{other}x{after}", quoted(before + other + after)):
        with pytest.raises(InvalidRequest):
            read_key(header)


@pytest.mark.parametrize("header", ["abc\n", '"abc"\n', "abc\r", "abc\x00", "abc\x7f"])
def test_a_control_character_at_the_end_is_refused_too(header):
    with pytest.raises(InvalidRequest):
        read_key(header)


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        '""',
        '"',
        '"abc',
        '"a"b"',
        '"a\\b"',
        '"abc\\"',
        '"abc";q=1',
        '"abc","abc"',
        '"abc", "def"',
        "abc, def",
        "a b",
        "x" * 256,
        quoted("x" * 256),
        "cl\xe9",
    ],
)
def test_a_header_that_is_no_key_is_refused_by_name(client, world, header):
    answer = client.post("/login-code", json={}, environ_overrides={"HTTP_IDEMPOTENCY_KEY": header})
    assert answer.get_json()["code"] == "invalid_request"
    assert "Idempotency-Key" in answer.get_json()["errors"]
    assert world.acted == 0


def test_bare_and_quoted_headers_are_one_call(post, world):
    post(headers={"Idempotency-Key": "a-1"})
    assert post(headers={"Idempotency-Key": '"a-1"'}).headers[REPLAYED] == "true"
    assert world.acted == 1


def test_the_longest_key_counts_without_its_quotes(post, world):
    post(headers={"Idempotency-Key": quoted('"' * 255)})
    assert post(headers={"Idempotency-Key": quoted('"' * 255)}).headers[REPLAYED] == "true"
