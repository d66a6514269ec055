"""Limits are exact, and a code is worth one approval, however many ask at once."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest

from tests.e2e import test_service

PHONE = "+2250709000001"
ADDRESS = "192.0.2.1"
KEY = {"Idempotency-Key": "race-4711"}

# `make test-long` holds each race twenty times.
races = pytest.mark.parametrize(
    "turn", [0, *(pytest.param(turn, marks=pytest.mark.slow) for turn in range(1, 20))]
)


@pytest.fixture(scope="module")
def tight(run):
    """Quotas so far apart that a race about one never meets another."""
    limits = {
        "daily_send_budget": "50",
        "address_send_quota": "5/hour",
        "prefix_send_quota": "6/hour",
        "address_failure_quota": "7/hour",
    }
    with run(**limits) as service:
        yield service


@pytest.fixture(scope="module")
def by_text(run):
    """Codes of our own, and neither cooldown nor quota in the way."""
    open_quotas = {"phone_send_quota": "", "prefix_send_quota": "", "resend_after": "0"}
    with run(routes="vavasms-text", **open_quotas) as service:
        yield service


@pytest.fixture(scope="module")
def eager(run):
    """Hosted codes with neither cooldown nor quota in the way."""
    with run(phone_send_quota="", prefix_send_quota="", resend_after="0") as service:
        yield service


@pytest.fixture(autouse=True)
def nothing_yet(valkey, sandbox):
    sandbox.state.reset()


def all_at_once(*calls):
    with ThreadPoolExecutor(64) as pool:
        return list(pool.map(lambda call: call(), calls))


def outcomes(answers):
    return Counter(answer.body.get("code") or answer.status for answer in answers)


def phone(n):
    """The n-th number, each of another block of 1,000."""
    return f"+22507{n:05}000"


def wrong(code):
    return str((int(code) + 1) % 10 ** len(code)).zfill(len(code))


def code_in(sms):
    return re.search(r"\d{6}", sms["text"])[0]


@races
def test_the_days_budget_is_exact_over_all_phones(tight, turn):
    answers = all_at_once(*(lambda n=n: tight.send(phone(n)) for n in range(120)))
    assert outcomes(answers) == {201: 50, "budget_exhausted": 70}
    assert tight.calls("otp/send") == 50


@races
def test_an_addresss_quota_is_exact_over_all_phones(tight, turn):
    answers = all_at_once(*(lambda n=n: tight.send(phone(n), client_ip=ADDRESS) for n in range(40)))
    assert outcomes(answers) == {201: 5, "quota_exceeded": 35}
    assert tight.calls("otp/send") == 5


@races
def test_a_blocks_quota_is_exact_over_its_numbers(tight, turn):
    answers = all_at_once(*(lambda n=n: tight.send(f"+2250709000{n:03}") for n in range(40)))
    assert outcomes(answers) == {201: 6, "quota_exceeded": 34}
    assert tight.calls("otp/send") == 6


@races
def test_wrong_codes_of_an_address_are_exact_over_all_phones(tight, turn):
    numbers = [phone(n) for n in range(12)]
    sent = all_at_once(*(lambda number=number: tight.send(number) for number in numbers))
    guesses = [
        (answer.body["id"], wrong(sms_code(tight, n)))
        for answer, n in zip(sent, numbers, strict=True)
    ]
    answers = all_at_once(
        *(
            lambda id=id, code=code: tight.confirm(code, id=id, client_ip=ADDRESS)
            for id, code in guesses * 5
        )
    )
    assert outcomes(answers) == {"wrong_code": 7, "quota_exceeded": 53}
    assert tight.calls("otp/verify") == 7


def sms_code(service, number):
    return service.inbox(number)[0]["code"]


@races
def test_failures_of_all_verifications_lock_the_phone_exactly(by_text, turn):
    owners = [("portal", "login"), ("portal", "two-factor"), ("shop", "login")]
    asked = [by_text.call("POST", "/login-code", body(purpose), app) for app, purpose in owners]
    codes = {code_in(sms) for sms in by_text.inbox(PHONE)}
    guess = next(code for code in ("000000", "111111", "222222", "333333") if code not in codes)
    calls = [
        lambda app=app, id=answer.body["id"]: by_text.call(
            "POST", "/confirm", {"id": id, "code": guess}, app
        )
        for (app, _), answer in zip(owners, asked, strict=True)
    ]
    found = outcomes(all_at_once(*(calls * 30)))
    assert found["wrong_code"] == 10
    assert set(found) <= {"wrong_code", "phone_locked", "attempts_exhausted"}


def body(purpose):
    return {"phone": PHONE, "purpose": purpose}


@races
def test_fifty_right_codes_of_our_own_at_once_approve_once(by_text, turn):
    id = by_text.send(PHONE).body["id"]
    code = code_in(by_text.inbox(PHONE)[0])
    answers = all_at_once(*[lambda: by_text.confirm(code, id=id)] * 50)
    assert outcomes(answers) == {200: 1, "already_confirmed": 49}


@races
def test_of_two_apps_at_once_one_has_the_phones_hosted_code(tight, turn):
    calls = [
        lambda app=app: tight.call("POST", "/login-code", {"phone": PHONE}, app)
        for app in ("portal", "shop")
    ]
    found = outcomes(all_at_once(*(calls * 25)))
    assert found[201] == len(tight.inbox(PHONE)) == 1
    # Whoever is refused had a place in the block's quota for a moment.
    assert set(found) <= {201, "resend_too_soon", "purpose_conflict", "quota_exceeded"}


@races
def test_a_hundred_sends_with_one_key_are_one_sms(eager, turn):
    answers = all_at_once(
        *[lambda: eager.call("POST", "/login-code", {"phone": PHONE}, **KEY)] * 100
    )
    one_was_done(answers, 201)
    assert len(eager.inbox(PHONE)) == eager.calls("otp/send") == 1


@races
def test_a_hundred_confirms_with_one_key_are_one_guess(eager, turn):
    id = eager.send(PHONE).body["id"]
    right = {"id": id, "code": sms_code(eager, PHONE)}
    answers = all_at_once(*[lambda: eager.call("POST", "/confirm", right, **KEY)] * 100)
    one_was_done(answers, 200)
    assert eager.calls("otp/verify") == 1


def one_was_done(answers, status):
    """One call ran; all others were given its answer, or told that it still ran."""
    assert set(outcomes(answers)) <= {status, "idempotency_in_progress"}
    given = [answer for answer in answers if answer.status == status]
    done = [answer for answer in given if "Idempotency-Replayed" not in answer.headers]
    assert len(done) == 1
    assert len({answer.body["id"] for answer in given}) == 1


@races
def test_a_hundred_keys_do_not_make_a_second_approval(eager, turn):
    id = eager.send(PHONE).body["id"]
    right = {"id": id, "code": sms_code(eager, PHONE)}
    answers = all_at_once(
        *(
            lambda n=n: eager.call("POST", "/confirm", right, **{"Idempotency-Key": f"key-{n}"})
            for n in range(100)
        )
    )
    assert outcomes(answers)[200] == 1


@races
@pytest.mark.parametrize("name", ["eager", "by_text"])
def test_a_storm_of_sends_cancels_and_confirms_approves_each_at_most_once(name, request, turn):
    service = request.getfixturevalue(name)
    storm = Storm(service)
    answers = all_at_once(*chain(*[[storm.send, storm.confirm, storm.cancel, storm.confirm]] * 60))
    assert not [answer for answer in answers if answer.status >= 500]
    assert len(service.inbox(PHONE)) == len(storm.ids)
    approved = Counter(answer.body["id"] for answer in answers if answer.status == 200)
    assert set(approved.values()) <= {1}
    for id in storm.ids:
        held = service.call("GET", f"/verifications/{id}").body
        assert (held["status"] == "approved") == (id in approved)
        assert held["attempts_left"] >= 0


class Storm:
    """Everybody at one phone: each takes the newest id and the newest code there is."""

    def __init__(self, service):
        self.service = service
        self.ids = [service.send(PHONE).body["id"]]

    def send(self):
        answer = self.service.send(PHONE)
        if answer.status == 201:
            self.ids.append(answer.body["id"])
        return answer

    def confirm(self):
        sms = self.service.inbox(PHONE)[0]
        return self.service.confirm(sms.get("code") or code_in(sms), id=self.ids[-1])

    def cancel(self):
        return self.service.call("DELETE", f"/verifications/{self.ids[-1]}")


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(20))
@pytest.mark.parametrize(
    "race",
    [
        test_service.test_fifty_right_codes_at_once_approve_once,
        test_service.test_two_hundred_wrong_codes_at_once_are_asked_about_five_times,
        test_service.test_a_hundred_sends_at_once_are_one_sms,
    ],
)
def test_the_first_races_hold_twenty_times(service, race, turn):
    race(service)
