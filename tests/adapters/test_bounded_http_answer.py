"""One answer off a socket: read as ``http.client`` reads it, and nothing else taken for one."""

import http.client
import itertools
import socket
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpservice.adapters.bounded_http import Transport
from otpservice.adapters.bounded_http.answer import AnswerCut, AnswerMalformed, AnswerReader

OK = b"HTTP/1.1 200 OK\r\n"
FIVE = b"Content-Length: 5\r\n\r\nhello"
CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"


class Pieces:
    """A connection on which these pieces come, one a read, and then its end."""

    def __init__(self, *pieces):
        self._pieces = iter(pieces)

    def gettimeout(self):
        return 60.0

    def settimeout(self, seconds):
        assert seconds > 0

    def recv(self, count):
        return next(self._pieces, b"")


def read(*pieces):
    """The reader of these pieces, and the body of their answer."""
    reader = AnswerReader(Pieces(*filter(None, pieces)), monotonic() + 60)
    return reader, reader.body()


def as_http_client_reads(answer):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(ours, method="POST")
        response.begin()
        with response:
            return response.status, response.read(), not response.will_close


def framed(body, framing, sizes):
    """The headers and the bytes of ``body``, sent in this way."""
    if framing == "chunked":
        ends = [0, *sorted(min(size, len(body)) for size in sizes), len(body)]
        chunks = [body[a:b] for a, b in itertools.pairwise(ends) if a < b]
        sent = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        return ["Transfer-Encoding: Chunked"], sent + b"0\r\n\r\n"
    return ([f"CONTENT-LENGTH:{len(body)} "] if framing == "length" else []), body


OTHER_HEADERS = st.lists(
    st.sampled_from(
        [
            "Content-Type: application/json",
            "Set-Cookie: a=b; path=/",
            "X-Content-Length: 3",
            "X-Empty:",
            "Server: caf\xe9",
        ]
    )
)


@given(
    st.sampled_from(["HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.0 503 X Y", "HTTP/1.1 404 \xe9"]),
    OTHER_HEADERS,
    st.sampled_from([[], ["Connection: close"], ["connection: Keep-Alive"]]),
    st.binary(max_size=40),
    st.sampled_from(["length", "chunked", "until closed"]),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_an_answer_is_read_as_http_client_reads_it_in_whatever_pieces_it_comes(
    status, others, connection, body, framing, cuts
):
    lines, sent = framed(body, framing, cuts)
    head = "\r\n".join([status, *others, *lines, *connection, "", ""]).encode("latin-1")
    ends = [0, *sorted(cuts), len(head + sent)]
    reader, found = read(*((head + sent)[a:b] for a, b in itertools.pairwise(ends)))
    assert (reader.status, found, reader.reusable) == as_http_client_reads(head + sent)
    assert found == body


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"\r", b"") + FIVE,
        OK + b"X: \x00\r\n" + FIVE,
        OK + b"X-Folded: a\r\n b\r\n" + FIVE,
        OK + b"Content-Length: 5, 5\r\n\r\nhello",
        b"HTTP/2 200 OK\r\n" + FIVE,
        b"HTTP/1.1 099 X\r\n" + FIVE,
        b"HTTP/1.1 2000 X\r\n" + FIVE,
        b"ICY 200 OK\r\n" + FIVE,
        OK + b" X: first\r\n" + FIVE,
        OK + b"X y: z\r\n" + FIVE,
        OK + b": z\r\n" + FIVE,
        OK + b"X: y\rContent-Length: 2\r\n" + FIVE,
        OK + b"Content-Length: 4\r\n" + FIVE,
        OK + b"Content-Length: 5\r\n 5\r\n\r\nhello",
        OK + b"Content-Length: -5\r\n\r\nhello",
        OK + b"Content-Length: +5\r\n\r\nhello",
        OK + b"Content-Length:\r\n\r\nhello",
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhello",
        OK + b"Transfer-Encoding: gzip, chunked\r\n" + FIVE,
        OK + b"Transfer-Encoding: chunked\r\n x\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length: 5\r\n" + CHUNKS,
        b"HTTP/1.1 101 X\r\n" + FIVE,
    ],
)
def test_a_head_that_can_be_misunderstood_is_no_answer_and_has_no_status(answer):
    reader = AnswerReader(Pieces(answer), monotonic() + 60)
    with pytest.raises(AnswerMalformed):
        reader.body()
    assert (reader.status, reader.reusable) == (None, False)


@pytest.mark.parametrize("whole", [OK + FIVE, OK + CHUNKS])
def test_an_answer_cut_anywhere_is_none(whole):
    assert read(whole)[1] == b"hello"
    for end in range(len(whole)):
        with pytest.raises((AnswerCut, AnswerMalformed)):
            read(whole[:end])


@pytest.mark.parametrize(
    "sent",
    [
        b"-1\r\n",
        b"0x1\r\na\r\n",
        b"1_1\r\n",
        b"\r\n",
        b"1\r\nabc",
        b"1\r\na\n0\r\n\r\n",
        b"1 x\r\na",
    ],
)
def test_chunks_that_are_not_as_they_say_are_no_answer(sent):
    reader = AnswerReader(
        Pieces(OK + b"Transfer-Encoding: chunked\r\n\r\n" + sent), monotonic() + 60
    )
    with pytest.raises(AnswerMalformed):
        reader.body()
    assert (reader.status, reader.reusable) == (200, False)


@pytest.mark.parametrize("pieces", [(OK + FIVE + b"x",), (OK + CHUNKS + OK + FIVE,)])
def test_a_connection_on_which_more_came_than_the_answer_carries_no_other(pieces):
    reader, body = read(*pieces)
    assert (body, reader.reusable) == (b"hello", False)
    assert read(OK + FIVE)[0].reusable


def test_100_is_waited_out_as_it_is_not_the_answer_yet():
    wait = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert read(wait + wait + OK + FIVE)[1] == b"hello"
    with pytest.raises(AnswerCut):
        read(wait)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_an_answer_without_a_body_ends_with_its_head(status):
    reader, body = read(b"HTTP/1.1 %b\r\nContent-Length: 5\r\n\r\n" % status)
    assert (body, reader.reusable) == (b"", True)


@pytest.mark.parametrize("value", ["a\r\nX: b", "a\nb", "\x00", "é"])
def test_a_header_of_more_than_one_line_is_not_sent(value):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(ValueError, match="printable"):
            Transport(url, timeout=1).post(b"", {"X": value})
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://vavasms.com/api", "vavasms.com"),
        ("https://vavasms.com:443/api", "vavasms.com"),
        ("https://vavasms.com.:8443/api", "vavasms.com:8443"),
        ("http://127.0.0.1:80", "127.0.0.1"),
        ("http://[::1]:8025/x", "[::1]:8025"),
    ],
)
def test_a_server_is_called_by_its_name_and_any_unusual_port(url, host):
    request = Transport(url, timeout=1)._request(b"", {}, "")
    assert f"\r\nHost: {host}\r\n".encode() in request
