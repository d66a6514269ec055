"""How an SMS goes out by an HTTP API, and what its answer means by its status alone."""

import logging
from collections.abc import Mapping
from time import monotonic

from otpservice.transport import (
    NOT_DONE,
    TURNED_AWAY,
    AnswerLost,
    NoConnection,
    Reply,
    Transport,
)
from otpservice.verification.errors import (
    OutcomeUnknown,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
)

log = logging.getLogger("otpservice.routes")


def deliver(
    route: str,
    transport: Transport,
    body: bytes,
    headers: Mapping[str, str],
    *,
    within: float | None = None,
) -> Reply:
    """Post one SMS, ``within`` seconds if that is given, and return the answer if it is a 2xx.

    Its body is empty if it did not come whole: what was to be known is known by then. Logs one
    line with ``provider``, ``operation``, ``outcome``, ``http_status`` (None without an answer),
    ``reason`` (what went wrong below HTTP, class names) and ``ms``.

    Raises:
        ProviderUnavailable: no connection was made, or it turned the request away (429, 503).
        ProviderRejected: 3xx, never followed; 404, 405, 413.
        OutcomeUnknown: everything else once the request left. 400, 401 and 403 too: a program
            that fails after it sent may answer anything.
    """
    started = monotonic()
    reply, error, reason = _ask(transport, body, headers, within)
    log.info(
        "provider_call",
        extra={
            "provider": route,
            "operation": "send",
            "outcome": type(error).__name__ if error else "Success",
            "http_status": reply.status or None,
            "reason": reason,
            "ms": round((monotonic() - started) * 1000),
        },
    )
    if error:
        raise error
    return reply


def _ask(
    transport: Transport, body: bytes, headers: Mapping[str, str], within: float | None
) -> tuple[Reply, ProviderError | None, str]:
    """The answer, with status 0 for none, the error it means, and what went wrong below HTTP."""
    reason = ""
    try:
        reply = transport.post(body, headers, within=within)
    except NoConnection as failure:
        return Reply(0, b""), ProviderUnavailable(), str(failure)
    except AnswerLost as failure:
        reply, reason = Reply(failure.status or 0, b""), str(failure)
    return reply, _meaning(reply.status), reason


def _meaning(status: int) -> ProviderError | None:
    if 200 <= status < 300:  # noqa: PLR2004
        return None
    if status in TURNED_AWAY:
        return ProviderUnavailable()
    return ProviderRejected() if status in NOT_DONE else OutcomeUnknown()
