"""Quotas and budgets that many phones share: by address, by block of numbers, by app, by day.

On a Redis Cluster no script can touch these and a phone's own keys together. So these go first, all
in one round trip; when one of them refuses, or the phone's own script does afterwards, what the
others took is given back. A crash in between leaves them counted, which is the safe side.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from math import ceil
from typing import Any, NamedTuple, Protocol

from otpservice.store.pumping import PumpingGuard, Subject
from otpservice.store.scripts import Call, Scripts
from otpservice.telemetry.metrics import QUOTA_WOULD_REFUSE
from otpservice.verification.digest import Digester
from otpservice.verification.errors import (
    BudgetExhausted,
    OtpServiceError,
    QuotaExceeded,
    StoreUnavailable,
)
from otpservice.verification.policy import Policy, Quota
from otpservice.verification.ports import AttemptReservation, SendRequest

log = logging.getLogger(__name__)

# The last three digits of a number: a block of 1,000, as operators hand them out.
_BLOCK_DIGITS = 3

Taken = tuple[Call, ...]
"""The calls that give back what was taken."""


class _Limit(Protocol):
    """Something that is taken from, and may refuse."""

    @property
    def name(self) -> str: ...

    def spend(self, member: str, mode: str) -> Call:
        """The call that takes one for ``member``, or only looks (``preview``)."""

    def give_back(self, member: str, answer: Sequence[Any]) -> Call | None:
        """The call that gives back what that one took; None if it took nothing."""

    def refusal(self, answer: Sequence[Any]) -> OtpServiceError | None:
        """Why it refuses, or would if it did not only record; None if it does not."""

    def only_records(self, answer: Sequence[Any]) -> bool:
        """Whether that refusal is noted and lets through."""


class _Counter(NamedTuple):
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
        return Call("quota", [self.key], [json.dumps(windows_of(self.windows)), member, mode])

    def give_back(self, member: str, answer: Sequence[Any]) -> Call | None:
        if answer[0] != "ok" and not self.record_only:
            return None
        if self.budget:
            return Call("budget_back", [self.key], [member])
        return Call("quota_back", [self.key], [member])

    def refusal(self, answer: Sequence[Any]) -> OtpServiceError | None:
        if answer[0] == "ok":
            return None
        if self.budget:
            return BudgetExhausted(self.name, ceil(answer[1] / 1000))
        _, amount, window, wait = answer
        return QuotaExceeded(self.name, amount, window // 1000, ceil(wait / 1000))

    def only_records(self, _answer: Sequence[Any]) -> bool:
        return self.record_only


class _Guarded(NamedTuple):
    """One subject of the pumping guard."""

    guard: PumpingGuard
    subject: Subject
    name: str = "pumping"

    def spend(self, member: str, mode: str) -> Call:
        if mode == "spend":
            return self.guard.send(self.subject, member)
        return self.guard.preview(self.subject)

    def give_back(self, member: str, answer: Sequence[Any]) -> Call | None:
        verdict = self.guard.verdict(self.subject, answer)
        return None if verdict.refused else self.guard.give_back(self.subject, member, verdict.at)

    def refusal(self, answer: Sequence[Any]) -> OtpServiceError | None:
        verdict = self.guard.verdict(self.subject, answer)
        if verdict.excess is None:
            return None
        wait, _, threshold, window = astuple(verdict.excess)
        return QuotaExceeded(self.name, threshold, window // 1000, ceil(wait / 1000))

    def only_records(self, answer: Sequence[Any]) -> bool:
        return not self.guard.verdict(self.subject, answer).refused


class SharedQuotas:
    """Takes from all shared quotas of a send or a guess, or from none.

    Args:
        scripts: runs the scripts.
        digester: makes the digests that stand for addresses and blocks in key names.
        policy: the service's quotas.
        guard: weighs each SMS against recent confirmations; None does not.
    """

    def __init__(
        self,
        scripts: Scripts,
        digester: Digester,
        policy: Policy,
        guard: PumpingGuard | None,
    ) -> None:
        self._scripts = scripts
        self._digester = digester
        self._policy = policy
        self._guard = guard

    def take_send(self, request: SendRequest, send_id: str) -> Taken:
        """Take one SMS.

        Raises:
            QuotaExceeded, BudgetExhausted: one of them is used up; nothing was taken.
        """
        return self._take(list(self._send_limits(request)), send_id)

    def preview_send(self, request: SendRequest) -> OtpServiceError | None:
        """What ``take_send`` would raise, if anything; takes nothing."""
        limits = list(self._send_limits(request))
        answers = self._scripts.run([limit.spend("", "preview") for limit in limits])
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

    def confirm(self, right: AttemptReservation) -> Taken:
        """The calls that tell the guard of the SMS which a right guess confirms, once."""
        if self._guard is None or not right.sent_at:
            return ()
        guard, subjects = self._guard, self._guard.subjects(right.phone)
        return tuple(
            guard.confirm(subject, right.attempt_id, right.sent_at) for subject in subjects
        )

    def unconfirm(self, late: AttemptReservation, told: Sequence[Sequence[Any]]) -> None:
        """Take out what the calls of ``confirm`` counted of a guess that came too late.

        Args:
            late: the guess.
            told: what these calls answered, and perhaps others after them.
        """
        if self._guard and late.sent_at:
            counted = zip(self._guard.subjects(late.phone), told, strict=False)
            calls = (
                self._guard.unconfirm(subject, late.attempt_id, answer)
                for subject, answer in counted
            )
            self.give_back(tuple(call for call in calls if call))

    def give_back(self, taken: Taken) -> None:
        """Give back what was taken; call it once at the most.

        What cannot be given back is lost, which is the safe side: it must not undo a decision.
        """
        try:
            self._scripts.run(taken)
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
            yield _Counter("app", self._key("b", "app", app), budget=request.app_budget)
        if policy.daily_budget:
            key = self._key("b", "service", "")
            yield _Counter("service", key, budget=policy.daily_budget)
        if self._guard and not request.trusted:
            for subject in self._guard.subjects(request.phone):
                yield _Guarded(self._guard, subject)

    def _quota(self, name: str, subject: str, windows: tuple[Quota, ...]) -> _Counter:
        # Both quotas by address are one word to the operator.
        record_only = name.removesuffix("_failure") in self._policy.record_only
        key = self._key("q", name, subject)
        return _Counter(name, key, windows=windows, record_only=record_only)

    def _key(self, kind: str, name: str, subject: str) -> str:
        digest = self._digester.bucket(name, subject)
        return f"otp:{{{digest[:4]}}}:{kind}:{digest[4:]}"

    def _take(self, limits: Sequence[_Limit], member: str) -> Taken:
        answers = self._scripts.run([limit.spend(member, "spend") for limit in limits])
        back = (
            limit.give_back(member, answer) for limit, answer in zip(limits, answers, strict=True)
        )
        taken = tuple(call for call in back if call)
        if any(answer[0] != "ok" for answer in answers):
            self._note_recorded(limits, answers)
            if refusal := self._first_refusal(limits, answers):
                self.give_back(taken)
                raise refusal
        return taken

    def _first_refusal(
        self, limits: Sequence[_Limit], answers: Sequence[Sequence[Any]]
    ) -> OtpServiceError | None:
        for limit, answer in zip(limits, answers, strict=True):
            refusal = limit.refusal(answer)
            if refusal and not limit.only_records(answer):
                return refusal
        return None

    def _note_recorded(self, limits: Sequence[_Limit], answers: Sequence[Sequence[Any]]) -> None:
        for limit, answer in zip(limits, answers, strict=True):
            if limit.refusal(answer) and limit.only_records(answer):
                log.warning("quota_would_refuse", extra={"quota": limit.name})
                QUOTA_WOULD_REFUSE.labels(limit.name).inc()


def windows_of(windows: Sequence[Quota]) -> list[list[int]]:
    """Quotas as the scripts take them, in JSON: pairs of amount and window in milliseconds."""
    return [[quota.amount, quota.window * 1000] for quota in windows]
