"""A load balancer's probe, in a process of its own so that the callers do not slow it.

``python -m bench.probe PORT`` asks for /health/live and /health/ready in turn, each over a new
connection, twenty times a second, until its input ends; then prints the milliseconds as JSON, with
-1 for a probe that failed.
"""

import http.client
import json
import select
import sys
import time

_PATHS = ("/health/live", "/health/ready")
_OK = 200


def _probe(port: int, path: str) -> float:
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        well = connection.getresponse().status == _OK
    except OSError:
        well = False
    finally:
        connection.close()
    return (time.perf_counter() - began) * 1000 if well else -1.0


def main(port: int) -> None:
    """Probe until standard input is closed."""
    seen: dict[str, list[float]] = {path: [] for path in _PATHS}
    turn = 0
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        path = _PATHS[turn % len(_PATHS)]
        seen[path].append(_probe(port, path))
        turn += 1
    print(json.dumps(seen))


if __name__ == "__main__":
    main(int(sys.argv[1]))
