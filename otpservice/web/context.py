"""What has been found out about the request that is being answered."""

import time
from dataclasses import dataclass, field
from typing import cast

from flask import g

from otpservice.config.apps import App
from otpservice.telemetry.waits import Waits
from otpservice.verification.idempotency import Finished


@dataclass(slots=True)
class RequestContext:
    """What views and hooks find out, for the answer, the lines of the log and the metrics.

    Attributes:
        request_id: the caller's, or one made here.
        began: when, by ``time.monotonic``.
        slot: the place among the worker's that it holds.
        app: whose key it had.
        purpose: what the proof is for.
        phone: masked.
        id: the verification's.
        decision: the audit trail's name for what was decided.
        route: how an SMS went.
        country: where to, by ISO 3166.
        delivery: ``sent`` or ``unknown``, if one went.
        confirmed_in: the country of a code that was right.
        outcome: ``ok``, or the code of the answer.
        error: the one that was answered.
        limit: the name of the one that refused.
        replayed: the outcome of the first call, if this one repeats it.
        waits: what it waited for.
    """

    request_id: str = ""
    began: float = field(default_factory=time.monotonic)
    slot: int | None = None
    app: App | None = None
    purpose: str | None = None
    phone: str | None = None
    id: str | None = None
    decision: str | None = None
    route: str = ""
    country: str = ""
    delivery: str | None = None
    confirmed_in: str | None = None
    outcome: str = "ok"
    error: Exception | None = None
    limit: str | None = None
    replayed: Finished | None = None
    waits: Waits = field(default_factory=Waits)


def current_context() -> RequestContext:
    """The context of the request that is being answered."""
    context: RequestContext | None = g.get("context")
    if context is None:
        context = g.context = RequestContext()
    return context


def caller() -> App:
    """The app whose key the request had, in a view that ``authenticated`` guards."""
    return cast(App, current_context().app)
