"""One HTTP/1.1 answer off a socket: within its time and its size, whole or not at all.

What came is read by llhttp, Node.js's parser, which refuses what could be understood in two ways.
Less is taken for an answer, never more: whoever may have sent an SMS must not be misunderstood.
"""

import socket
from time import monotonic

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MAX_ANSWER = 64 * 1024
"""Bytes of one answer, headers included; the longest on the provider's page has about 250."""

_PIECE = 16 * 1024
_CONTINUE, _OK = 100, 200

# What says where a body ends. Without either it ends with the connection.
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})

# Seconds that a read may last longer than it should: to set a timeout is a call of the system.
_SLACK = 0.05


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
        self._parser = HttpResponseParser(self)
        self._body = b""
        self._is_framed = self._is_whole = False
        self.status: int | None = None
        self.reusable = False

    def body(self) -> bytes:
        """The whole answer's body.

        Raises:
            AnswerCut, AnswerMalformed, AnswerTooLarge: there is none.
            OSError: the connection broke, or the time is over (``TimeoutError``).
        """
        try:
            self._read_all()
        finally:
            del self._parser  # it knows this reader: nothing is left for the garbage collector
        return self._body

    def on_message_begin(self) -> None:
        """Called by the parser, as all that follow: nothing may come after the answer."""
        self.reusable = False

    def on_header(self, name: bytes, _value: bytes) -> None:
        """See what a header says of the body's end."""
        self._is_framed = self._is_framed or name.lower() in _FRAMING

    def on_headers_complete(self) -> None:
        """Take the status, if it is the last word: after 103 the real answer is still to come."""
        status = self._parser.get_status_code()
        if _OK > status != _CONTINUE:
            raise AnswerMalformed("interim answer")
        if status >= _OK and not self._is_whole:
            self.status = status

    def on_body(self, piece: bytes) -> None:
        """Take a part of the body."""
        if not self._is_whole:
            self._body += piece

    def on_message_complete(self) -> None:
        """It is whole, unless it said no more than that another will come."""
        if self.status is not None and not self._is_whole:
            self._is_whole = True
            self.reusable = self._parser.should_keep_alive()

    def _read_all(self) -> None:
        while not self._is_whole:
            if piece := self._receive():
                self._read(piece)
            elif self.status is None or self._is_framed:
                raise AnswerCut
            else:
                break

    def _receive(self) -> bytes:
        """What has come; nothing at the connection's end."""
        # A socket's timeout is for each read: a server that drips a byte at a time never meets one.
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError("answer not complete in time")
        if (self._sock.gettimeout() or 0) > left + _SLACK:
            self._sock.settimeout(left)
        return self._sock.recv(_PIECE)

    def _read(self, piece: bytes) -> None:
        self._room -= len(piece)
        if self._room < 0:
            raise AnswerTooLarge
        try:
            self._parser.feed_data(piece)
        except (HttpParserError, HttpParserUpgrade):
            self.reusable = False
            if not self._is_whole:
                raise AnswerMalformed from None
