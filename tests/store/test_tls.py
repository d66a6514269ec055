"""Redis over TLS and with a user of its own; the embedded server has no TLS, so a proxy ends it."""

import select
import shutil
import socket
import socketserver
import ssl
import threading
from contextlib import ExitStack, contextmanager

import pytest
from redis.exceptions import RedisError

from otpservice.config.redis_url import redis_url
from otpservice.store.client import connect
from tests.redis_servers import Server, free_port, until
from tests.vavasms.test_tls import certificate

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl command")


@contextmanager
def ending_tls(context, port, *, at=0, plain=False):
    """A proxy in front of a server on loopback, for ``plain`` callers too; yields its port."""

    class Passing(socketserver.BaseRequestHandler):
        def handle(self):
            is_tls = self.request.recv(1, socket.MSG_PEEK) == b"\x16"
            try:
                caller = self.request
                if is_tls or not plain:
                    caller = context.wrap_socket(caller, server_side=True)
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
        allow_reuse_address = True

    with Proxy(("127.0.0.1", at), Passing) as proxy:
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


@pytest.fixture(scope="module")
def other_tls(tmp_path_factory):
    """Of a CA of its own."""
    folder = tmp_path_factory.mktemp("other")
    return certificate(folder, "IP:127.0.0.1")[0], folder / "cert.pem"


@pytest.fixture(scope="module")
def behind_sentinel(tmp_path_factory, tls, other_tls):
    """The address of a sentinel behind TLS, whose primary is behind TLS of another CA."""
    directory = tmp_path_factory.mktemp("redis")
    with ExitStack() as stack:
        primary = Server(directory)
        stack.callback(primary.close)
        # The sentinel itself looks after the primary without TLS.
        port = stack.enter_context(ending_tls(other_tls[0], primary.port, plain=True))
        config = f"sentinel monitor codes 127.0.0.1 {port} 1\n"
        sentinel = Server(directory, sentinel_config=config)
        stack.callback(sentinel.close)
        until(lambda: sentinel.client.sentinel_master("codes")["flags"] == "master")
        yield f"127.0.0.1:{stack.enter_context(ending_tls(tls[0], sentinel.port))}/codes/0"


@pytest.fixture(scope="module")
def cluster_of_one(tmp_path_factory, tls):
    """The address of a node behind TLS, which tells callers to come that way."""
    at = free_port()
    options = ("--cluster-enabled", "yes", "--cluster-announce-port", at)
    options += ("--cluster-announce-ip", "127.0.0.1")
    server = Server(tmp_path_factory.mktemp("redis"), *options)
    server.client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
    until(lambda: server.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
    with ending_tls(tls[0], server.port, at=at):
        yield f"127.0.0.1:{at}"
    server.close()


def test_sentinels_and_their_primary_are_asked_over_tls(behind_sentinel, tls, other_tls, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text(tls[1].read_text() + other_tls[1].read_text())
    with connect(redis_url(f"rediss+sentinel://{behind_sentinel}?ssl_ca_certs={both}")) as client:
        assert client.ping()


@pytest.mark.parametrize("trusted", ["sentinel", "primary", "neither", "no TLS"])
def test_neither_a_sentinel_nor_its_primary_is_trusted_unseen(
    behind_sentinel, tls, other_tls, trusted
):
    ca = {"sentinel": f"?ssl_ca_certs={tls[1]}", "primary": f"?ssl_ca_certs={other_tls[1]}"}
    scheme = "redis+sentinel" if trusted == "no TLS" else "rediss+sentinel"
    url = redis_url(f"{scheme}://{behind_sentinel}{ca.get(trusted, '')}")
    with connect(url) as client, pytest.raises(RedisError):
        client.ping()


def test_nodes_of_a_cluster_are_asked_over_tls(cluster_of_one, tls):
    url = redis_url(f"rediss+cluster://{cluster_of_one}?ssl_ca_certs={tls[1]}")
    with connect(url) as client:
        assert client.execute_command("SET", "counter", 1)
        assert client.execute_command("GET", "counter") == b"1"


@pytest.mark.parametrize("scheme", ["redis+cluster", "rediss+cluster"])
def test_a_cluster_is_not_trusted_unseen(cluster_of_one, scheme):
    with connect(redis_url(f"{scheme}://{cluster_of_one}")) as client, pytest.raises(RedisError):
        client.execute_command("GET", "counter")
