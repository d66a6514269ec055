"""What a send would come to, without sending."""

from collections.abc import Callable, Mapping

from flask.typing import ResponseReturnValue

from otpservice.verification import errors
from otpservice.web.context import current_context
from otpservice.web.problems import PROBLEMS
from otpservice.web.requests import InvalidRequest

# What stands in a send's way. Bad input and missing rights are answered as always.
BLOCKS = (
    errors.DestinationBlocked,
    errors.PhoneLocked,
    errors.ResendTooSoon,
    errors.QuotaExceeded,
    errors.BudgetExhausted,
    errors.PurposeConflict,
    errors.ProviderUnavailable,
)


def asks_for_dry_run(query: Mapping[str, str]) -> bool:
    """Whether the query says ``dry_run=true``.

    Raises:
        InvalidRequest: it says something else than ``true`` or ``false``.
    """
    value = query.get("dry_run", "false")
    if value not in {"true", "false"}:
        raise InvalidRequest(errors={"dry_run": ["Must be true or false."]})
    return value == "true"


def dry_run(preview: Callable[[], None]) -> ResponseReturnValue:
    """Answer what stands in the way of a send, if ``preview`` raises it."""
    current_context().outcome = "dry_run"
    try:
        preview()
    except BLOCKS as block:
        return {
            "would_send": False,
            "blocked_by": PROBLEMS[type(block)].code,
            "retry_after": getattr(block, "retry_after", None),
        }
    return {"would_send": True, "blocked_by": None, "retry_after": None}
