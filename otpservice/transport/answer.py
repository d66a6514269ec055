"""Answers that can be read in one way only, and only within a deadline."""

import http
import http.client
import io
import re
import socket
from time import monotonic
from typing import Any

from urllib3.util.response import assert_header_parsing

from otpservice.transport.waiting import in_time

MAX_ANSWER = 64 * 1024
"""Bytes of one answer, head included; the longest on the provider's page has about 250."""

# Servers and clients read folded headers, and lines that end in any other way, differently.
_LINE = re.compile(
    rb"(HTTP/1\.[01] [0-9]{3}( [^\r\n]*)?"  # status line
    rb"|[!-9;-~]+:[^\r\n\0]*"  # header or trailer
    rb"|[0-9A-Fa-f]+[ \t]*(;[^\r\n]*)?"  # size of a chunk
    rb")?\r\n"
)


class _Wire(io.RawIOBase):
    """The bytes of one answer, all within the timeout that ``sock`` has when it is made.

    A socket's timeout holds for each read, so a server that sends a byte at a time never meets it.
    urllib3 sets it to what is left of the call before it makes an answer.
    """

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self._room = MAX_ANSWER
        self._deadline = monotonic() + (sock.gettimeout() or 0)
        sock.settimeout(0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401
        count = in_time(self._sock, self._deadline, lambda: self._sock.recv_into(buffer))
        self._room -= count
        if self._room < 0:
            raise http.client.HTTPException("too large")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Lines(io.BufferedReader):
    """Gives ``http.client`` the head of an answer and its chunks' sizes, line by line."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        if not _LINE.fullmatch(line):
            raise http.client.HTTPException("malformed or cut")
        return line


class Answer(http.client.HTTPResponse):
    """An answer that can be read in one way only.

    ``http.client`` takes a negative length, two lengths, or a length beside chunks for a 200, and a
    head that was cut off for a complete one.
    """

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **kwargs)
        self.fp = _Lines(_Wire(sock, self.fp.detach()))

    def begin(self) -> None:
        """Read the head.

        Raises:
            HTTPException: it can be read in two ways, or is none of a final answer.
        """
        super().begin()
        # urllib3 does this too, but only logs what it finds, with lines of the answer.
        assert_header_parsing(self.msg)
        lengths = self.msg.get_all("Content-Length", [])
        codings = self.msg.get_all("Transfer-Encoding", [])
        plain = all(re.fullmatch("[0-9]{1,15} *", length) for length in lengths)
        chunked = all(coding.lower() == "chunked" for coding in codings)
        if len(lengths + codings) > 1 or not plain or not chunked:
            raise http.client.HTTPException("ambiguous framing")
        if self.status < http.HTTPStatus.OK:
            raise http.client.HTTPException("interim answer")
