"""What every route must do. A new one is an entry in ``ROUTES``: see docs/adding-a-route.md."""

import base64
import logging
import re
import socket
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from otpservice.routes.breaker import guarded
from otpservice.routes.vavasms_otp import VavasmsOtpRoute
from otpservice.routes.vavasms_text import VavasmsTextRoute
from otpservice.routes.webhook import HttpRoute
from otpservice.sandbox.faults import Fault
from otpservice.vavasms import VavasmsClient
from otpservice.verification import errors
from otpservice.verification.code import Code
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.routes import HostedRoute, OutgoingCode, Route
from tests.errors import chain
from tests.fake_provider import FakeProvider, after, answer, cut, drip, hang, reset
from tests.vavasms import replies as page

DOCS = Path(__file__).parents[2] / "docs" / "adding-a-route.md"
PASSWORD = "HUNTER_TWO"
SECRET = "whsec_" + base64.b64encode(PASSWORD.encode() * 4).decode()
PHONE, CODE, WORDS = "2250709000001", "012345", "Votre code secret"
SECRETS = (PASSWORD, SECRET, SECRET[6:], PHONE, PHONE[3:], CODE, WORDS)
ECHO = " ".join(SECRETS)
MESSAGE = OutgoingCode(
    id="ver_a3f9" + "0" * 32,
    owner=Owner("portal", "login"),
    phone=PhoneNumber(f"+{PHONE}"),
    sender_id="Portal",
    template=f"{WORDS} : ##OTP##",
    length=6,
    ttl=300,
    code=Code(CODE),
)


@dataclass(frozen=True)
class Making:
    """How a route is made for a test, by address and timeout, and how its provider says "sent"."""

    make: Callable[..., Route]
    sent: bytes
    message_id: str = ""
    hosted: bool = False
    reads_codes: bool = False


def account(url, timeout):
    return VavasmsClient(url=url, username="owner@example.com", password=PASSWORD, timeout=timeout)


def example_of_the_docs(url, timeout):
    """The route in docs/adding-a-route.md."""
    written = next(re.finditer(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL))
    namespace = {}
    exec(compile(written[1], DOCS.name, "exec"), namespace)
    return namespace["AcmeRoute"](url, PASSWORD, timeout=timeout)


ROUTES = {
    "vavasms-otp": Making(
        lambda url, timeout: VavasmsOtpRoute(account(url, timeout)),
        answer(page.OTP_SEND_OK),
        "OTP-20190621-2234509",
        hosted=True,
        reads_codes=True,
    ),
    "vavasms-text": Making(
        lambda url, timeout: VavasmsTextRoute(account(url, timeout)),
        answer(page.TEXT_OK),
        "SM-20190623-1217879",
        reads_codes=True,
    ),
    "http": Making(
        lambda url, timeout: HttpRoute(url, SECRET, timeout=timeout), answer("", "202 X")
    ),
    "acme": Making(example_of_the_docs, answer('{"message_id": "M-1"}'), "M-1"),
}
BY_STATUS = {name: making for name, making in ROUTES.items() if not making.reads_codes}
BY_CODE = {name: making for name, making in ROUTES.items() if making.reads_codes}


@pytest.fixture(params=ROUTES.values(), ids=ROUTES)
def making(request):
    return request.param


def outcome(making, reply, *, timeout=5.0):
    """What one send of ``MESSAGE`` comes to: what it returns, or the error's type.

    One request leaves, whatever the answer.
    """
    with FakeProvider(reply) as provider:
        route = making.make(provider.url, timeout)
        try:
            found = route.send(MESSAGE)
        except Exception as error:
            found = type(error)
        assert len(provider.requests) == 1
        return found


def leaks(text):
    return [secret for secret in SECRETS if secret in text]


def test_an_sms_the_provider_took_is_sent_once(making):
    assert outcome(making, making.sent) == making.message_id


def test_it_has_the_name_it_is_known_by_and_checks_only_if_it_is_hosted(making):
    route = making.make("http://127.0.0.1:1", 5)
    assert ROUTES[route.name] is making
    for kind in (route, guarded(route, failures=5, seconds=30)):
        assert isinstance(kind, HostedRoute) is hasattr(kind, "check") is making.hosted
        assert kind.name == route.name


def test_a_local_route_sends_our_code_and_a_hosted_one_does_not(making):
    with FakeProvider(making.sent) as provider:
        making.make(provider.url, 5).send(MESSAGE)
        body = provider.requests[0].body.decode()
    assert (CODE in body) is not making.hosted
    assert PHONE in body


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        *((answer("", f"{s} X"), errors.ProviderRejected) for s in (300, 302, 304, 307, 399)),
        *((answer("", f"{s} X"), errors.ProviderRejected) for s in (404, 405, 413)),
        *((answer("", f"{s} X"), errors.ProviderUnavailable) for s in (429, 503)),
        *((answer("", f"{s} X"), errors.OutcomeUnknown) for s in (400, 401, 403, 408, 418, 422)),
        *((answer("", f"{s} X"), errors.OutcomeUnknown) for s in (500, 502, 504, 599)),
        (b"HTTP/1.1 103 X\r\n\r\n", errors.OutcomeUnknown),
        (cut, errors.OutcomeUnknown),
        (reset, errors.OutcomeUnknown),
        (after(b"HTTP/1.1 404", cut), errors.OutcomeUnknown),
        (after(b"HTTP/1.1 503 X\r\nRetry-After: 1", cut), errors.OutcomeUnknown),
        (after(b"SSH-2.0-OpenSSH\r\n", cut), errors.OutcomeUnknown),
    ],
)
def test_an_answer_without_a_code_means(making, reply, meaning):
    assert outcome(making, reply) is meaning


