"""CPU per request of every endpoint, beside the floor, in rounds that take turns."""

from statistics import median

from bench import load
from bench.measurement import Measured, measure, middle
from bench.stack import Phones, Server, Stack, confirm, login
from bench.stub import HOSTED_CODE
from bench.table import Line, Table

_FLOOR, _FLOOR_POST = "floor: Flask, JSON, one EVALSHA", "floor and one POST to the provider"
_CREATED, _OK, _WRONG = 201, 200, 422

# Per line: the floor it is compared with, and how many times that it may cost.
_LINES: dict[str, tuple[str, float | None]] = {
    _FLOOR: (_FLOOR, None),
    _FLOOR_POST: (_FLOOR, None),
    "/login-code hosted": (_FLOOR_POST, 1.6),
    "/login-code local": (_FLOOR_POST, None),
    "/confirm hosted, right": (_FLOOR_POST, None),
    "/confirm hosted, wrong": (_FLOOR_POST, None),
    "/confirm local, right": (_FLOOR, 1.6),
    "/confirm local, wrong": (_FLOOR, 1.6),
}


def add_costs(
    table: Table,
    stack: Stack,
    service: Server,
    floor: Server,
    phones: Phones,
    *,
    size: int,
    rounds: int,
) -> None:
    """Measure the lines of ``_LINES``: ``rounds`` of ``size`` requests, after one to warm up.

    The floors get three times as many: what costs little is measured over longer.
    """
    seen: dict[str, list[Measured]] = {name: [] for name in _LINES}
    for turn in range(rounds + 1):
        measured = floor_round(floor, phones, 3 * size)
        for app in ("hosted", "local"):
            measured |= service_round(stack, service, app, phones, size=size)
        if turn:
            for name, one in measured.items():
                seen[name].append(one)
    table.section("CPU of the service's processes per request, one worker, 8 callers")
    for name in _LINES:
        table.add(_line(name, seen))


def floor_round(floor: Server, phones: Phones, size: int) -> dict[str, Measured]:
    """One round of both floors."""
    measured = {}
    for name, path in ((_FLOOR, "/floor"), (_FLOOR_POST, "/floor-post")):
        bodies = [{"phone": phone, "client_ip": "10.0.0.1"} for phone in phones.take(size)]
        requests = [
            load.request("POST", path, body, "of-the-same-length-as-a-key") for body in bodies
        ]
        measured[name], _ = measure(floor, requests, _CREATED)
    return measured


def service_round(
    stack: Stack,
    service: Server,
    app: str,
    phones: Phones,
    *,
    size: int,
    in_flight: int = 8,
    redis_pid: int | None = None,
) -> dict[str, Measured]:
    """Send ``size`` codes, guess each of them wrong once, then right."""
    more = {"in_flight": in_flight, "redis_pid": redis_pid}
    numbers = phones.take(size)
    stack.texted_codes()
    sent, answers = measure(service, [login(app, p) for p in numbers], _CREATED, **more)
    codes = stack.texted_codes()
    pending = [
        (p, body["id"], codes.get(p[1:], HOSTED_CODE))
        for p, (status, body) in zip(numbers, answers.answers, strict=True)
        if status == _CREATED
    ]
    if not pending:
        raise RuntimeError(f"no code could be sent: {dict(sent.wrong)}")
    guesses = [confirm(app, id, wrong_for(code), p) for p, id, code in pending]
    wrong, _ = measure(service, guesses, _WRONG, **more)
    guesses = [confirm(app, id, code, p) for p, id, code in pending]
    right, _ = measure(service, guesses, _OK, **more)
    return {
        f"/login-code {app}": sent,
        f"/confirm {app}, right": right,
        f"/confirm {app}, wrong": wrong,
    }


def wrong_for(code: str) -> str:
    """Return a code of the same length that is not ``code``."""
    return code[:-1] + str((int(code[-1]) + 1) % 10)


def _line(name: str, seen: dict[str, list[Measured]]) -> Line:
    base, most = _LINES[name]
    ratios = [one.cpu / floor.cpu for one, floor in zip(seen[name], seen[base], strict=True)]
    found, ratio = middle(seen[name]), median(ratios)
    wants_post = " and POST" if base == _FLOOR_POST else ""
    return Line(
        name,
        cpu=found.cpu,
        ratio=ratio,
        rate=found.rate,
        p50=found.p50,
        p99=found.p99,
        note=f"errors {dict(found.wrong)}"
        if found.wrong
        else f"{min(ratios):.2f} to {max(ratios):.2f}",
        want=f"<= {most} x floor{wants_post}" if most else "",
        met=ratio <= most and not found.wrong if most else None,
    )
