"""How codes are made, sent, checked and forgotten."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from otpservice.sandbox import Account, SandboxServer
from tests.sandbox.conftest import PHONE, Client


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def timed(clock: Clock) -> Iterator[Client]:
    with SandboxServer(clock=clock) as server:
        client = Client(server.url)
        yield client
        client.close()


def wrong(code: str) -> str:
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


def test_a_code_has_four_digits_in_the_default_text(client: Client) -> None:
    client.send_otp()
    message = client.inbox()[0]
    assert message["code"].isdigit()
    assert len(message["code"]) == 4
    assert message["text"] == f"Votre code OTP est : {message['code']}"


@pytest.mark.parametrize("length", range(4, 10))
def test_a_code_is_as_long_as_asked(client: Client, length: int) -> None:
    client.send_otp(otp_length=str(length))
    assert len(client.code()) == length
    assert client.verify(client.code())["code"] == 0


@pytest.mark.parametrize("field", ["otp_length", "otp_expiry"])
@pytest.mark.parametrize("value", ["0", "-5", "", "6.0", "six", "٦", " 6", "12345678901"])
def test_a_length_or_an_expiry_that_makes_no_sense_is_709(
    client: Client, field: str, value: str
) -> None:
    answer = client.send_otp(**{field: value})
    assert (answer["code"], answer["message"]) == ("709", "EXECUTION_ERROR")
    assert client.inbox() == []


@pytest.mark.parametrize("length", ["3", "10"])
def test_no_code_is_shorter_than_four_or_longer_than_nine(client: Client, length: str) -> None:
    assert client.send_otp(otp_length=length)["code"] == "709"


def test_a_text_without_a_place_for_the_code_is_709(client: Client) -> None:
    assert client.send_otp(message="Votre code")["code"] == "709"
    assert client.balance() == 25540


def test_every_place_is_filled_and_hashes_beside_one_stay(client: Client) -> None:
    client.send_otp(message="##OTP## @app.example ###OTP##")
    message = client.inbox()[0]
    assert message["text"] == f"{message['code']} @app.example #{message['code']}"


def test_codes_may_begin_with_zero_and_are_compared_as_text(client: Client) -> None:
    for _ in range(300):  # none begins with 0 in one of 10^13 runs
        client.send_otp()
        code = client.inbox()[0]["code"]
        if code.startswith("0"):
            break
    assert client.verify(code.removeprefix("0"))["code"] == 913
    assert client.verify(code)["code"] == 0


def test_a_code_works_once(client: Client) -> None:
    client.send_otp()
    code = client.code()
    assert client.verify(code)["code"] == 0
    assert client.verify(code)["message"] == "OTP_NOT_FOUND"


def test_a_newer_code_replaces_the_older(client: Client) -> None:
    client.send_otp(otp_length="9")
    older = client.code()
    client.send_otp(otp_length="9")
    assert client.verify(older)["message"] == "INVALID_OTP"
    assert client.verify(client.code())["code"] == 0


def test_any_number_of_wrong_guesses_leaves_the_code_good(client: Client) -> None:
    client.send_otp()
    code = client.code()
    assert {client.verify(wrong(code))["code"] for _ in range(30)} == {913}
    assert client.verify(code)["code"] == 0


def test_a_plus_makes_no_other_phone(client: Client) -> None:
    client.send_otp(f"+{PHONE}")
    assert client.inbox()[0]["phone"] == PHONE
    assert client.verify(client.code(), PHONE)["code"] == 0
    client.send_otp(PHONE)
    assert client.verify(client.code(), f"+{PHONE}")["code"] == 0


def test_codes_of_two_phones_do_not_mix(client: Client) -> None:
    client.send_otp(otp_length="9")
    client.send_otp("22377000010", otp_length="9")
    assert client.verify(client.code("22377000010"))["code"] == 913
    assert client.verify(client.code())["code"] == 0


def test_a_phone_without_a_code_is_not_found_by_name(client: Client) -> None:
    answer = client.verify("1234")
    assert answer["message"] == "OTP_NOT_FOUND"
    assert answer["code"] not in (0, 913)


@pytest.mark.parametrize(("minutes", "fields"), [(60, {}), (2, {"otp_expiry": "2"})])
def test_a_right_code_is_good_until_its_last_second_and_then_expired(
    timed: Client, clock: Clock, minutes: int, fields: dict[str, str]
) -> None:
    timed.send_otp(**fields)
    clock.now += minutes * 60
    late = timed.verify(timed.code())
    assert (late["message"], late["data"]) == ("EXPIRED_OTP", [])
    assert late["code"] not in (0, 913)
    clock.now -= 1
    assert timed.verify(timed.code())["code"] == 0


def test_a_wrong_code_is_wrong_however_late(timed: Client, clock: Clock) -> None:
    timed.send_otp()
    clock.now += 7200
    assert timed.verify(wrong(timed.code()))["message"] == "INVALID_OTP"


def test_of_fifty_simultaneous_checks_one_succeeds(client: Client) -> None:
    client.send_otp()
    code = client.code()
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(client.verify, [code] * 50))
    assert [answer["code"] for answer in answers].count(0) == 1
    assert client.calls()["otp/verify"] == 50


def test_a_hundred_simultaneous_sends_are_all_kept_and_paid(client: Client) -> None:
    phones = [f"22507090{number:05}" for number in range(100)]
    with ThreadPoolExecutor(100) as pool:
        ids = {a["data"]["message_id"] for a in pool.map(client.send_otp, phones)}
    assert len(ids) == 100
    assert {item["phone"] for item in client.inbox()} == set(phones)
    assert client.balance() == 25540 - 100 * 20
    assert client.calls()["otp/send"] == 100


def test_simultaneous_sends_never_overdraw() -> None:
    with SandboxServer(account=Account(balance=205)) as server:
        client = Client(server.url)
        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(client.send_otp, [PHONE] * 40))
        assert [answer["code"] for answer in answers].count(0) == 10
        assert (client.balance(), len(client.inbox())) == (5, 10)
        client.close()


def test_a_send_nobody_can_pay_says_so_and_leaves_the_earlier_code() -> None:
    with SandboxServer(account=Account(balance=20)) as server:
        client = Client(server.url)
        client.send_otp()
        code = client.code()
        assert client.send_otp()["status"] == "INSUFFICIENT_BALANCE"
        assert client.send_text("22509000001,22377000010")["code"] == "402"
        assert client.verify(code)["code"] == 0
        client.close()
