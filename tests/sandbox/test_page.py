"""The answers are the page's, byte for byte where nothing in them changes."""

import re

import pytest

from tests.sandbox.conftest import PHONE, Client

BAD_CREDENTIALS = (
    '{"code": "901", "status": "INVALID_CREDENTIALS", '
    '"description": "Identifiant de connexion incorrect"}'
)
BAD_SENDER = (
    '{"code": "902", "status": "INVALID_SENDER_ID", '
    '"description": "Le sender_id n\u2019existe pas"}'
)
BAD_PHONE = (
    '{"code": "903", "status": "INVALID_PHONE_NUMBER", '
    '"description": "Le format du numéro de téléphone est invalide"}'
)
OPERATIONS = ("check/balance", "text/single", "text/status", "otp/send", "otp/verify")


def test_balance_is_a_number_and_a_currency(client: Client) -> None:
    answer = client.post("check/balance")
    assert answer.data.decode() == (
        '{"code": 0, "message": "OPERATION_SUCCES", "data": {"amount": 25540, "currency": "XOF"}}'
    )
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")


def test_a_text_gets_a_lot_and_one_id_per_phone_in_order(client: Client) -> None:
    data = client.send_text("22509000001,22377000010,+2250709000001")["data"]
    assert list(data) == ["lot_id", "description", "message_id"]
    assert re.fullmatch(r"LOT-\d{8}-\d{7}", data["lot_id"])
    assert data["description"] == "Message envoyé avec succès"
    assert all(re.fullmatch(r"SM-\d{8}-\d{7}", message_id) for message_id in data["message_id"])
    phones = {item["message_id"]: item["phone"] for item in client.inbox()}
    assert [phones[message_id] for message_id in data["message_id"]] == [
        "22509000001",
        "22377000010",
        "2250709000001",
    ]


def test_otp_send_answers_an_id_and_a_description(client: Client) -> None:
    answer = client.send_otp()
    assert list(answer) == ["code", "message", "data"]
    assert (answer["code"], answer["message"]) == (0, "OPERATION_SUCCES")
    assert re.fullmatch(r"OTP-\d{8}-\d{7}", answer["data"]["message_id"])
    assert answer["data"]["description"] == "OTP envoyé avec succès"


def test_otp_verify_answers_success_and_another_id_than_send(client: Client) -> None:
    sent = client.send_otp()["data"]["message_id"]
    answer = client.verify(client.code())
    assert list(answer["data"]) == ["message_id", "status"]
    assert (answer["code"], answer["data"]["status"]) == (0, "success")
    assert re.fullmatch(r"OTP-\d{8}-\d{7}", answer["data"]["message_id"])
    assert answer["data"]["message_id"] != sent


def test_a_wrong_code_is_913_as_a_number_with_its_raw_description(client: Client) -> None:
    client.send_otp()
    wrong = "0000" if client.code() != "0000" else "1111"
    assert client.post("otp/verify", phone=PHONE, otp=wrong).data.decode() == (
        '{"code": 913, "message": "INVALID_OTP", "description": "vavasms.INVALID_OTP", "data": []}'
    )


@pytest.mark.parametrize("operation", ["text/single", "text/status", "otp/send", "otp/verify"])
@pytest.mark.parametrize(
    "wrong", [{"password": "nope"}, {"username": "nope@example.com"}, {"username": ""}]
)
def test_wrong_credentials_are_901_as_a_string_with_status(
    client: Client, operation: str, wrong: dict[str, str]
) -> None:
    answer = client.post(operation, sender_id="DEMO", phone=PHONE, message="x", **wrong)
    assert (answer.status, answer.data.decode()) == (200, BAD_CREDENTIALS)


def test_only_the_balance_says_901_as_a_number_with_message(client: Client) -> None:
    assert client.post("check/balance", password="nope").data.decode() == (
        '{"code": 901, "message": "INVALID_CREDENTIALS", '
        '"description": "Identifiant de connexion incorrect", "data": []}'
    )


