"""What may go wrong on request: which fault, on which operation, how often."""

import re
import threading
from dataclasses import dataclass, replace

from otpservice.sandbox import answers

OPERATIONS = ("check/balance", "text/single", "text/status", "otp/send", "otp/verify")

# Do nothing, then fail to answer; with "_after": do the work, then fail to answer.
_EITHER_WAY = ("delay", "hang", "reset", "html", "garbage")
# Need the right answer to spoil, so the work is always done.
_ALWAYS_ACT = ("drip", "trailing_comma", "no_message_id", "cut_after")
_NAMES = (*_EITHER_WAY, *(f"{name}_after" for name in _EITHER_WAY), *_ALWAYS_ACT, "redirect")
_HTTP = re.compile(r"http_([345][0-9]{2})(_after)?\Z")

# Milliseconds where a fault needs a time and none was named: long enough to be seen, and for
# "hang" longer than any client's patience without holding a thread for good.
_DEFAULT_MS = {"delay": 1_000, "drip": 100, "hang": 60_000}
_LONGEST_MS = 600_000


class BadFault(ValueError):
    """What is wrong with a fault somebody asked for, as a sentence."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to go wrong.

    Attributes:
        operation: one of ``OPERATIONS`` or ``*``.
        fault: its name, or a VavaSMS code as a string or an int.
        times: calls it will still spoil, None until it is removed.
        delay_ms: the wait before answering; for ``hang`` how long it holds on, for ``drip`` the
            time between two bytes. None is the fault's own default.
        http_status: of the answer to a VavaSMS code.
    """

    operation: str
    fault: str | int
    times: int | None = 1
    delay_ms: int | None = None
    http_status: int = 200

    @classmethod
    def parse(cls, body: object) -> "Fault":
        """Read the JSON of ``PUT /faults``.

        Raises:
            BadFault: a field is missing, unknown, or not what it must be.
        """
        if not isinstance(body, dict):
            raise BadFault("the body must be a JSON object with operation and fault")
        unknown = set(body) - {"operation", "fault", "times", "delay_ms", "http_status"}
        if unknown:
            raise BadFault(f"unknown field: {', '.join(sorted(map(str, unknown)))}")
        return cls(
            operation=_operation(body.get("operation")),
            fault=_fault(body.get("fault")),
            times=_number(body, "times", 1, 1, 1_000_000),
            delay_ms=_number(body, "delay_ms", None, 0, _LONGEST_MS),
            http_status=_number(body, "http_status", 200, 200, 599) or 200,
        )

    def as_json(self) -> answers.Json:
        """The fault as it was asked for, with the calls that are left in ``times``."""
        return {
            "operation": self.operation,
            "fault": self.fault,
            "times": self.times,
            "delay_ms": self.delay_ms,
            "http_status": self.http_status,
        }

    @property
    def kind(self) -> str:
        """The fault without ``_after``; ``http`` for any status, ``code`` for any VavaSMS code."""
        if self.http is not None:
            return "http"
        name = str(self.fault)
        return name.removesuffix("_after") if name in _NAMES else "code"

    @property
    def http(self) -> int | None:
        """The status to answer with; 307 for ``redirect``, None for what is no HTTP status."""
        match = _HTTP.match(str(self.fault))
        if match:
            return int(match[1])
        return 307 if self.fault == "redirect" else None

    @property
    def works_first(self) -> bool:
        """Whether the work is done before the wait."""
        return str(self.fault).endswith("_after")

    @property
    def works(self) -> bool:
        """Whether the work is done at all."""
        return self.works_first or self.fault in ("delay", *_ALWAYS_ACT)

    @property
    def seconds(self) -> float:
        """``delay_ms`` or the fault's default, in seconds."""
        given = self.delay_ms
        return (_DEFAULT_MS.get(self.kind, 0) if given is None else given) / 1000


class Faults:
    """The faults that are on: at most one for each operation and one for ``*``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on: dict[str, Fault] = {}

    def put(self, fault: Fault) -> None:
        """Turn a fault on, in place of the operation's earlier one."""
        with self._lock:
            self._on[fault.operation] = fault

    def clear(self, operation: str | None = None) -> None:
        """Turn all faults off, or one operation's."""
        with self._lock:
            if operation is None:
                self._on.clear()
            else:
                self._on.pop(operation, None)

    def active(self) -> list[Fault]:
        """The faults that are on, oldest first."""
        with self._lock:
            return [*self._on.values()]

    def take(self, operation: str) -> Fault | None:
        """The fault for one call, counted down; the operation's own before that of ``*``."""
        with self._lock:
            fault = self._on.get(operation) or self._on.get("*")
            if fault is not None and fault.times is not None:
                self._count_down(fault, fault.times - 1)
            return fault

    def _count_down(self, fault: Fault, left: int) -> None:
        if left:
            self._on[fault.operation] = replace(fault, times=left)
        else:
            del self._on[fault.operation]


def _operation(value: object) -> str:
    if isinstance(value, str) and value in (*OPERATIONS, "*"):
        return value
    raise BadFault(f"operation must be one of {', '.join(OPERATIONS)} or *")


def _fault(value: object) -> str | int:
    known = isinstance(value, str) and (value in _NAMES or _HTTP.match(value))
    is_text = isinstance(value, str | int) and not isinstance(value, bool)
    if is_text and (known or answers.is_code(str(value))):
        return value  # type: ignore[return-value]
    raise BadFault(
        f"fault must be one of {', '.join(_NAMES)}, http_NNN or http_NNN_after (NNN from 300 to "
        "599), or a VavaSMS code such as 901 or EXPIRED_OTP"
    )


def _number(
    body: dict[str, object], name: str, default: int | None, low: int, high: int
) -> int | None:
    value = body.get(name, default)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise BadFault(f"{name} must be a whole number from {low} to {high}")
