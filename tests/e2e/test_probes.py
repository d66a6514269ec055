"""Whoever asks how the service is gets an answer, however busy it is."""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.test_stopping import OPEN, PHONES, until

PLACES = 8


def test_probes_answer_while_every_place_waits_for_a_slow_provider(run_service):
    with (
        run_service(
            "--workers", "1", "--threads", str(PLACES), **OPEN, log_level="WARNING"
        ) as service,
        ThreadPoolExecutor(PLACES) as pool,
    ):
        service.fault("otp/send", "delay", delay_ms=2500, times=None)
        waiting = [pool.submit(service.send, next(PHONES)) for _ in range(PLACES)]
        until(lambda: service.calls("otp/send") == PLACES)
        began = time.monotonic()
        for _ in range(20):
            assert service.call("GET", "/health/live").status == 200
            assert service.call("GET", "/health/ready").status == 200
        assert time.monotonic() - began < 2
        refused = service.send(next(PHONES))
        assert (refused.status, refused.body["code"]) == (503, "overloaded")
        assert refused.headers["Retry-After"] == "1"
        assert not any(call.done() for call in waiting)
        assert {call.result().status for call in waiting} == {201}
        assert '"INFO"' not in service.log.read_text()  # gunicorn's lines are none either