@pytest.mark.parametrize(
    "sender_id", ["", "AB", "ABCDEFGHIJKL", "DE MO", "OTHER", "demo", "DEMO\n"]
)
@pytest.mark.parametrize("operation", ["text/single", "otp/send", "otp/verify"])
def test_a_sender_id_that_is_not_the_accounts_is_902(
    client: Client, operation: str, sender_id: str
) -> None:
    fields = {"phone": PHONE, "message": "##OTP##", "otp": "1234"}
    answer = client.post(operation, sender_id=sender_id, **fields)
    assert answer.data.decode() == BAD_SENDER


@pytest.mark.parametrize("operation", ["text/single", "otp/send"])
def test_no_sender_id_at_all_is_902(client: Client, operation: str) -> None:
    assert client.post(operation, phone=PHONE, message="x").data.decode() == BAD_SENDER


@pytest.mark.parametrize(
    "phone",
    [
        "",
        "+",
        "abc",
        "0709000001",
        "2250709",
        "2250709000001234",
        "225 0709000001",
        " 2250709000001",
        "+2250709000001\n",
        "++2250709000001",
        "00225070900001",
        "٢٢٥٠٧٠٩٠٠٠٠٠١",
    ],
)
@pytest.mark.parametrize("operation", ["text/single", "otp/send", "otp/verify"])
def test_what_is_no_international_number_is_903(client: Client, operation: str, phone: str) -> None:
    fields = {"phone": phone, "message": "##OTP##", "otp": "1234"}
    answer = client.post(operation, sender_id="DEMO", **fields)
    assert answer.data.decode() == BAD_PHONE


def test_one_bad_number_among_several_sends_nothing(client: Client) -> None:
    assert client.send_text("22509000001,nope,22377000010")["code"] == "903"
    assert client.inbox() == []
    assert client.balance() == 25540


def test_a_code_goes_to_one_number_only(client: Client) -> None:
    assert client.send_otp("22509000001,22377000010")["code"] == "903"
    assert client.inbox() == []


def test_the_status_of_a_message_is_asked_as_the_node_client_does(client: Client) -> None:
    data = client.send_text()["data"]
    expected = (
        f'{{"code": 0, "message": "OPERATION_SUCCES", "data": [{{"lot_id": "{data["lot_id"]}", '
        f'"message_id": "{data["message_id"][0]}", "status": "sent", "description": "Envoyé"}}]}}'
    )
    answer = client.post("text/single", message_id=data["message_id"][0])
    assert answer.data.decode() == expected
    lot = {"message_id": data["message_id"][0], "lot_id": data["lot_id"]}
    assert client.post("text/status", **lot).data.decode() == expected


@pytest.mark.parametrize("operation", ["text/single", "text/status"])
def test_a_message_nobody_sent_is_709_as_a_string_with_message(
    client: Client, operation: str
) -> None:
    expected = (
        '{"code": "709", "message": "EXECUTION_ERROR", '
        '"description": "Aucun envoi existe pour ce ID", "data": []}'
    )
    known = client.send_text()["data"]["message_id"][0]
    assert client.post(operation, message_id="SM-20190617-1").data.decode() == expected
    other_lot = client.post(operation, message_id=known, lot_id="LOT-20190617-1")
    assert other_lot.data.decode() == expected


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_are_post_only(client: Client, operation: str) -> None:
    assert client.request("GET", f"/api/v1/{operation}").status == 405


@pytest.mark.parametrize("path", ["/api,v1,text,single", "/api/v1/text", "/v1/otp/send"])
def test_there_is_nothing_beside_the_documented_paths(client: Client, path: str) -> None:
    assert client.request("POST", path).status == 404


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data"])
def test_a_body_that_is_not_a_form_has_no_credentials(client: Client, kind: str) -> None:
    body = '{"username": "demo@example.com", "password": "demo-password"}'
    answer = client.request(
        "POST", "/api/v1/check/balance", body=body, headers={"Content-Type": kind}
    )
    assert (answer.status, answer.json()["code"]) == (200, 901)


def test_credentials_in_the_address_do_not_count(client: Client) -> None:
    query = "?username=demo%40example.com&password=demo-password"
    assert client.request("POST", f"/api/v1/check/balance{query}").json()["code"] == 901
