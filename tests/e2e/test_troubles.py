"""What wakes somebody is called the same by the answer, the log, the metric and the runbook."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from tests.e2e.conftest import free_port
from tests.e2e.test_stopping import until
from tests.test_runbook import ENTRIES, server_errors

PHONE, OTHER = "+2250709000001", "+2250709000002"
PROBE = {"Authorization": "Bearer otps_probe-key"}  # of the app that may see /metrics


def send(service):
    return service.send(PHONE)


def send_while(fault):
    def trouble(service):
        service.fault("otp/send", fault)
        return service.send(PHONE)

    return trouble


def lose_the_answer_of_a_check(service):
    service.send(PHONE)
    service.fault("otp/verify", "reset_after")
    return service.confirm("000000", phone=PHONE)


def send_while_the_only_place_is_taken(service):
    service.fault("otp/send", "delay", delay_ms=1500)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(service.send, OTHER)
        until(lambda: service.calls("otp/send") == 1)
        return service.send(PHONE)


TROUBLES = {
    "provider_rejected": (send_while("901"), (), {}),
    "provider_unavailable": (send_while("http_503"), (), {}),
    "outcome_unknown": (lose_the_answer_of_a_check, (), {}),
    "sending_disabled": (send, (), {"sending": "off"}),
    "store_unavailable": (send, (), {"redis_url": f"redis://127.0.0.1:{free_port()}/0"}),
    "overloaded": (send_while_the_only_place_is_taken, ("--workers", "1", "--threads", "1"), {}),
}


def request_lines(service):
    lines = (json.loads(line) for line in service.log.read_text().splitlines())
    return {line["request_id"]: line for line in lines if line["event"] == "request"}


@pytest.mark.parametrize("code", TROUBLES)
def test_a_trouble_has_one_name_everywhere(run_service, code):
    provoke, options, changes = TROUBLES[code]
    with run_service(*options, **changes) as service:
        told = provoke(service)
        counted = urllib3.request("GET", f"{service.url}/metrics", headers=PROBE).data.decode()
        line = request_lines(service)[told.body["request_id"]]
    assert told.body["code"] == line["outcome"] == code
    assert told.status == line["status"] >= 500
    mine = f'otpservice_requests_total{{code="{code}",endpoint="{line["endpoint"]}"'
    assert [row.split()[-1] for row in counted.splitlines() if row.startswith(mine)] == ["1.0"]
    assert code in ENTRIES


def test_all_troubles_are_here_but_bugs():
    assert {*TROUBLES, "internal_error"} == {*server_errors()}
