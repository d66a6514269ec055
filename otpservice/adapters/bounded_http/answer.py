"""One HTTP/1.1 answer off a socket: within its time and its size, whole or not at all.

Read here and not by ``http.client``, whose headers go through the parser for e-mail: that takes
more of a call's CPU than all else in it. Less is taken for an answer, never more: whoever may have
sent an SMS must not be misunderstood.
"""

import re
import socket
from collections.abc import Mapping
from time import monotonic

MAX_ANSWER = 64 * 1024
"""Bytes of one answer, headers included; the longest on the provider's page has about 250."""

Framing = Mapping[bytes, bytes]
"""Lower-case headers by name, several of one name joined by commas."""

_PIECE = 16 * 1024
_CHUNKED = -1
_DIGITS = 18  # of a length; more than anybody sends, and few enough to be read as a number
_CONTINUE, _OK, _NO_CONTENT, _NOT_MODIFIED = 100, 200, 204, 304

_END_OF_HEAD = re.compile(rb"\n\r?\n")
# A line that begins with a space goes on with the one before.
_HEAD = re.compile(
    rb"HTTP/1\.([0-9]) +([1-9][0-9]{2})(?: .*|\r?)\n"
    rb"(?![ \t])(?:(?:[!-9;-~]+:|[ \t]).*\n)*+\r?\n"
)
# What says where a body ends, and whether another answer may follow on this connection.
_FRAMING = re.compile(rb"\n(connection|content-length|transfer-encoding):(.*(?:\n[ \t].*)*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LINE_ENDS = (b"\r\n", b"\n", b"")


class AnswerCut(Exception):
    """The connection ended before the answer did."""


class AnswerMalformed(Exception):
    """What came is no HTTP answer, or nobody could say where it ends."""


class AnswerTooLarge(Exception):
    """It has more than ``MAX_ANSWER`` bytes."""


class AnswerReader:
    """Reads one answer from ``sock``, until ``deadline`` on ``time.monotonic``.

    Attributes:
        status: 200 and the like; None until the headers have come whole.
        reusable: whether the connection may carry another request: the answer came whole, nothing
            came after it, and the server did not say that it hangs up.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self._room = MAX_ANSWER
        self._came = b""
        self._ended = False
        self.status: int | None = None
        self.reusable = False

    def body(self) -> bytes:
        """The whole answer's body.

        Raises:
            AnswerCut, AnswerMalformed, AnswerTooLarge: there is none.
            OSError: the connection broke, or the time is over (``TimeoutError``).
        """
        version, status, framing = self._head()
        while status == _CONTINUE:
            version, status, framing = self._head()
        if status < _OK:
            # Not the last word (103): the real answer is still to come.
            raise AnswerMalformed("interim answer")
        length = _length(status, framing)
        self.status = status
        body = self._chunks() if length == _CHUNKED else self._exactly(length)
        self.reusable = _stays(version, framing) and not (self._came or self._ended)
        return body

    def _head(self) -> tuple[bytes, int, Framing]:
        """The minor version, the status, and what is said of the framing."""
        while not (end := _END_OF_HEAD.search(self._came)):
            self._need_more()
        head, self._came = self._came[: end.end()], self._came[end.end() :]
        parts = _HEAD.fullmatch(head)
        if not parts or head.count(b"\r") != head.count(b"\r\n"):
            raise AnswerMalformed("head")
        framing: dict[bytes, bytes] = {}
        for name, value in _FRAMING.findall(head.lower()):
            said = value.strip()
            framing[name] = b"%b,%b" % (framing[name], said) if name in framing else said
        return parts[1], int(parts[2]), framing

    def _chunks(self) -> bytes:
        body = b""
        while size := self._chunk_size():
            body += self._exactly(size)
            if self._exactly(2) != b"\r\n":
                raise AnswerMalformed("chunk")
        # Trailers; who hangs up in them has sent all of the body.
        while self._line() not in _LINE_ENDS:
            pass
        return body

    def _chunk_size(self) -> int:
        if not (line := _CHUNK.fullmatch(self._line())):
            raise AnswerMalformed("chunk size")
        return int(line[1], 16)

    def _line(self) -> bytes:
        """The next line with its end; without one, or empty, if the connection ended before."""
        while (end := self._came.find(b"\n") + 1) == 0:
            if not self._more():
                end = len(self._came)
                break
        line, self._came = self._came[:end], self._came[end:]
        return line

    def _exactly(self, count: int | None) -> bytes:
        """The next ``count`` bytes; None takes all there are until the connection ends."""
        if count is None:
            while self._more():
                pass
            count = len(self._came)
        while len(self._came) < count:
            self._need_more()
        taken, self._came = self._came[:count], self._came[count:]
        return taken

    def _need_more(self) -> None:
        if not self._more():
            raise AnswerCut

    def _more(self) -> bool:
        """Take what has come; False at the connection's end."""
        # A socket's timeout is for each read: a server that drips a byte at a time never meets one.
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("answer not complete in time")
        self._sock.settimeout(left)
        piece = self._sock.recv(_PIECE)
        self._room -= len(piece)
        if self._room < 0:
            raise AnswerTooLarge
        self._came += piece
        self._ended = not piece
        return not self._ended


def _stays(version: bytes, framing: Framing) -> bool:
    """Whether the server will take another request on this connection."""
    said = framing.get(b"connection", b"")
    return said.count(b"keep-alive") > 0 if version == b"0" else said.count(b"close") == 0


def _length(status: int, framing: Framing) -> int | None:
    """Bytes of the body, or ``_CHUNKED``; None if it ends with the connection."""
    coding = framing.get(b"transfer-encoding", b"identity")
    has_no_body = status in {_NO_CONTENT, _NOT_MODIFIED}
    if coding not in {b"chunked", b"identity"} or (has_no_body and coding == b"chunked"):
        raise AnswerMalformed("transfer coding")
    length = _CHUNKED if coding == b"chunked" else _told_length(framing)
    return 0 if has_no_body else length


def _told_length(framing: Framing) -> int | None:
    if b"content-length" not in framing:
        return None
    # Several may say it, but alike.
    told = {number.strip() for number in framing[b"content-length"].split(b",")}
    number = told.pop()
    if told or not number.isdigit() or len(number) > _DIGITS:
        raise AnswerMalformed("length")
    return int(number)
