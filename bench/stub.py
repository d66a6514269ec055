"""The provider of the benchmark: answers at once, or after a latency one may set.

It speaks just enough HTTP/1.1 for one client that keeps its connections, and costs the same for
every request. Run it as ``python -m bench.stub PORT``.

- ``POST /api/v1/otp/send``, ``otp/verify``, ``text/single``: as VavaSMS answers them. The right
  hosted code is ``HOSTED_CODE``.
- ``PUT /latency``: milliseconds, as plain digits, that every answer of the provider waits from now.
- ``GET /codes``: the six digits last texted to each phone, as JSON; forgets them.
"""

import asyncio
import json
import re
import sys
from urllib.parse import parse_qs

HOSTED_CODE = "123456"


def _answer(code: int, message: str, **data: object) -> bytes:
    return json.dumps({"code": code, "message": message, "data": data}).encode()


_SEND = _answer(0, "OPERATION_SUCCES", message_id="OTP-20240101-1", description="")
_TEXT = _answer(0, "OPERATION_SUCCES", lot_id="LOT-1", message_id=["SM-20240101-1"])
_YES = _answer(0, "OPERATION_SUCCES", message_id="OTP-20240101-2", status="success")
_NO = _answer(913, "INVALID_OTP")
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_CODE = re.compile(r"\b[0-9]{6}\b")
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


class Provider:
    """What it answers, and what it remembers between requests."""

    def __init__(self) -> None:
        self._latency = 0.0
        self._codes: dict[str, str] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection until the client leaves."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1])) if length else b""
                method, path, _ = head.split(b" ", 2)
                answer = self._control(path, body)
                if method == b"POST":
                    if self._latency:
                        await asyncio.sleep(self._latency)
                    answer = self._operation(path, body)
                writer.write(_HEAD % len(answer) + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _operation(self, path: bytes, body: bytes) -> bytes:
        if path.endswith(b"/otp/send"):
            return _SEND
        fields = parse_qs(body.decode())
        if path.endswith(b"/otp/verify"):
            return _YES if fields["otp"] == [HOSTED_CODE] else _NO
        if found := _CODE.search(fields["message"][0]):
            self._codes[fields["phone"][0]] = found[0]
        return _TEXT

    def _control(self, path: bytes, body: bytes) -> bytes:
        if path == b"/latency":
            self._latency = int(body) / 1000
        elif path == b"/codes":
            codes, self._codes = self._codes, {}
            return json.dumps(codes).encode()
        return b"{}"


async def main(port: int) -> None:
    """Serve until the process ends."""
    server = await asyncio.start_server(Provider().serve, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
