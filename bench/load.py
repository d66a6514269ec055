"""The callers: requests over kept connections, so many at once, each one timed."""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)

# Seconds: longer than any provider here is slow.
_PATIENCE = 30


@dataclass(slots=True)
class Load:
    """What callers saw.

    Attributes:
        seconds: from the first request to the last answer.
        latencies: of each request that was answered, in milliseconds, in the order of answers.
        answers: by request, its status and JSON body; ``(0, {})`` if none came.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def wrong(self, expected: int) -> Counter[str]:
        """Answers of another status, by status and code."""
        return Counter(
            f"{status} {body.get('code', '')}".strip()
            for status, body in self.answers
            if status != expected
        )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def request(method: str, path: str, body: object = None, key: str = "") -> bytes:
    """One HTTP request as bytes."""
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(data)}"]
    if key:
        lines += ["Content-Type: application/json", f"Authorization: Bearer {key}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


def run(port: int, requests: Sequence[bytes], in_flight: int) -> Load:
    """Make all ``requests``, ``in_flight`` of them at once on as many connections.

    The connections are open before the clock starts.
    """
    return asyncio.run(_run(port, requests, in_flight))


async def _run(port: int, requests: Sequence[bytes], in_flight: int) -> Load:
    load = Load(answers=[(0, {})] * len(requests))
    connections = [
        await asyncio.open_connection("127.0.0.1", port)
        for _ in range(min(in_flight, len(requests)))
    ]
    todo = iter(enumerate(requests))
    began = perf_counter()
    callers = (_caller(connection, todo, load) for connection in connections)
    await asyncio.gather(*callers)
    load.seconds = perf_counter() - began
    for _, writer in connections:
        writer.close()
    return load


async def _caller(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    todo: Iterator[tuple[int, bytes]],
    load: Load,
) -> None:
    for position, raw in todo:
        began = perf_counter()
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await _exchange(*connection, raw)
        except (TimeoutError, asyncio.IncompleteReadError, OSError):
            return  # the connection is of no more use; its request stays unanswered
        load.latencies.append((perf_counter() - began) * 1000)
        load.answers[position] = answer


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes
) -> tuple[int, dict[str, Any]]:
    writer.write(raw)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1])) if length else b""
    return int(head[9:12]), json.loads(body) if body else {}
