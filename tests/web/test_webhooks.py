"""The address for incoming SMS, as the provider sees it."""

import io
import logging
from urllib.parse import quote

import pytest
from fakeredis import FakeRedis

from otpservice.store.client import connect
from otpservice.telemetry.logs import JsonFormatter
from tests.web.conftest import PHONE
from tests.web.test_problems import check

TOKEN = "t" * 16 + "-._~" + "T" * 16
URL = f"/webhooks/vavasms/{TOKEN}"
SMS = {"message_id": "SM-1", "form": "2250709000001", "content": "Bonjour", "sms_date": "now"}
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def redis():
    return FakeRedis()


@pytest.fixture
def provider(make_client, redis):
    client = make_client(inbound_token=TOKEN, redis=redis)
    del client.environ_base["HTTP_AUTHORIZATION"]
    return client


def texts(redis):
    return [fields[b"text"].decode() for _, fields in redis.xrange("otp:{inbox}:texts")]


def opted_out(redis):
    return len(redis.keys("otp:*:o:*")) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"json": SMS},
        {"data": SMS},
        {"data": SMS, "content_type": "multipart/form-data"},
        {"json": SMS | {"network": {"mcc": 612}, "parts": [1], "urgent": None}},
        {"data": SMS | {"network": "orange"}},
        {"json": {"message_id": "SM-1", "from": 2250709000001, "content": "Bonjour"}},
    ],
)
def test_an_sms_is_taken_in_any_body_the_provider_may_send(provider, redis, body):
    answer = provider.post(URL, **body)
    assert (answer.status_code, answer.get_data()) == (204, b"")
    assert texts(redis) == ["Bonjour"]


@pytest.mark.parametrize("key", ["form", "from"])
def test_a_stop_opts_out_and_is_counted_once(provider, redis, key):
    stop = {"message_id": "SM-1", key: PHONE, "content": "stop"}
    assert [provider.post(URL, data=stop).status_code for _ in range(2)] == [204, 204]
    assert opted_out(redis)
    provider.post(URL, data={"message_id": "SM-2", key: PHONE, "content": "Oui"})
    assert not opted_out(redis)
    assert len(texts(redis)) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_an_accent_is_read_in_either_encoding(provider, redis, encoding):
    content = quote("ARRÊT".encode(encoding))
    data = f"message_id=SM-1&form=%2B2250709000001&content={content}"
    assert provider.post(URL, data=data, content_type=FORM).status_code == 204
    assert opted_out(redis)


@pytest.mark.parametrize("token", [TOKEN[:-1], TOKEN + "T", TOKEN.swapcase(), "é", "%00"])
def test_a_wrong_token_is_not_found_and_nothing_is_kept(provider, redis, token):
    check(provider.post(f"/webhooks/vavasms/{token}", data=SMS), 404, "not_found")
    assert redis.keys() == []


def test_without_a_token_in_the_settings_there_is_no_such_address(make_client):
    client = make_client()
    for token in ("None", "", TOKEN):
        check(client.post(f"/webhooks/vavasms/{token}", data=SMS), 404, "not_found")


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("192.0.2.200", 204),
        ("::ffff:192.0.2.200", 204),
        ("2001:db8::1", 204),
        ("192.0.3.1", 404),
        ("2001:db9::1", 404),
        ("", 404),
    ],
)
def test_with_a_list_of_addresses_others_find_nothing(make_client, redis, address, status):
    networks = "192.0.2.0/24, 2001:db8::/32"
    client = make_client(inbound_token=TOKEN, inbound_addresses=networks, redis=redis)
    forged = {"X-Forwarded-For": "192.0.2.200"}
    sent = client.post(URL, data=SMS, environ_base={"REMOTE_ADDR": address}, headers=forged)
    assert sent.status_code == status
    assert texts(redis) == (["Bonjour"] if status == 204 else [])


@pytest.mark.parametrize("missing", ["message_id", "form"])
def test_an_sms_without_id_or_sender_is_an_invalid_request(provider, redis, missing):
    body = {name: text for name, text in SMS.items() if name != missing}
    assert "message_id" in check(provider.post(URL, json=body), 400, "invalid_request")["detail"]
    assert redis.keys() == []


@pytest.mark.parametrize("data", ["{", "[1]", "7", "[" * 3000, '{"message_id": NaN}'])
def test_json_that_is_no_sms_is_an_invalid_request(provider, data):
    answer = provider.post(URL, data=data, content_type="application/json")
    check(answer, 400, "invalid_request")


def test_other_bodies_and_long_ones_are_refused(provider):
    check(provider.post(URL, data="STOP", content_type="text/plain"), 415, "unsupported_media_type")
    for kind in (FORM, "multipart/form-data"):
        long = provider.post(URL, data=SMS | {"content": "x" * 4096}, content_type=kind)
        check(long, 413, "payload_too_large")


def test_without_the_store_the_provider_is_told_to_come_again(make_client):
    client = make_client(inbound_token=TOKEN, redis=connect("redis://127.0.0.1:1/0"))
    check(client.post(URL, data=SMS), 503, "store_unavailable")


def test_a_code_sent_back_confirms_nothing(provider, send, confirm, make_client, redis):
    client = make_client(redis=redis)
    id = send(client=client).get_json()["id"]
    before = client.get(f"/verifications/{id}").get_json()
    provider.post(URL, data=SMS | {"content": "123456"})
    assert client.get(f"/verifications/{id}").get_json() == before
    assert texts(redis) == ["******"]


def test_the_token_is_in_no_log_line_and_no_answer(make_client, redis):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.getLogger().addHandler(handler)
    logging.getLogger("otpservice").setLevel(logging.DEBUG)
    try:
        client = make_client(inbound_token=TOKEN, redis=redis)
        away = make_client(inbound_token=TOKEN, redis=connect("redis://127.0.0.1:1/0"))
        answers = [client.post(URL, data=SMS), client.post(URL, json={}), away.post(URL, data=SMS)]
        answers += [client.get(URL), client.post(f"{URL}/x"), client.post(URL, data=b"x" * 5000)]
    finally:
        logging.getLogger().removeHandler(handler)
        logging.getLogger("otpservice").setLevel(logging.NOTSET)
    assert '"endpoint": "webhooks.incoming"' in stream.getvalue()
    assert TOKEN not in stream.getvalue()
    assert not any(TOKEN in f"{answer.headers}{answer.get_data()}" for answer in answers)


def test_the_log_tells_what_came_and_not_from_whom(provider, caplog):
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            provider.post(URL, data=SMS | {"content": "STOP"})
    lines = [record for record in caplog.records if record.message == "request"]
    assert [record.outcome for record in lines] == ["stop", "duplicate"]
    assert {record.phone_masked for record in lines} == {"+225********01"}
