"""Nothing is lost when the service stops, starts anew, or loses a worker, under load."""

import http.client
import json
import os
import shutil
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import KEYS
from tests.e2e.conftest import COMMANDS, ROOT

PHONE = "+2250709000001"
CALLERS = 12
PHONES = (f"+22507{n % 100_000:05}{n // 100_000:03}" for n in count(1))

# What one needs to ask for hundreds of SMS; and a drain that a test can wait for.
OPEN = {
    "prefix_send_quota": "",
    "pumping_guard": "off",
    "breaker_failures": "0",
    "drain_seconds": "1",
}


BOTH = ["otpservice serve", pytest.param("gunicorn", marks=pytest.mark.slow)]


class Load:
    """Callers of one service, each with a phone of its own for each call.

    Every second caller opens a connection for each request; the others keep theirs open for as
    long as the service wants to.
    """

    def __init__(self, service):
        self.at = urlsplit(service.url).netloc
        self.answers, self.broken, self._over = [], [], Event()
        self._threads = [Thread(target=self._call, args=(n % 2 == 0,)) for n in range(CALLERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def outcomes(self):
        return Counter(body.get("code", status) for status, body in self.answers)

    def until(self, answers):
        end, wanted = time.monotonic() + 20, len(self.answers) + answers
        while len(self.answers) < wanted:
            assert time.monotonic() < end
            time.sleep(0.01)

    def _call(self, keeps_alive):
        connection = http.client.HTTPConnection(self.at, timeout=20)
        # Where nothing could be sent nothing is lost: the load balancer takes another.
        with closing(connection), suppress(ConnectionError):
            while not self._over.is_set():
                if connection.sock is None:
                    connection.connect()
                self._log_in(connection, next(PHONES))
                if not keeps_alive:
                    connection.close()

    def _log_in(self, connection, phone):
        try:
            self.answers.append(self._send(connection, phone))
        except (OSError, http.client.HTTPException) as error:
            self.broken.append((phone, error))
            connection.close()

    def _send(self, connection, phone):
        headers = {"Authorization": f"Bearer {KEYS['portal']}", "Content-Type": "application/json"}
        body = json.dumps({"phone": phone})
        connection.request("POST", "/login-code", body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def ready(service):
    """What a load balancer sees: the status, ``refused``, or ``broken``."""
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=5)
    try:
        connection.connect()
    except ConnectionError:
        return "refused"
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return "broken"
    finally:
        connection.close()


def watched(service, until):
    """What the load balancer sees, one after another, repeats left out."""
    seen = [ready(service)]
    while seen[-1] != until:
        time.sleep(0.02)
        if (now := ready(service)) != seen[-1]:
            seen.append(now)
    return seen


def workers(service):
    pid = service.process.pid
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def counted(service):
    """SMS with codes, as all workers together counted them."""
    headers = {"Authorization": "Bearer otps_probe-key"}
    text = urllib3.request("GET", f"{service.url}/metrics", headers=headers).data.decode()
    families = text_string_to_metric_families(text)
    return sum(s.value for f in families for s in f.samples if s.name == "otpservice_sends_total")


def waiting(service):
    """Connections that the system has taken and no worker has."""
    port, listening = f":{urlsplit(service.url).port:04X}", "0A"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    queues = [row[4] for row in rows if row[1].endswith(port) and row[3] == listening]
    return sum(int(queue.split(":")[1], 16) for queue in queues)


def until(holds):
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("command", BOTH)
def test_a_stop_under_load_is_told_first_and_drops_nothing(run_service, command):
    with run_service(command=command, **OPEN) as service, ThreadPoolExecutor(1) as pool:
        service.fault("otp/send", "delay", delay_ms=200, times=None)
        with Load(service) as load:
            load.until(answers=2 * CALLERS)
            seen = pool.submit(watched, service, "refused")
            service.close()  # a connection kept open costs two seconds
            service.process.terminate()
            began = time.monotonic()
            assert seen.result() in ([200, 503, "refused"], [503, "refused"])
            assert time.monotonic() - began > float(OPEN["drain_seconds"])
            assert service.process.wait(20) == 0
        assert load.broken == []
        assert load.outcomes == {201: service.calls("otp/send")}


@pytest.mark.slow
def test_a_stop_that_all_processes_are_told_at_once_drops_nothing_either(run_service):
    with run_service(**OPEN) as service:
        service.fault("otp/send", "delay", delay_ms=200, times=None)
        with Load(service) as load:
            load.until(answers=2 * CALLERS)
            service.close()
            for pid in (*workers(service), service.process.pid, *workers(service)):
                os.kill(pid, signal.SIGTERM)
                time.sleep(0.02)
            assert service.process.wait(20) == 0
        assert load.broken == []
        assert load.outcomes == {201: service.calls("otp/send")}


@pytest.mark.slow
def test_a_worker_more_and_one_less_under_load_go_unnoticed(run_service):
    with run_service(**OPEN) as service:
        service.fault("otp/send", "delay", delay_ms=100, times=None)
        with Load(service) as load:
            for number, wanted in ((signal.SIGTTIN, 3), (signal.SIGTTOU, 2)):
                service.close()
                service.process.send_signal(number)
                until(lambda wanted=wanted: len(workers(service)) == wanted)
                load.until(answers=CALLERS)
        assert load.broken == []
        assert load.outcomes == {201: service.calls("otp/send")}


def test_a_connection_that_nobody_had_accepted_is_answered_before_the_end(run_service):
    with run_service("--threads", "1", "--workers", "1", **OPEN) as service:
        service.fault("otp/send", "delay", delay_ms=1500, times=None)
        service.close()
        (worker,) = workers(service)
        os.kill(worker, signal.SIGSTOP)  # the system goes on to take connections for it
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(service.send, next(PHONES)) for _ in range(8)]
            until(lambda: waiting(service) >= 8)
            service.process.terminate()
            time.sleep(0.3)
            os.kill(worker, signal.SIGCONT)
            answers = [call.result() for call in calls]
        outcomes = Counter(answer.body.get("code", answer.status) for answer in answers)
        assert outcomes == {201: 1, "overloaded": 7}
        assert {answer.headers["Connection"] for answer in answers} == {"close"}


def test_a_crowd_that_waits_when_the_listener_closes_is_answered(run_service):
    with run_service("--workers", "1", drain_seconds="0") as service, ExitStack() as stack:
        service.close()
        (worker,) = workers(service)
        os.kill(worker, signal.SIGSTOP)
        at = urlsplit(service.url)
        callers = [
            stack.enter_context(socket.create_connection((at.hostname, at.port), timeout=20))
            for _ in range(500)
        ]
        for caller in callers:
            caller.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        service.process.terminate()
        time.sleep(0.3)
        os.kill(worker, signal.SIGCONT)
        assert {caller.recv(12) for caller in callers} == {b"HTTP/1.1 200"}


HURRIES = [
    pytest.param([signal.SIGINT], id="Ctrl-C", marks=pytest.mark.slow),
    pytest.param([signal.SIGTERM, signal.SIGTERM], id="SIGTERM twice"),
    pytest.param([signal.SIGTERM, signal.SIGINT], id="then Ctrl-C", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("numbers", HURRIES)
def test_who_is_in_a_hurry_need_not_wait_for_the_provider(run_service, numbers):
    settings = {**OPEN, "provider_timeout": "30", "drain_seconds": "60"}
    with run_service(**settings) as service, ThreadPoolExecutor(1) as pool:
        service.fault("otp/send", "hang")
        pool.submit(service.send, next(PHONES))
        until(lambda: service.calls("otp/send") == 1)
        for number in numbers:
            service.process.send_signal(number)
            time.sleep(0.6)  # a second one within half a second is taken for the first
        assert service.process.wait(10) == 0


def test_a_worker_killed_under_load_is_replaced_and_costs_no_second_sms(run_service):
    with run_service(**OPEN, resend_after="600") as service:
        service.fault("otp/send", "delay", delay_ms=200, times=None)
        before = workers(service)
        with Load(service) as load:
            load.until(answers=CALLERS)
            os.kill(min(before), signal.SIGKILL)
            until(lambda: len(workers(service) - before) == 1)
            load.until(answers=2 * CALLERS)
        assert load.outcomes.keys() == {201}
        assert 0 < len(load.broken) <= CALLERS
        for phone, _ in load.broken:
            service.send(phone)
            assert len(service.inbox(phone)) <= 1


@pytest.mark.slow
def test_guesses_stay_counted_when_the_worker_that_counted_them_is_killed(run_service):
    with run_service(**OPEN) as service, ThreadPoolExecutor(16) as pool:
        id = service.send(PHONE).body["id"]
        wrong = str(int(service.inbox(PHONE)[0]["code"]) ^ 1).zfill(6)
        service.fault("otp/verify", "delay", delay_ms=500, times=None)
        guesses = [pool.submit(service.confirm, wrong, id=id) for _ in range(16)]
        until(lambda: service.calls("otp/verify") == 5)
        os.kill(min(workers(service)), signal.SIGKILL)
        outcomes = Counter(
            "cut" if call.exception() else call.result().body["code"] for call in guesses
        )
        assert outcomes["wrong_code"] <= 5
        assert outcomes["attempts_exhausted"] > 0
        assert service.confirm(wrong, id=id).body["code"] == "attempts_exhausted"
        assert service.calls("otp/verify") == 5


def test_another_version_takes_over_under_load_and_nobody_notices(run_service, valkey, tmp_path):
    shutil.copytree(ROOT / "otpservice", tmp_path / "otpservice")
    with (tmp_path / "otpservice/store/lua/lib/base.lua").open("a") as common:
        common.write("-- the next version\n")  # scripts go by their hash: these are all new ones
    with run_service(**OPEN) as old, run_service(directory=tmp_path, **OPEN) as new:
        old.fault("otp/send", "delay", delay_ms=100, times=None)
        with Load(old) as leaving, Load(new) as coming:
            coming.until(answers=CALLERS)
            valkey.script_flush()
            started = old.send(PHONE).body["id"]
            old.close()
            old.process.terminate()
            code = new.inbox(PHONE)[0]["code"]
            assert new.confirm(code, id=started).status == 200
            assert old.process.wait(20) == 0
            coming.until(answers=CALLERS)
        assert leaving.broken == coming.broken == []
        sent = leaving.outcomes[201] + coming.outcomes[201] + 1
        assert sent == len(leaving.answers) + len(coming.answers) + 1 == new.calls("otp/send")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_reload_replaces_the_workers_under_load_and_nobody_notices(run_service, command):
    with run_service(command=command, **OPEN) as service:
        service.fault("otp/send", "delay", delay_ms=100, times=None)
        before = workers(service)
        with Load(service) as load:
            load.until(answers=CALLERS)
            service.close()
            service.process.send_signal(signal.SIGHUP)
            until(lambda: ready(service) == 200 and not before & workers(service))
            load.until(answers=CALLERS)
        assert len(workers(service)) == 2
        assert load.broken == []
        assert load.outcomes == {201: service.calls("otp/send")}
        assert counted(service) == len(load.answers)