@pytest.mark.parametrize("making", BY_CODE.values(), ids=BY_CODE)
@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        (page.OTP_SEND_901, errors.ProviderRejected),
        (page.OTP_SEND_902, errors.ProviderRejected),
        (page.OTP_SEND_903, errors.NumberRefused),
        (page.OTP_VERIFY_913, errors.ProviderRejected),
        ('{"code": 950}', errors.ProviderRejected),
        ('{"code": 950, "data": {"message_id": "SM-1"}}', errors.OutcomeUnknown),
        ('{"code": 0, "data": []}', errors.OutcomeUnknown),
        ("<html>", errors.OutcomeUnknown),
        ("", errors.OutcomeUnknown),
    ],
)
def test_a_2xx_with_a_code_or_without_one_means(making, body, meaning):
    assert outcome(making, answer(body)) is meaning


@pytest.mark.parametrize("making", BY_CODE.values(), ids=BY_CODE)
@pytest.mark.parametrize("status", ["400 X", "404 X", "500 X", "503 X"])
def test_a_readable_code_wins_over_the_status(making, status):
    assert outcome(making, answer(page.TEXT_903, status)) is errors.NumberRefused


@pytest.mark.parametrize("making", BY_STATUS.values(), ids=BY_STATUS)
@pytest.mark.parametrize(
    "reply",
    [
        answer("", "200 X"),
        b"HTTP/1.1 204 X\r\n\r\n",
        answer("<html>", "299 X"),
        answer("[" * 60_000),
        after(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n", cut),
        after(b"HTTP/1.1 200 X\r\nContent-Length: 99999999\r\n\r\n" + b" " * 999_999, cut),
    ],
)
def test_any_2xx_is_sent_whatever_follows_it(making, reply):
    assert outcome(making, reply) == ""


@pytest.mark.parametrize(
    "reply", [hang, drip(b"HTTP/1.1 200 X\r\n" * 9), drip(b"HTTP/1.1 100 X\r\n\r\n" * 9)]
)
def test_no_way_of_answering_slowly_outlasts_the_deadline(making, reply):
    started = time.monotonic()
    assert outcome(making, reply, timeout=0.3) is errors.OutcomeUnknown
    assert time.monotonic() - started < 1.5


def test_a_body_that_never_ends_does_not_outlast_the_deadline_either(making):
    started = time.monotonic()
    outcome(making, after(b"HTTP/1.1 200 X\r\n\r\n", drip(b" " * 99)), timeout=0.3)
    assert time.monotonic() - started < 1.5


def test_a_closed_port_means_surely_not_sent(making):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(errors.ProviderUnavailable):
        making.make(url, 5).send(MESSAGE)


def test_connecting_is_tried_twice_and_nothing_is_sent(making):
    # Hanging up before TLS begins is the one refusal a server can count.
    with FakeProvider(making.sent, before_request=cut) as provider:
        route = making.make(provider.url.replace("http:", "https:"), 2)
        with pytest.raises(errors.ProviderUnavailable):
            route.send(MESSAGE)
        assert (provider.connections, provider.requests) == (2, [])


@pytest.mark.parametrize("status", ["301 X", "302 X", "303 X", "307 X", "308 X"])
def test_where_a_redirect_points_nothing_arrives(making, status):
    with FakeProvider(making.sent) as other:
        redirect = answer("", status, f"Location: {other.url}\r\n")
        assert outcome(making, redirect) is errors.ProviderRejected
        assert (other.connections, other.requests) == (0, [])


@pytest.mark.parametrize("url", ["http://sms.example/send", "http://u:p@127.0.0.1/", "sms"])
def test_an_address_that_would_show_the_code_to_others_is_refused(making, url):
    with pytest.raises(ValueError, match="address"):
        making.make(url, 5)


HOSTILE = [
    hang,
    cut,
    after(f"HTTP/1.1 {ECHO}\r\n\r\n".encode(), cut),
    after(f"HTTP/1.1 500 {ECHO}\r\n{ECHO}\r\n\r\n".encode(), cut),
    after(f"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n{ECHO}\r\n".encode(), cut),
    answer(ECHO, "500 X", f"X-Echo: {ECHO}\r\n"),
    answer(ECHO, "302 X", f"Location: http://127.0.0.1:1/?{PASSWORD}{CODE}\r\n"),
    answer(f'{{"code": 901, "status": "{PASSWORD}", "message": "{ECHO}"}}', "403 X"),
]


@pytest.mark.parametrize("reply", HOSTILE)
def test_an_error_and_its_logs_hold_no_secret(making, reply, caplog):
    caplog.set_level(logging.DEBUG)
    with FakeProvider(reply) as provider:
        route = making.make(provider.url, 0.3)
        with pytest.raises(errors.ProviderError) as caught:
            route.send(MESSAGE)
    for error in chain(caught.value):
        assert not leaks(f"{error} {error!r} {error.args} {vars(error)}")
    assert not leaks("".join(traceback.format_exception(caught.value)))
    assert not leaks("\n".join(record.getMessage() for record in caplog.records))
    ours = [vars(record) for record in caplog.records if record.name.startswith("otpservice")]
    assert ours
    assert not leaks(f"{ours} {route!r}")


def test_a_route_is_shared_by_threads_and_each_sms_leaves_once(making):
    numbers = [f"+22507090000{n:02}" for n in range(40)]
    with FakeProvider(making.sent) as provider, ThreadPoolExecutor(8) as threads:
        route = making.make(provider.url, 5)
        messages = [MESSAGE._replace(phone=PhoneNumber(number)) for number in numbers]
        assert set(threads.map(route.send, messages)) == {making.message_id}
        seen = [re.search(r"22507090000[0-9]{2}", r.body.decode())[0] for r in provider.requests]
    assert sorted(f"+{number}" for number in seen) == numbers


def test_a_route_behind_an_open_breaker_asks_nothing(making):
    with FakeProvider(answer("", "503 X")) as provider:
        route = guarded(making.make(provider.url, 5), failures=2, seconds=30)
        for _ in range(5):
            with pytest.raises(errors.ProviderUnavailable):
                route.send(MESSAGE)
        assert len(provider.requests) == 2


@pytest.fixture
def sandbox(sandbox_server):
    sandbox_server.state.reset()
    yield sandbox_server.state
    sandbox_server.state.faults.clear()


@pytest.fixture
def client(sandbox_server):
    client = VavasmsClient(
        url=f"{sandbox_server.url}/api",
        username="demo@example.com",
        password="demo-password",
        timeout=0.5,
    )
    yield client
    client.close()


TO_THE_SANDBOX = MESSAGE._replace(sender_id="DEMO")


def test_a_text_arrives_in_the_sandbox_with_our_code_in_it(sandbox, client):
    message_id = VavasmsTextRoute(client).send(TO_THE_SANDBOX)
    (sms,) = sandbox.inbox(PHONE)
    assert (sms.message_id, sms.text) == (message_id, f"{WORDS} : {CODE}")
    assert (sms.kind, sms.sender_id, sms.phone) == ("text", "DEMO", PHONE)


def test_the_sandbox_makes_a_hosted_code_and_says_yes_to_it_once(sandbox, client):
    route = VavasmsOtpRoute(client)
    message_id = route.send(TO_THE_SANDBOX)
    (sms,) = sandbox.inbox(PHONE)
    assert (sms.message_id, sms.text) == (message_id, f"{WORDS} : {sms.code}")
    with pytest.raises(errors.CodeRefused):
        route.check(MESSAGE.phone, Code(f"{(int(sms.code) + 1) % 10**6:06}"))
    assert route.check(MESSAGE.phone, Code(sms.code)) is None
    with pytest.raises(errors.CodeRefused):
        route.check(MESSAGE.phone, Code(sms.code))


@pytest.mark.parametrize("make", [VavasmsOtpRoute, VavasmsTextRoute])
@pytest.mark.parametrize(
    ("fault", "meaning", "left"),
    [
        ("hang", errors.OutcomeUnknown, 0),
        ("hang_after", errors.OutcomeUnknown, 1),
        ("reset_after", errors.OutcomeUnknown, 1),
        ("drip", errors.OutcomeUnknown, 1),
        ("http_500_after", errors.OutcomeUnknown, 1),
        ("html", errors.OutcomeUnknown, 0),
        ("no_message_id", errors.OutcomeUnknown, 1),
        ("redirect", errors.ProviderRejected, 0),
        ("http_503", errors.ProviderUnavailable, 0),
        ("901", errors.ProviderRejected, 0),
        ("902", errors.ProviderRejected, 0),
        ("903", errors.NumberRefused, 0),
    ],
)
def test_a_fault_of_the_sandbox_means_for_a_send(sandbox, client, make, fault, meaning, left):
    wait = {"delay_ms": 1500} if fault.startswith("hang") else {}
    sandbox.faults.put(Fault.parse({"operation": "*", "fault": fault, **wait}))
    with pytest.raises(errors.ProviderError) as caught:
        make(client).send(TO_THE_SANDBOX)
    assert type(caught.value) is meaning
    assert len(sandbox.inbox(PHONE)) == left
    assert sum(sandbox.calls().values()) == 1
