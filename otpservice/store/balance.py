"""The account's balance, known to all workers and asked for by one of them at a time."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from secrets import token_hex
from threading import Lock, Thread
from typing import Any

from otpservice.store.answers import text
from otpservice.store.scripts import Call, Scripts
from otpservice.vavasms import VavasmsError
from otpservice.verification.balance import BalanceReport, Money, Prices, Traffic, report

log = logging.getLogger(__name__)

PAUSE = 60
"""Seconds between two calls to the provider, over all workers; a failed one counts as well."""

_ACCOUNT, _DAYS = "otp:{balance}:account", "otp:{balance}:days"


@dataclass(frozen=True, slots=True)
class _Held:
    """A balance somebody asked for before."""

    amount: int
    currency: str


class BalanceWatch:
    """What is left at the provider; threads may share it.

    Args:
        scripts: runs the scripts.
        ask: asks the provider, such as ``VavasmsClient.balance``.
        prices: what the operator says of money.
        routes: names of the routes whose SMS this account pays for.

    Attributes:
        low: whether the balance was low when this process last heard of it; costs nothing to ask.
    """

    def __init__(
        self,
        scripts: Scripts,
        ask: Callable[[], Money],
        prices: Prices | None = None,
        *,
        routes: Collection[str] = (),
    ) -> None:
        self._scripts = scripts
        self._ask = ask
        self._prices = prices or Prices()
        self._routes = frozenset(routes)
        self.low = False
        self._refreshing = Lock()

    def pays_for(self, route: str) -> bool:
        """Whether an SMS by this route comes from the account."""
        return route in self._routes

    def now(self) -> BalanceReport:
        """The balance; asked for if none is younger than a minute and it is this worker's turn.

        While another worker asks, and for a minute after a call that failed, it is the last one
        known, with its age.

        Raises:
            StoreUnavailable: it cannot be told.
        """
        return self._look("ask")

    def last(self) -> BalanceReport:
        """The last one known; never asks the provider.

        Raises:
            StoreUnavailable: it cannot be told.
        """
        return self._look("look")

    def last_while_asking(self) -> BalanceReport:
        """The last one known; if that is older than a minute, a thread calls ``now`` meanwhile.

        For who looks regularly and must not wait for the provider.

        Raises:
            StoreUnavailable: it cannot be told.
        """
        told = self.last()
        is_old = told.age is None or told.age >= PAUSE
        if is_old and self._refreshing.acquire(blocking=False):
            Thread(target=self._refresh, name="balance", daemon=True).start()
        return told

    def _refresh(self) -> None:
        try:
            self.now()
        except Exception:  # nobody else would hear of it in this thread
            log.exception("balance_unknown")
        finally:
            self._refreshing.release()

    def count(self, send_id: str) -> Call:
        """The script that counts one SMS, to run with others; give its answer to ``counted``."""
        return Call("balance_count", [_ACCOUNT, _DAYS], [send_id])

    def counted(self, answer: Sequence[Any]) -> None:
        """Read the answer to ``count``: it tells whether the balance is low."""
        if answer[0] == "ok":
            self._heard(answer[1] == 1)

    def _look(self, mode: str) -> BalanceReport:
        look = token_hex(8)
        keys, args = [_ACCOUNT, _DAYS], [PAUSE * 1000, mode, look]
        (answer,) = self._scripts.run([Call("balance_read", keys, args)])
        turn, amount, currency, age, problem, today, days = answer
        money: Money | None = _Held(int(amount), text(currency)) if amount else None
        seconds = None if age < 0 else age // 1000
        why: str | None = text(problem) or None
        if turn == "ask":
            asked, why = self._ask_provider(look)
            money, seconds = (asked, 0) if asked else (money, seconds)
        told = report(money, seconds, why, self._prices, _traffic(today, days))
        self._heard(told.low)
        return told

    def _ask_provider(self, look: str) -> tuple[Money | None, str | None]:
        """The balance, or why there is none."""
        try:
            money = self._ask()
        except VavasmsError as error:
            why = type(error).__name__
            self._keep(look, "failed", why)
            log.warning("balance_unknown", extra={"reason": why})
            return None, why
        low = self._prices.is_low(money)
        change = self._keep(look, "said", money.amount, money.currency, int(low))
        facts = {"amount": money.amount, "currency": money.currency}
        if change == "fell":
            log.warning("balance_low", extra={**facts, "threshold": self._prices.low})
        elif change == "rose":
            log.info("balance_recovered", extra=facts)
        return money, None

    def _keep(self, *args: str | int) -> str:
        ((change,),) = self._scripts.run([Call("balance_keep", [_ACCOUNT], args)])
        return str(change)

    def _heard(self, low: bool) -> None:
        self.low = low and self._prices.low is not None


def _traffic(today: int, flat: Sequence[bytes]) -> Traffic:
    held = {text(name): int(n) for name, n in zip(flat[::2], flat[1::2], strict=True)}
    first = held.pop("first", None)
    return Traffic(today, first, {int(day): n for day, n in held.items()})
