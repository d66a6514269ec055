"""What the benchmark starts, all of it on loopback: servers, and callers' requests for them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from time import time

import urllib3
from redis import Redis

from bench import load
from bench.processes import Process, children, wait_until
from otpservice.demo.embedded import embedded_redis
from otpservice.store.client import connect
from otpservice.verification.digest import Digester

SECRET = b"the secret key of the benchmark in over 32 bytes"
KEYS = {"hosted": "otps_hosted-key-of-the-benchmark", "local": "otps_local-key-of-the-benchmark"}

_ROUTES = {"hosted": "vavasms-otp", "local": "vavasms-text"}
_STARTS_WITHIN = 20.0
_OPEN = "100000000"

# Every limit counts, none refuses.
_LIMITS = {
    "OTPSERVICE_PHONE_RATE_LIMIT": f"{_OPEN}/minute",
    "OTPSERVICE_APP_RATE_LIMIT": f"{_OPEN}/minute",
    "OTPSERVICE_ADDRESS_SEND_QUOTA": f"{_OPEN}/hour",
    "OTPSERVICE_ADDRESS_FAILURE_QUOTA": f"{_OPEN}/hour",
    "OTPSERVICE_PREFIX_SEND_QUOTA": f"{_OPEN}/hour",
}

# An established service's fortnight in one country; its budgets then exceed what is sent here.
_A_DAY = 10_000_000
_HOUR = 3600


class Stack:
    """Where everything is: a directory for files, the provider stub, and how to start the rest."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._logs = 0
        apps = directory / "apps.toml"
        apps.write_text("".join(_app(name) for name in KEYS))
        self._environment = {
            "OTPSERVICE_SECRET_KEY": SECRET.decode(),
            "OTPSERVICE_APPS_FILE": str(apps),
            "OTPSERVICE_VAVASMS_USERNAME": "bench@example.com",
            "OTPSERVICE_VAVASMS_PASSWORD": "bench-password",
            "OTPSERVICE_VAVASMS_SENDER_ID": "BENCH",
            **_LIMITS,
        }
        self.provider = free_port()

    def environment(self, redis_url: str) -> dict[str, str]:
        """The service's own."""
        url = f"http://127.0.0.1:{self.provider}/api"
        return self._environment | {
            "OTPSERVICE_REDIS_URL": redis_url,
            "OTPSERVICE_VAVASMS_URL": url,
        }

    @contextmanager
    def stub(self) -> Iterator[Process]:
        """The provider; at ``self.provider`` for all services."""
        with self._running(["-m", "bench.stub", str(self.provider)], {}) as process:
            wait_until(lambda: listens(self.provider), _STARTS_WITHIN, process)
            yield process

    @contextmanager
    def service(
        self, redis_url: str, *, workers: int = 1, requests: int = 500
    ) -> Iterator["Server"]:
        """The service, as ``otpservice serve`` starts it."""
        port = free_port()
        arguments = ["-m", "otpservice.cli", "serve", "--bind", f"127.0.0.1:{port}"]
        arguments += ["--workers", str(workers), "--requests", str(requests)]
        with self._running(arguments, self.environment(redis_url)) as process:
            server = Server(process, port)
            server.wait(workers)
            yield server

    @contextmanager
    def floor(self, redis_url: str) -> Iterator["Server"]:
        """The bare Flask app, one worker."""
        port = free_port()
        arguments = ["-m", "bench.floor", str(port), str(self.provider)]
        with self._running(arguments, self.environment(redis_url)) as process:
            server = Server(process, port)
            server.wait(1)
            yield server

    @contextmanager
    def _running(self, arguments: list[str], environment: dict[str, str]) -> Iterator[Process]:
        self._logs += 1
        process = Process(arguments, environment, self.directory / f"{self._logs}.log")
        try:
            yield process
        finally:
            process.stop()

    def set_latency(self, milliseconds: int) -> None:
        """Make the provider wait before each answer."""
        url = f"http://127.0.0.1:{self.provider}/latency"
        urllib3.request("PUT", url, body=str(milliseconds).encode())

    def texted_codes(self) -> dict[str, str]:
        """The codes texted since this was last asked, by the phone's digits."""
        answer = urllib3.request("GET", f"http://127.0.0.1:{self.provider}/codes")
        codes: dict[str, str] = answer.json()
        return codes


class Server:
    """A gunicorn with its workers."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.port = port

    @property
    def workers(self) -> list[int]:
        """The workers' process ids."""
        return children(self.process.pids[0])

    def wait(self, workers: int) -> float:
        """Wait until it answers HTTP in all its workers; returns the seconds that took."""
        seconds = wait_until(lambda: _answers(self.port), _STARTS_WITHIN, self.process)
        wait_until(lambda: len(self.workers) == workers, _STARTS_WITHIN, self.process)
        return seconds


@contextmanager
def valkey() -> Iterator[tuple[str, Redis]]:
    """An empty server that knows the country's last fortnight: its URL and a client."""
    with embedded_redis() as url, connect(url) as client:
        _remember_fortnight(client)
        yield url, client


def _remember_fortnight(client: Redis) -> None:
    """Write the country's last fortnight, which the pumping guard reads."""
    hour, digest = int(time()) // _HOUR, Digester([SECRET]).bucket("country", "CI")
    held = {f"d{hour // 24 - day}": _A_DAY for day in range(1, 15)}
    held |= {f"{kind}{hour - n}": _A_DAY // 24 for kind in "sc" for n in range(1, 25)}
    key = f"otp:{{{digest[:4]}}}:g:{digest[4:]}"
    client.hset(key, mapping={**held, "since": (hour - 15 * 24) * _HOUR * 1000})
    client.expire(key, 15 * 24 * _HOUR)


def process_of(client: Redis) -> int:
    """The server's process id."""
    return int(client.info("server")["process_id"])


def login(app: str, phone: str, address: str | None = None) -> bytes:
    """A request to /login-code; from an address of the phone's own unless one is given."""
    client_ip = {"client_ip": address_of(phone) if address is None else address}
    return load.request("POST", "/login-code", {"phone": phone, **client_ip}, KEYS[app])


def confirm(app: str, id: str, code: str, phone: str) -> bytes:
    """A request to /confirm."""
    body = {"id": id, "code": code, "client_ip": address_of(phone)}
    return load.request("POST", "/confirm", body, KEYS[app])


def address_of(phone: str) -> str:
    """An IPv4 address of the phone's own, in 10.0.0.0/8."""
    n = int(phone[-8:]) % 2**24
    return f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"


class Phones:
    """Unused Ivorian numbers, each in another block of 1,000 than the last."""

    def __init__(self, start: int = 0) -> None:
        self._next = start

    def take(self, count: int) -> list[str]:
        """The next ``count`` numbers, in E.164."""
        first, self._next = self._next, self._next + count
        return [phone(n) for n in range(first, self._next)]


def phone(n: int) -> str:
    """The ``n``-th number: 100,000 blocks of 1,000, one after another."""
    return f"+22507{n % 100_000:05}{n // 100_000:03}"


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether a server accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(port: int) -> bool:
    if not listens(port):
        return False
    try:
        # The floor has no such page, which is an answer as well.
        urllib3.request("GET", f"http://127.0.0.1:{port}/health/live", retries=False, timeout=2)
    except urllib3.exceptions.HTTPError:
        return False
    return True


def _app(name: str) -> str:
    digest = sha256(KEYS[name].encode()).hexdigest()
    return f'[apps.{name}]\nkey_sha256 = ["{digest}"]\nroutes = ["{_ROUTES[name]}"]\n'
