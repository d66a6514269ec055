"""Verifications with a hosted code and one of ours: a guess at both stays counted."""

import pytest

from otpservice.store.verifications import RedisStore
from otpservice.verification.code import Code
from otpservice.verification.digest import Digester
from otpservice.verification.errors import (
    AttemptsExhausted,
    OutcomeUnknown,
    ProviderUnavailable,
    StoreUnavailable,
)
from otpservice.verification.owner import Owner
from otpservice.verification.policy import Policy
from otpservice.verification.ports import SendRequest
from otpservice.verification.service import VerificationService
from tests.conftest import SECRET

OWNER = Owner("portal", "login")
BOTH = ("otp", "text")


class Hosted:
    """A provider that sends the first time, and is then out of reach."""

    name = "otp"
    sends = 1
    checks = 0

    def send(self, _message):
        if not self.sends:
            raise ProviderUnavailable
        self.sends -= 1
        return "OTP-1"

    def check(self, _phone, _code):
        self.checks += 1
        raise ProviderUnavailable


class Text:
    """Sends our codes; its answers are lost."""

    name = "text"
    code = None

    def send(self, message):
        self.code = message.code
        raise OutcomeUnknown


class ForgetfulStore(RedisStore):
    """A store that is away when the outcome of a send is to be written."""

    forgets_settling = False

    def settle_send(self, *args):
        if self.forgets_settling:
            raise StoreUnavailable
        super().settle_send(*args)


@pytest.fixture
def text():
    return Text()


@pytest.fixture
def store(redis):
    return ForgetfulStore(redis, Digester([SECRET]), Policy(resend_after=0))


@pytest.fixture
def service(store, text):
    return VerificationService(store, {"otp": Hosted(), "text": text}, Policy(resend_after=0))


def start(service, phone, routes=BOTH):
    how = {"sender_id": "A", "template": "##OTP##", "routes": routes}
    return service.start(SendRequest(OWNER, phone), **how).reservation.id


def wrong(code):
    return Code(f"{(int(code.digits) + 1) % 10**6:06}")


def guess_until_refused(service, id, code, kind):
    for _ in range(5):
        with pytest.raises(kind):
            service.check(OWNER, id, code)
    with pytest.raises(AttemptsExhausted):
        service.check(OWNER, id, code)


def test_a_guess_at_our_code_stays_counted_though_the_provider_is_out_of_reach(
    service, text, phone
):
    start(service, phone)
    id = start(service, phone)
    guess_until_refused(service, id, wrong(text.code), OutcomeUnknown)


def test_so_it_does_while_the_outcome_of_the_send_could_not_be_written(service, store, text, phone):
    start(service, phone)
    store.forgets_settling = True
    id = start(service, phone)
    guess_until_refused(service, id, wrong(text.code), OutcomeUnknown)


def test_a_guess_at_a_hosted_code_alone_is_given_back(service, phone):
    id = start(service, phone)
    for _ in range(9):
        with pytest.raises(ProviderUnavailable):
            service.check(OWNER, id, Code("123456"))
    assert service.status("portal", id).attempts_left == 5


def test_our_right_code_is_approved_though_the_provider_is_out_of_reach(service, text, phone):
    start(service, phone)
    id = start(service, phone)
    assert service.check(OWNER, id, text.code).id == id


def test_a_guess_that_was_held_up_before_the_provider_is_asked_is_not_asked(store, phone):
    hosted = Hosted()
    service = VerificationService(store, {"otp": hosted}, Policy(ask_within=0))
    id = start(service, phone, ("otp",))
    with pytest.raises(ProviderUnavailable):
        service.check(OWNER, id, Code("123456"))
    assert (hosted.checks, service.status("portal", id).attempts_left) == (0, 5)
