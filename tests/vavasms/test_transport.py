"""Deadlines, lost answers, retries and kept connections, over real sockets."""

import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from otpservice import vavasms
from tests.fake_provider import FakeProvider, after, answer, cut, drip, hang, reset
from tests.vavasms import replies as page
from tests.vavasms.test_page import balance, check, send

YES = answer(page.OTP_VERIFY_OK)
HEAD, _, BODY = YES.partition(b"\r\n\r\n")
HEAD += b"\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


def fails(operation, reply, **options):
    """The error an operation ends in and the seconds it took; the request is never repeated."""
    with FakeProvider(reply) as provider:
        client = provider.client(**options)
        started = time.monotonic()
        with pytest.raises(vavasms.VavasmsError) as caught:
            operation(client)
        seconds = time.monotonic() - started
        client.close()
        assert len(provider.requests) == 1
        return caught.value, seconds


@pytest.mark.parametrize(
    "reply",
    [
        drip(YES),
        after(HEAD[:12], drip(HEAD[12:])),
        after(HEAD, drip(BODY)),
        after(CHUNKED, drip(b"1\r\n{\r\n" * 50)),
        after(UNTIL_CLOSED, drip(b" " * 500)),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 20),
        hang,
        after(HEAD, hang),
    ],
)
def test_no_way_of_answering_slowly_outlasts_the_deadline(reply):
    error, seconds = fails(check, reply, timeout=0.4)
    assert type(error) is vavasms.OutcomeUnknown
    assert 0.3 < seconds < 1.5


def test_a_sign_of_life_buys_no_time():
    def stop_after_a_while(sock):
        time.sleep(0.9)
        after(HEAD, hang)(sock)

    error, seconds = fails(check, stop_after_a_while, timeout=1)
    assert type(error) is vavasms.OutcomeUnknown
    assert seconds < 1.6  # and not 1.9


@pytest.mark.parametrize("operation", [send, check])
@pytest.mark.parametrize(
    "reply",
    [
        cut,
        reset,
        after(HEAD[:-9], cut),
        after(HEAD[:-2], cut),
        after(b"HTTP/1.1 503 X\r\nRetry-After: 1", cut),
        after(b"HTTP/1.1 404", cut),
        after(HEAD.replace(b"\r\n", b"\r\nnot a header\r\n", 1) + BODY, cut),
        after(HEAD + BODY[:20], cut),
        after(HEAD + BODY[:20], reset),
        after(HEAD.replace(b"Length: ", b"Length: 9") + BODY, cut),
        after(CHUNKED + b"400\r\n" + BODY, cut),
        after(CHUNKED + b"zz\r\n" + BODY, cut),
        after(b"SSH-2.0-OpenSSH\r\n", cut),
        after(b"HTTP/1.1 abc OK\r\n\r\n" + BODY, cut),
        after(b"\x00" * 100, cut),
    ],
)
def test_an_answer_that_does_not_come_whole_leaves_the_outcome_unknown(operation, reply):
    error, _ = fails(operation, reply, timeout=5)
    assert type(error) is vavasms.OutcomeUnknown
    assert error.http_status is None


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n",
        CHUNKED + b"FFFFFFFFFFFF\r\n",
        UNTIL_CLOSED,
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
    ],
)
def test_an_endless_answer_is_given_up_soon_after_64_kib(start):
    error, seconds = fails(
        check, after(start, lambda sock: sock.sendall(b" " * 5_000_000)), timeout=5
    )
    assert type(error) is vavasms.OutcomeUnknown
    assert seconds < 4


def test_a_closed_port_means_surely_not_sent():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
    client = vavasms.VavasmsClient(url=url, username="u", password="p")
    with pytest.raises(vavasms.Unavailable):
        send(client)


def test_a_host_that_swallows_packets_means_surely_not_sent_in_time():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address):  # the one place in its queue
            client = vavasms.VavasmsClient(
                url=f"http://127.0.0.1:{address[1]}", username="u", password="p", timeout=0.5
            )
            started = time.monotonic()
            with pytest.raises(vavasms.Unavailable):
                send(client)
            assert time.monotonic() - started < 2


def test_connecting_is_tried_twice_and_no_more():
    # Hanging up before TLS begins is the one refusal a server can count.
    with FakeProvider(YES, before_request=cut) as provider:
        client = provider.client(url=provider.url.replace("http:", "https:"), timeout=1)
        with pytest.raises(vavasms.Unavailable):
            send(client)
        assert (provider.connections, provider.requests) == (2, [])


@pytest.mark.parametrize("status", ["301 X", "302 X", "303 X", "307 X", "308 X"])
def test_a_redirect_is_not_followed(status):
    with FakeProvider(YES) as other:
        redirect = answer("", status, f"Location: {other.url}/v1/otp/verify\r\n")
        error, _ = fails(check, redirect)
        assert error.http_status == int(status[:3])
        assert (other.connections, other.requests) == (0, [])


