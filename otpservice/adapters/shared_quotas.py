"""Quotas and budgets that many phones share: by address, by block of numbers, by app, by day.

On a Redis Cluster no script can touch these and a phone's own keys together. So these go first, all
in one round trip; when one of them refuses, or the phone's own script does afterwards, what the
others took is given back. A crash in between leaves them counted, which is the safe side.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from otpservice.adapters.scripts import Call, Scripts
from otpservice.verification.digest import Digester
from otpservice.verification.errors import (
    BudgetExhausted,
    OtpServiceError,
    QuotaExceeded,
    StoreUnavailable,
)
from otpservice.verification.policy import Policy, Quota
from otpservice.verification.ports import SendRequest

log = logging.getLogger(__name__)

# The last three digits of a number: a block of 1,000, as operators hand them out.
_BLOCK_DIGITS = 3

Taken = tuple[Call, ...]
"""The calls that give back what was taken."""


@dataclass(frozen=True, slots=True)
class _Limit:
    """One quota (``windows``) or one budget (``budget`` SMS a day) of one subject."""

    name: str
    key: str
    windows: tuple[Quota, ...] = ()
    budget: int = 0
    record_only: bool = False

    def spend(self, member: str, mode: str) -> Call:
        if self.budget:
            return Call("budget", [self.key], [member, mode, self.budget])
        if self.record_only and mode == "spend":
            mode = "record"
        return Call("quota", [self.key], [member, mode, *pairs(self.windows)])

    def give_back(self, member: str, answer: Sequence[Any]) -> Call:
        if self.budget:
            return Call("budget_back", [self.key], [answer[2]])
        return Call("quota_back", [self.key], [member])

    def refusal(self, answer: Sequence[Any]) -> OtpServiceError:
        if self.budget:
            return BudgetExhausted(self.name, ceil(answer[1] / 1000))
        _, amount, window, wait = answer
        return QuotaExceeded(self.name, amount, window // 1000, ceil(wait / 1000))


class SharedQuotas:
    """Takes from all shared quotas of a send or a guess, or from none.

    Args:
        scripts: runs the scripts.
        digester: makes the digests that stand for addresses and blocks in key names.
        policy: the service's quotas.
    """

    def __init__(self, scripts: Scripts, digester: Digester, policy: Policy) -> None:
        self._scripts = scripts
        self._digester = digester
        self._policy = policy

    def take_send(self, request: SendRequest, send_id: str) -> Taken:
        """Take one SMS.

        Raises:
            QuotaExceeded, BudgetExhausted: one of them is used up; nothing was taken.
        """
        return self._take(list(self._send_limits(request)), send_id)

    def preview_send(self, request: SendRequest) -> OtpServiceError | None:
        """What ``take_send`` would raise, if anything; takes nothing."""
        limits = list(self._send_limits(request))
        answers = self._scripts.run_all([limit.spend("", "preview") for limit in limits])
        return self._first_refusal(limits, answers)

    def take_guess(self, address: str | None, attempt_id: str) -> Taken:
        """Count one guess as a wrong one, until it is given back.

        Raises:
            QuotaExceeded: too many wrong guesses from this address.
        """
        windows = self._policy.address_failure_quota
        if address is None or not windows:
            return ()
        return self._take([self._quota("address_failure", address, windows)], attempt_id)

    def give_back(self, taken: Taken) -> None:
        """Give back what was taken; call it once at the most.

        What cannot be given back is lost, which is the safe side: it must not undo a decision.
        """
        try:
            self._scripts.run_all(taken)
        except StoreUnavailable:
            log.exception("quota_not_given_back")

    def _send_limits(self, request: SendRequest) -> Iterator[_Limit]:
        policy, app = self._policy, request.owner.app
        if request.address is not None and policy.address_quota:
            yield self._quota("address", request.address, policy.address_quota)
        if policy.prefix_quota and not request.trusted:
            yield self._quota("prefix", request.phone.digits[:-_BLOCK_DIGITS], policy.prefix_quota)
        if request.app_quota:
            yield self._quota("app", app, request.app_quota)
        if request.app_budget:
            yield _Limit("app", self._key("b", "app", app), budget=request.app_budget)
        if policy.daily_budget:
            key = self._key("b", "service", "")
            yield _Limit("service", key, budget=policy.daily_budget)

    def _quota(self, name: str, subject: str, windows: tuple[Quota, ...]) -> _Limit:
        # Both quotas by address are one word to the operator.
        record_only = name.removesuffix("_failure") in self._policy.record_only
        key = self._key("q", name, subject)
        return _Limit(name, key, windows=windows, record_only=record_only)

    def _key(self, kind: str, name: str, subject: str) -> str:
        digest = self._digester.bucket(name, subject)
        return f"otp:{{{digest[:4]}}}:{kind}:{digest[4:]}"

    def _take(self, limits: Sequence[_Limit], member: str) -> Taken:
        answers = self._scripts.run_all([limit.spend(member, "spend") for limit in limits])
        taken = tuple(
            limit.give_back(member, answer)
            for limit, answer in zip(limits, answers, strict=True)
            if answer[0] == "ok" or limit.record_only
        )
        refusal = self._first_refusal(limits, answers)
        if refusal is None:
            return taken
        self.give_back(taken)
        raise refusal

    def _first_refusal(
        self, limits: Sequence[_Limit], answers: Sequence[Sequence[Any]]
    ) -> OtpServiceError | None:
        over = [pair for pair in zip(limits, answers, strict=True) if pair[1][0] == "over"]
        for limit, _ in over:
            if limit.record_only:
                log.warning("quota_would_refuse", extra={"quota": limit.name})
        refusals = [limit.refusal(answer) for limit, answer in over if not limit.record_only]
        return refusals[0] if refusals else None


def pairs(windows: Sequence[Quota]) -> list[int]:
    """Quotas as the scripts take them: amount and window in milliseconds, one after another."""
    return [n for quota in windows for n in (quota.amount, quota.window * 1000)]
