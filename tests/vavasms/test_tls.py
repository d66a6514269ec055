"""The same over TLS: certificates are checked, deadlines hold, connections are kept."""

import shutil
import socket
import ssl
import subprocess
import time

import pytest

from otpservice import vavasms
from tests.fake_provider import FakeProvider, after, answer, drip, hang
from tests.vavasms import replies as page
from tests.vavasms.test_page import check

YES = answer(page.OTP_VERIFY_OK)

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl command")


def certificate(folder, name):
    """A server's TLS context with a certificate of its own for ``name``, and its file."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    command += f" -subj /CN=test -addext subjectAltName={name} -keyout {key} -out {cert}"
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, ssl.create_default_context(cafile=cert)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("right"), "IP:127.0.0.1")


def test_calls_go_over_one_kept_tls_connection(tls):
    server, trusting = tls
    with FakeProvider(YES, tls=server) as provider:
        client = provider.client(ssl_context=trusting)
        for _ in range(3):
            check(client)
        client.close()
        assert (provider.connections, len(provider.requests)) == (1, 3)


@pytest.mark.parametrize("reply", [drip(YES), after(YES[:30], drip(YES[30:])), hang])
def test_a_slow_answer_does_not_outlast_the_deadline(tls, reply):
    server, trusting = tls
    with FakeProvider(YES, reply, tls=server) as provider:
        client = provider.client(ssl_context=trusting, timeout=0.5)
        check(client)
        started = time.monotonic()
        with pytest.raises(vavasms.OutcomeUnknown):
            check(client)
        assert time.monotonic() - started < 1.5
        client.close()


def test_a_certificate_nobody_vouches_for_is_refused_before_anything_is_sent(tls):
    with FakeProvider(YES, tls=tls[0]) as provider:
        with pytest.raises(vavasms.Unavailable):
            check(provider.client())
        assert (provider.connections, provider.requests) == (2, [])


def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(tmp_path):
    server, trusting = certificate(tmp_path, "DNS:other.example")
    with FakeProvider(YES, tls=server) as provider:
        with pytest.raises(vavasms.Unavailable):
            check(provider.client(ssl_context=trusting))
        assert provider.requests == []


@pytest.mark.parametrize(
    "handshake",
    [hang, drip(b"\x16\x03\x03\x02\x00" + b"\x00" * 200), lambda sock: sock.sendall(b"HTTP/1.1 4")],
)
def test_a_handshake_that_fails_or_never_ends_means_surely_not_sent(tls, handshake):
    with FakeProvider(YES, before_request=handshake, tls=tls[0]) as provider:
        client = provider.client(ssl_context=tls[1], timeout=0.8, connect_timeout=0.3)
        started = time.monotonic()
        with pytest.raises(vavasms.Unavailable):
            check(client)
        assert time.monotonic() - started < 1.6
        assert provider.connections == 2


def test_a_connection_lost_before_tls_began_is_tried_once_more(tls):
    seen = []

    def hang_up_once(sock):
        seen.append(sock)
        if len(seen) == 1:
            sock.shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError

    with FakeProvider(YES, before_request=hang_up_once, tls=tls[0]) as provider:
        client = provider.client(ssl_context=tls[1])
        check(client)
        client.close()
        assert (provider.connections, len(provider.requests)) == (2, 1)


def test_a_tls_context_that_checks_nothing_is_refused():
    careless = ssl.create_default_context()
    careless.check_hostname = False
    with pytest.raises(ValueError, match="check certificates"):
        vavasms.VavasmsClient(
            url="https://vavasms.com/api", username="u", password="p", ssl_context=careless
        )
