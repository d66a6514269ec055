"""Who a verification belongs to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Owner:
    """Who asks: one app for one of its purposes. A verification never leaves its owner."""

    app: str
    purpose: str
