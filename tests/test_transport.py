"""One POST over real sockets: what counts as an answer, what is sent, and when it ends."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from otpservice.transport import MAX_ANSWER, AnswerLost, NoConnection, Transport
from tests.fake_provider import FakeProvider, after, answer, cut, hang

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = b"Content-Length: 5\r\n\r\nhello"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = CHUNKED + b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX: y\r\n\r\n"
CLOSE = b"Connection: close\r\n"


def post(provider, **options):
    """The answer to one call, and what it cost."""
    transport = Transport(provider.url, **{"timeout": 2} | options)
    try:
        return transport.post(b"x=1", {})
    finally:
        transport.close()


def lost(reply, **options):
    """The error of a call that gets ``reply``; the request is sent once."""
    with FakeProvider(reply) as provider:
        with pytest.raises(AnswerLost) as caught:
            post(provider, **options)
        assert len(provider.requests) == 1
        return caught.value


def in_pieces(data, size):
    def play(sock):
        for start in range(0, len(data), size):
            sock.sendall(data[start : start + size])
            time.sleep(0.001)

    return play


@pytest.mark.parametrize("size", [1, 7, 9999])
@pytest.mark.parametrize(
    ("sent", "connections"),
    [
        (OK + FIVE, 1),
        (b"HTTP/1.1 200\r\nX-Empty:\r\nServer: caf\xe9\r\nCONTENT-LENGTH:5 \r\n\r\nhello", 1),
        (OK + CHUNKS, 1),
        (OK + CHUNKS.replace(b"chunked", b"Chunked"), 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 2 + OK + FIVE, 1),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n" + FIVE, 1),
        (b"HTTP/1.0 200 OK\r\n" + FIVE, 2),
        (OK + CLOSE + FIVE, 2),
        (OK + CLOSE + CHUNKS, 2),
    ],
)
def test_an_answer_is_read_in_whatever_pieces_it_comes(sent, connections, size):
    with FakeProvider(in_pieces(sent, size)) as provider:
        transport = Transport(provider.url, timeout=5)
        for _ in range(2):
            reply = transport.post(b"x=1", {})
            assert (reply.status, reply.body) == (200, b"hello")
        transport.close()
        assert provider.connections == connections


def test_an_answer_without_a_length_ends_with_its_connection():
    with FakeProvider(after(OK + b"\r\nhello", cut)) as provider:
        assert post(provider).body == b"hello"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_an_answer_that_has_no_body_ends_with_its_head(status):
    with FakeProvider(b"HTTP/1.1 %b\r\nContent-Length: 5\r\n\r\n" % status) as provider:
        assert post(provider).body == b""


@pytest.mark.parametrize(
    "answered",
    [
        OK + b"Content-Length: 5, 5\r\n\r\nhello",
        OK + b"Content-Length: 4\r\n" + FIVE,
        OK + b"Content-Length: 5\r\n" + FIVE,
        OK + b"Content-Length: 5\r\n 5\r\n\r\nhello",
        OK + b"Content-Length: -5\r\n\r\nhello",
        OK + b"Content-Length: +5\r\n\r\nhello",
        OK + b"Content-Length: 0_5\r\n\r\nhello",
        OK + b"Content-Length: \xb2\r\n\r\nhello",
        OK + b"Content-Length:\r\n\r\nhello",
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhello",
        OK + b"Content-Length: 5\r\n" + CHUNKS,
        OK + b"Transfer-Encoding: chunked\r\n" + CHUNKS,
        OK + b"Transfer-Encoding: gzip, chunked\r\n" + FIVE,
        OK + b"Transfer-Encoding: gzip\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n x\r\n\r\n0\r\n\r\n",
        OK + b"X-Folded: a\r\n b\r\n" + FIVE,
        OK + b" X: first\r\n" + FIVE,
        OK + b"X y: z\r\n" + FIVE,
        OK + b": z\r\n" + FIVE,
        OK + b"not a header\r\n" + FIVE,
        OK + b"cafe\r\n" + FIVE,
        OK + b"X: \x00\r\n" + FIVE,
        OK + b"X: y\rContent-Length: 2\r\n\r\nhello",
        OK + b"X: y\nContent-Length: 2\r\n\r\nhello",
        (OK + FIVE).replace(b"\r", b""),
        b"HTTP/2 200 OK\r\n" + FIVE,
        b"HTTP/1.1 099 X\r\n" + FIVE,
        b"HTTP/1.1 +200 X\r\n" + FIVE,
        b"HTTP/1.1 2000 X\r\n" + FIVE,
        b"ICY 200 OK\r\n" + FIVE,
        b"HTTP/1.1 101 X\r\n" + FIVE,
        b"HTTP/1.1 103 X\r\n\r\n" + OK + FIVE,
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_no_answer_and_has_no_status(answered):
    assert lost(after(answered, cut)).status is None


@pytest.mark.parametrize("whole", [OK + FIVE, OK + CHUNKS])
def test_an_answer_that_is_cut_anywhere_is_lost(whole):
    head = whole.index(b"\r\n\r\n") + 4
    with FakeProvider(*(after(whole[:end], cut) for end in range(len(whole)))) as provider:
        for end in range(len(whole)):
            with pytest.raises(AnswerLost) as caught:
                post(provider)
            assert caught.value.status == (200 if end >= head else None)


@pytest.mark.parametrize(
    "sent", [b"-1\r\n", b"0x1\r\na\r\n", b"1_1\r\n", b"\r\n", b"1\r\nabc", b"1\r\na\n0\r\n\r\n"]
)
def test_chunks_that_are_not_as_they_say_are_no_answer(sent):
    assert lost(after(OK + CHUNKED + sent, cut)).status == 200


def test_an_answer_may_have_64_kib_and_no_more():
    room = MAX_ANSWER - len(answer(b" " * 60_000)) + 60_000
    with FakeProvider(answer(b" " * room), hang) as provider:
        assert len(post(provider).body) == room
    error = lost(answer(b" " * (room + 1)))
    assert (str(error), error.status) == ("ProtocolError HTTPException", 200)


@pytest.mark.parametrize("twice", [OK + FIVE + b"x", OK + CHUNKS + OK + FIVE])
def test_what_follows_an_answer_is_not_taken_for_the_next(twice):
    with FakeProvider(twice, OK + b"Content-Length: 3\r\n\r\nbye") as provider:
        transport = Transport(provider.url, timeout=2)
        assert [transport.post(b"", {}).body for _ in range(2)] == [b"hello", b"bye"]
        transport.close()


def test_a_request_is_a_plain_post_to_the_address_or_below_it(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with FakeProvider(answer("", headers="Set-Cookie: a=b\r\n")) as provider:
        transport = Transport(provider.url, timeout=2)
        transport.post(b"x=1", {"X-Id": "7"})
        transport.post(b"", {}, below="v1/otp/send")
        transport.close()
    first, second = provider.requests
    assert (first.line, second.line) == ("POST /api HTTP/1.1", "POST /api/v1/otp/send HTTP/1.1")
    assert (first.body, second.body) == (b"x=1", b"")
    common = {
        "host": f"127.0.0.1:{provider.port}",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "otpservice",
    }
    assert first.headers == common | {"content-length": "3", "x-id": "7"}
    assert second.headers == common | {"content-length": "0"}


@pytest.mark.parametrize("headers", [{"X": v} for v in ("a\r\nX: b", "a\nb", "\x00", "é")])
def test_a_header_of_more_than_one_line_is_refused_before_anything_is_sent(headers):
    with FakeProvider(hang) as provider:
        with pytest.raises(ValueError, match="printable"):
            Transport(provider.url, timeout=1).post(b"", headers)
        assert provider.connections == 0


def test_no_time_left_means_not_sent():
    with FakeProvider(answer("{}")) as provider:
        for within in (0, -1):
            with pytest.raises(NoConnection):
                Transport(provider.url, timeout=1).post(b"", {}, within=within)
        assert provider.connections == 0


def test_within_shortens_the_deadline_and_never_stretches_it():
    with FakeProvider(hang) as provider:
        transport = Transport(provider.url, timeout=0.6)
        for within, longest in ((0.2, 0.5), (9, 1.5)):
            started = time.monotonic()
            with pytest.raises(AnswerLost):
                transport.post(b"", {}, within=within)
            assert time.monotonic() - started < longest


def test_a_closed_transport_sends_nothing():
    with FakeProvider(answer("{}")) as provider:
        transport = Transport(provider.url, timeout=1)
        transport.close()
        with pytest.raises(NoConnection):
            transport.post(b"", {})
        assert provider.connections == 0


def test_a_name_without_an_address_means_not_sent():
    with pytest.raises(NoConnection):
        Transport(f"https://{'x' * 70}.example", timeout=1).post(b"", {})


@pytest.mark.parametrize(
    "url",
    [
        "http://sms.example/",
        "http://127.0.0.1.sms.example/",
        "https://user:password@sms.example/",
        "https://sms.example/?a=b",
        "https://sms.example/#a",
        "ftp://127.0.0.1/",
        "https://",
        "https://[/",
        "sms.example",
    ],
)
def test_an_address_that_would_expose_what_is_sent_is_refused(url):
    with pytest.raises(ValueError, match="address"):
        Transport(url, timeout=1)


EXPECTED = {
    "answered": ["200"],
    "hanging": ["AnswerLost"],
    "dripping head": ["AnswerLost"],
    "dripping body": ["AnswerLost"],
    "dripping interim answers": ["AnswerLost"],
    "flood of interim answers": ["AnswerLost"],
    "dripping handshake": ["NoConnection"],
    "dripping TLS record": ["AnswerLost"],
    "hanging look-up": ["NoConnection"],
    "after a hanging look-up": ["200"],
    "first address swallows packets": ["200"],
    "closed while idle": ["200", "200"],
}


@pytest.mark.parametrize("mode", ["plain", "green"])
def test_50_calls_at_once_end_in_time_with_threads_and_under_gevent(mode):
    command = [sys.executable, "-m", "tests.bounded_calls", mode]
    root = Path(__file__).parents[1]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(run.stdout)
    assert {name: outcomes for name, (outcomes, _, _) in found.items()} == EXPECTED
    assert {name: seconds for name, (_, seconds, _) in found.items() if seconds > 1.7} == {}
    connections = {name: count for name, (_, _, count) in found.items()}
    assert connections["hanging"] == 50  # nothing is sent twice
    assert connections["dripping handshake"] == 100  # connecting is tried twice
    assert connections["closed while idle"] == 2
    assert run.stderr == ""
