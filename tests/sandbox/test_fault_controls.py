"""Turning faults on and off."""

import pytest

from tests.sandbox.conftest import PHONE, Client

SEND = {"sender_id": "DEMO", "phone": PHONE}


def test_a_fault_spoils_as_many_calls_as_asked(client: Client) -> None:
    client.put_fault("http_503", times=2)
    assert [client.post("otp/send", **SEND).status for _ in range(3)] == [503, 503, 200]
    assert client.request("GET", "/faults").json() == []


def test_a_fault_spoils_one_call_by_default_and_others_not_at_all(client: Client) -> None:
    client.put_fault("http_503")
    assert client.post("check/balance").status == 200
    assert [client.post("otp/send", **SEND).status for _ in range(2)] == [503, 200]


def test_a_fault_without_an_end_lasts_until_it_is_removed(client: Client) -> None:
    client.put_fault("http_503", times=None)
    assert {client.post("otp/send", **SEND).status for _ in range(5)} == {503}
    assert client.request("DELETE", "/faults").status == 204
    assert client.post("otp/send", **SEND).status == 200


def test_an_operations_own_fault_goes_before_that_of_all(client: Client) -> None:
    client.put_fault("http_503", "*", times=2)
    client.put_fault("http_502", "otp/send")
    assert [client.post("otp/send", **SEND).status for _ in range(2)] == [502, 503]
    assert client.post("check/balance").status == 503


def test_a_second_fault_takes_the_place_of_the_first(client: Client) -> None:
    client.put_fault("http_503", times=5)
    client.put_fault("http_502")
    assert [client.post("otp/send", **SEND).status for _ in range(2)] == [502, 200]


def test_the_list_shows_what_is_on_and_how_often_still(client: Client) -> None:
    client.put_fault("drip", times=3, delay_ms=0)
    client.put_fault(901, "check/balance", times=None)
    client.send_otp()
    assert client.request("GET", "/faults").json() == [
        {
            "operation": "otp/send",
            "fault": "drip",
            "times": 2,
            "delay_ms": 0,
            "http_status": 200,
        },
        {
            "operation": "check/balance",
            "fault": 901,
            "times": None,
            "delay_ms": None,
            "http_status": 200,
        },
    ]


def test_one_operations_fault_can_be_removed_alone(client: Client) -> None:
    client.put_fault("http_503", "otp/send")
    client.put_fault("http_503", "otp/verify")
    assert client.request("DELETE", "/faults?operation=otp/send").status == 204
    assert [f["operation"] for f in client.request("GET", "/faults").json()] == ["otp/verify"]
    assert client.request("DELETE", "/faults?operation=nope").status == 400


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("nope", "object"),
        ("[]", "object"),
        ('{"fault": "hang"}', "operation"),
        ('{"operation": "otp/sent", "fault": "hang"}', "operation"),
        ('{"operation": "otp/send"}', "fault"),
        ('{"operation": "otp/send", "fault": "explode"}', "fault"),
        ('{"operation": "otp/send", "fault": "http_200"}', "fault"),
        ('{"operation": "otp/send", "fault": "http_600"}', "fault"),
        ('{"operation": "otp/send", "fault": true}', "fault"),
        ('{"operation": "otp/send", "fault": -1}', "fault"),
        ('{"operation": "otp/send", "fault": ["hang"]}', "fault"),
        ('{"operation": "otp/send", "fault": "hang", "times": 0}', "times"),
        ('{"operation": "otp/send", "fault": "hang", "times": "2"}', "times"),
        ('{"operation": "otp/send", "fault": "hang", "times": true}', "times"),
        ('{"operation": "otp/send", "fault": "hang", "delay_ms": -1}', "delay_ms"),
        ('{"operation": "otp/send", "fault": "901", "http_status": 99}', "http_status"),
        ('{"operation": "otp/send", "fault": "hang", "delay": 5}', "delay"),
    ],
)
def test_a_fault_nobody_knows_is_refused_with_a_reason(
    client: Client, body: str, word: str
) -> None:
    answer = client.request("PUT", "/faults", body=body)
    assert answer.status == 400
    assert word in answer.json()["error"]
    assert client.request("GET", "/faults").json() == []