def test_a_redirect_to_the_same_server_is_not_followed_either():
    fails(check, answer("", "307 X", "Location: /api/v1/otp/verify\r\n"))


def test_one_connection_serves_many_calls_and_each_has_its_own_deadline():
    slow = after(HEAD, drip(BODY[:1], 0.15))

    def play(sock):
        slow(sock)
        sock.sendall(BODY[1:])

    with FakeProvider(play) as provider:
        client = provider.client(timeout=0.4)
        for _ in range(4):
            check(client)
        client.close()
        assert (provider.connections, len(provider.requests)) == (1, 4)


def test_threads_share_the_kept_connections_and_no_answers():
    def echo(sock):
        with lock:
            amounts.append(None)
            amount = len(amounts)
        sock.sendall(answer(f'{{"code": 0, "data": {{"amount": {amount}, "currency": "XOF"}}}}'))

    lock, amounts = threading.Lock(), []
    with FakeProvider(echo) as provider, ThreadPoolExecutor(50) as threads:
        client = provider.client()
        found = list(threads.map(lambda _: client.balance().amount, range(300)))
        client.close()
        assert sorted(found) == list(range(1, 301))
        assert provider.connections <= 50


def test_more_threads_than_kept_connections_do_not_wait_for_each_other():
    slow = after(HEAD, drip(BODY[:3], 0.1))

    def play(sock):
        slow(sock)
        sock.sendall(BODY[3:])

    with FakeProvider(play) as provider, ThreadPoolExecutor(8) as threads:
        client = provider.client(pool_size=1, timeout=2)
        for done in [threads.submit(check, client) for _ in range(8)]:
            done.result()
        client.close()
        assert provider.connections == 8


def test_a_connection_closed_by_the_server_while_idle_is_replaced():
    with FakeProvider(YES) as provider:
        client = provider.client()
        check(client)
        provider.close_connections()
        time.sleep(0.05)
        check(client)
        client.close()
        assert (provider.connections, len(provider.requests)) == (2, 2)


def test_a_connection_idle_for_long_is_not_trusted():
    with FakeProvider(YES) as provider:
        client = provider.client(max_idle=0.05)
        check(client)
        time.sleep(0.1)
        check(client)
        client.close()
        assert provider.connections == 2


def test_a_connection_is_idle_from_its_last_answer_not_from_the_request():
    def slow(sock):
        time.sleep(0.4)
        sock.sendall(YES)

    with FakeProvider(slow, YES) as provider:
        client = provider.client(max_idle=0.3)
        for _ in range(2):
            check(client)
        client.close()
        assert (provider.connections, len(provider.requests)) == (1, 2)


def test_a_late_answer_never_answers_the_next_call():
    def late(sock):
        time.sleep(0.4)
        sock.sendall(YES)

    with FakeProvider(late, answer(page.OTP_VERIFY_913)) as provider:
        client = provider.client(timeout=0.2)
        with pytest.raises(vavasms.OutcomeUnknown):
            check(client)
        time.sleep(0.3)
        with pytest.raises(vavasms.InvalidOtp):
            check(client)
        client.close()


def test_what_follows_an_answer_never_answers_the_next_call():
    no = answer(page.OTP_VERIFY_913)
    with FakeProvider(no + YES, after(no, drip(YES, 0)), no) as provider:
        client = provider.client()
        for _ in range(3):
            with pytest.raises(vavasms.InvalidOtp):
                check(client)
            time.sleep(0.05)
        client.close()


def test_an_answer_after_an_interim_one_never_answers_the_next_call():
    def hint_first(sock):
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        time.sleep(0.2)
        sock.sendall(YES)

    with FakeProvider(hint_first, answer(page.OTP_VERIFY_913)) as provider:
        client = provider.client()
        for error in (vavasms.OutcomeUnknown, vavasms.InvalidOtp):
            with pytest.raises(error):
                check(client)
        client.close()
        assert provider.connections == 2


def test_each_call_is_logged_in_one_line_of_facts(caplog):
    caplog.set_level(logging.INFO, logger="otpservice.vavasms")
    with FakeProvider(answer(page.BALANCE_OK), answer(page.BALANCE_901), cut) as provider:
        client = provider.client()
        balance(client)
        for error in (vavasms.InvalidCredentials, vavasms.OutcomeUnknown):
            with pytest.raises(error):
                balance(client)
        client.close()
    facts = [
        (record.operation, record.outcome, record.vendor_code, record.http_status)
        for record in caplog.records
    ]
    assert facts == [
        ("check/balance", "Success", 0, 200),
        ("check/balance", "InvalidCredentials", 901, 200),
        ("check/balance", "OutcomeUnknown", None, None),
    ]
    assert all(record.ms >= 0 for record in caplog.records)
