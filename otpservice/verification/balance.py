"""How far the money at the provider goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

CURRENCY = "XOF"
"""What the provider counts in, and so what a price is given in; it has no minor unit."""

DAYS_IN_SIGHT = 7
"""Days the mean is taken over: a week holds each weekday once."""


class Money(Protocol):
    """What is left on an account."""

    @property
    def amount(self) -> int:
        """Whole units; may be negative."""

    @property
    def currency(self) -> str:
        """Its ISO 4217 code."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """SMS sent, by UTC day.

    Attributes:
        today: the running day, numbered from 1970.
        first: the day of the first SMS that is known of; None if none is.
        counts: SMS by day; days without one are left out.
    """

    today: int
    first: int | None
    counts: Mapping[int, int]

    @property
    def daily_mean(self) -> float | None:
        """SMS a day over the last complete days, 7 at the most; None if there is none yet.

        The first day is never complete: counting began somewhere in it.
        """
        if self.first is None:
            return None
        days = range(max(self.first + 1, self.today - DAYS_IN_SIGHT), self.today)
        return sum(self.counts.get(day, 0) for day in days) / len(days) if days else None


@dataclass(frozen=True, slots=True)
class Prices:
    """What the operator says of money.

    Attributes:
        sms: XOF for one part of an SMS; None if that is not known.
        parts: parts that one code's SMS has.
        low: XOF below which somebody has to pay in; None for never.
    """

    sms: int | None = None
    parts: int = 1
    low: int | None = None

    def sends_left(self, money: Money) -> int | None:
        """SMS with codes that can still be paid; None without a price in the same currency."""
        if not self.sms or money.currency != CURRENCY:
            return None
        return max(0, money.amount // (self.sms * self.parts))

    def is_low(self, money: Money) -> bool:
        """Whether somebody has to pay in."""
        return self.low is not None and money.currency == CURRENCY and money.amount < self.low


@dataclass(frozen=True, slots=True)
class BalanceReport:
    """What is known of the account, all None if nothing is.

    Attributes:
        amount: whole units of ``currency``.
        currency: ISO 4217 code.
        age: seconds since the provider said so.
        sends_left: SMS with codes that can still be paid; None without a price.
        days_left: how long they last at the mean of the last complete days, 7 at the most, to a
            tenth; None without a price, without a complete day, or if nothing was sent.
        low: below the operator's threshold.
        problem: why the last call for it failed, one word; None if it did not.
    """

    amount: int | None = None
    currency: str | None = None
    age: int | None = None
    sends_left: int | None = None
    days_left: float | None = None
    low: bool = False
    problem: str | None = None


def report(
    money: Money | None, age: int | None, problem: str | None, prices: Prices, traffic: Traffic
) -> BalanceReport:
    """What the figures come to."""
    if money is None:
        return BalanceReport(problem=problem)
    sends_left, mean = prices.sends_left(money), traffic.daily_mean
    return BalanceReport(
        amount=money.amount,
        currency=money.currency,
        age=age,
        sends_left=sends_left,
        days_left=round(sends_left / mean, 1) if sends_left is not None and mean else None,
        low=prices.is_low(money),
        problem=problem,
    )
