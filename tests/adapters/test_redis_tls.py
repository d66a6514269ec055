"""Redis over TLS and with a user of its own; the embedded server has no TLS, so a proxy ends it."""

import select
import shutil
import socket
import socketserver
import ssl
import threading
from contextlib import contextmanager

import pytest
from redis.exceptions import RedisError

from otpservice.adapters.redis_client import connect
from otpservice.settings.values import redis_url
from tests.adapters.test_vavasms_tls import certificate

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl command")


@contextmanager
def ending_tls(context, port):
    """A proxy in front of a server on loopback; yields its port."""

    class Passing(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                caller = context.wrap_socket(self.request, server_side=True)
            except (ssl.SSLError, OSError):
                return
            with caller, socket.create_connection(("127.0.0.1", port)) as server:
                while True:
                    waiting = select.select([caller, server], [], [])[0]
                    for one, other in ((caller, server), (server, caller)):
                        if one in waiting:
                            if not (data := one.recv(65536)):
                                return
                            other.sendall(data)

    class Proxy(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Proxy(("127.0.0.1", 0), Passing) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield proxy.server_address[1]
        proxy.shutdown()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    return certificate(folder, "IP:127.0.0.1")[0], folder / "cert.pem"


@pytest.fixture
def secured(tls, valkey):
    context, ca = tls
    port = valkey.connection_pool.connection_kwargs["port"]
    rights = {"commands": ["+@all"], "keys": ["*"], "channels": ["*"]}
    valkey.acl_setuser("app", enabled=True, passwords=["+p@ss word"], **rights)
    with ending_tls(context, port) as port:
        yield f"127.0.0.1:{port}/0", ca
    valkey.acl_deluser("app")


def test_a_user_logs_in_over_tls_that_a_ca_of_ones_own_vouches_for(secured):
    place, ca = secured
    url = redis_url(f"rediss://app:p%40ss%20word@{place}?ssl_ca_certs={ca}")
    with connect(url) as client:
        assert client.ping()
        assert client.acl_whoami() == "app"


@pytest.mark.parametrize(
    "url",
    [
        "rediss://app:p%40ss%20word@{place}",
        "rediss://app:wrong@{place}?ssl_ca_certs={ca}",
        "redis://app:p%40ss%20word@{place}",
    ],
)
def test_without_the_ca_the_password_or_tls_there_is_no_connection(secured, url):
    place, ca = secured
    with connect(redis_url(url.format(place=place, ca=ca))) as client, pytest.raises(RedisError):
        client.ping()


def test_a_certificate_for_another_name_is_refused(tmp_path, valkey):
    context, _ = certificate(tmp_path, "DNS:other.example")
    port = valkey.connection_pool.connection_kwargs["port"]
    with (
        ending_tls(context, port) as place,
        connect(f"rediss://127.0.0.1:{place}?ssl_ca_certs={tmp_path / 'cert.pem'}") as client,
        pytest.raises(RedisError),
    ):
        client.ping()
