"""What a failover loses of what was acknowledged, with and without waiting for a replica.

    .venv/bin/python -m bench.failover

A primary with two replicas and three sentinels. Eight threads spend from one quota by the service's
own script; then the primary is killed by SIGKILL. What was acknowledged and is not there at the new
primary is lost. Once with replicas in step; once with both cut off for 0.4 s before the kill, as a
network that falters would have it: less than the sentinels need to notice.
"""

import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from otpservice.store.client import connect
from otpservice.store.scripts import Call, Scripts
from otpservice.verification.errors import StoreUnavailable
from tests.redis_servers import Watched, until

_KEY = "otp:{loss}:q:x"
_THREADS = 8
_ROUNDS = 3


def round_of(replicas: int, *, cut_off: bool) -> tuple[int, int, int, float]:
    """Acknowledged, of these lost, refused, and seconds until the next was acknowledged."""
    with ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
        watched = Watched(stack, Path(directory), replicas=2)
        client = stack.enter_context(connect(watched.url))
        scripts = Scripts(client, replicas=replicas)
        acknowledged: list[tuple[float, str]] = []
        refused: list[float] = []
        going = threading.Event()

        def spend(thread: int) -> None:
            number = 0
            while not going.is_set():
                number += 1
                name = f"{thread}-{number}"
                try:
                    call = Call("quota", [_KEY], [name, "spend", 10_000_000, 3_600_000])
                    scripts.run([call], replicated=True)
                    acknowledged.append((time.monotonic(), name))
                except StoreUnavailable:
                    refused.append(time.monotonic())
                    time.sleep(0.01)

        threads = [threading.Thread(target=spend, args=(n,)) for n in range(_THREADS)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        before, others = watched.primary, [s for s in watched.data if s is not watched.primary]
        with ExitStack() as stalls:
            if cut_off:
                for server in others:
                    stalls.enter_context(server.frozen())
                # What is in a socket's buffer is read all the same, whoever died.
                before.client.execute_command("CLIENT", "KILL", "TYPE", "replica")
                time.sleep(0.4)
            before.kill()
            killed = time.monotonic()
        until(lambda: watched.primary is not before)
        until(lambda: acknowledged[-1][0] > killed + 0.3)
        going.set()
        for thread in threads:
            thread.join()
        there = set(watched.primary.client.zrange(_KEY, 0, -1))
        lost = [name for _, name in acknowledged if name not in there]
        back = min(at for at, _ in acknowledged if at > killed + 0.3) - killed
        return len(acknowledged), len(lost), len(refused), back


def main() -> None:
    """Print a line for each case."""
    for cut_off in (False, True):
        for replicas in (0, 1):  # after a failover one is left
            for _ in range(_ROUNDS):
                facts = round_of(replicas, cut_off=cut_off)
                told = "{} acknowledged, {} lost, {} refused, back after {:.1f} s".format(*facts)
                how = "cut off" if cut_off else "in step"
                sys.stdout.write(f"replicas {how}, REDIS_WAIT_REPLICAS={replicas}: {told}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
