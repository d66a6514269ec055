"""Open verifications by the hundred thousand, written by the store's own scripts.

What the store sends to Redis for one verification is recorded, byte by byte, and sent again with
other phones, ids and digests in the same places; all of these have one length. The pumping guard is
left out: its hash per block of numbers is nothing a verification holds, and its script takes longer
than the others together.
"""

import socket
from collections.abc import Iterator
from time import monotonic

import hiredis

from bench.proxy import Proxy
from bench.redis_cost import port_of
from bench.stack import SECRET, phone
from otpservice.store.client import connect
from otpservice.store.verifications import RedisStore
from otpservice.verification.digest import Digester
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.policy import Policy
from otpservice.verification.ports import Sending, SendOutcome, SendRequest

_PIPELINE = 500  # verifications that are on their way at once
_JUDGED_AFTER = 2.0  # seconds of seeding

_DIGESTER = Digester([SECRET])


class OutOfTime(Exception):
    """The seeding would not be done when its time is over; its text says so."""


def seed(url: str, policy: Policy, first: int, count: int, until: float) -> None:
    """Open ``count`` verifications of the phones from ``first`` on.

    Args:
        url: of the Redis server.
        policy: whose quotas count them.
        first: number of the first phone.
        count: of verifications.
        until: by ``time.monotonic()``, when to give up.

    Raises:
        OutOfTime: it took too long.
    """
    template, commands = _record(url, policy, first)
    with socket.create_connection(("127.0.0.1", port_of(url))) as redis:
        reader, began = hiredis.Reader(), monotonic()
        for begin in range(first + 1, first + count, _PIPELINE):
            _require_time(began, (begin - first) / count, until)
            end = min(begin + _PIPELINE, first + count)
            redis.sendall(b"".join(template % _names(n) for n in range(begin, end)))
            _await(redis, reader, (end - begin) * commands)


def _require_time(began: float, done: float, until: float) -> None:
    """Raise OutOfTime when the rest, at the pace of what is done, takes too long."""
    passed = monotonic() - began
    if passed > _JUDGED_AFTER and began + passed / done > until:
        raise OutOfTime(f"time is short: the seeding alone takes {passed / done:,.0f} s")


def _record(url: str, policy: Policy, first: int) -> tuple[bytes, int]:
    """Open one verification; returns what that took as a template, and its number of commands."""
    with Proxy(port_of(url)) as proxy, connect(proxy.url) as client:
        store = RedisStore(client, _DIGESTER, policy)
        _open(store, first + 50_000)  # of another block; it loads the scripts
        proxy.asked.clear()
        token = _open(store, first)
        asked = bytes(proxy.asked)
    values = _names(first) | {b"token": token.encode()}
    for name, value in values.items():
        if value not in asked:
            raise RuntimeError(f"the store sends no {name.decode()}")
    template = asked.replace(b"%", b"%%")
    for name, value in values.items():
        template = template.replace(value, b"%(" + name + b")b")
    return template, asked.count(b"EVALSHA")


def _open(store: RedisStore, n: int) -> str:
    """Open a verification, as a hosted send does; returns the token in its id."""
    request = SendRequest(Owner("hosted", "login"), PhoneNumber(phone(n)), hosted=True, code=None)
    reservation = store.reserve_send(request, _send_id(n))
    store.settle_send(reservation, Sending(SendOutcome.SENT, "vavasms-otp", hosted=True))
    return reservation.id[8:]


def _names(n: int) -> dict[bytes, bytes]:
    """What is a verification's own in the recording, by a name for the template."""
    number = PhoneNumber(phone(n))
    (where,) = _DIGESTER.phones(number)
    prefix = _DIGESTER.bucket("prefix", number.digits[:-3])
    return {
        b"prefix": f"{{{prefix[:4]}}}:q:{prefix[4:]}".encode(),
        b"name": where.name.encode(),
        b"tag": f"{{{where.tag}}}".encode(),
        b"phone": number.e164.encode(),
        b"send": _send_id(n).encode(),
        b"token": f"{n:032x}".encode(),
    }


def _send_id(n: int) -> str:
    return f"{n:016x}"


def _await(redis: socket.socket, reader: hiredis.Reader, answers: int) -> None:
    while answers:
        reader.feed(redis.recv(1 << 20))
        for answer in _parsed(reader):
            if isinstance(answer, Exception):
                raise RuntimeError(f"a seeding script failed: {answer}")
            answers -= 1


def _parsed(reader: hiredis.Reader) -> Iterator[object]:
    while (answer := reader.gets()) is not False:
        yield answer
