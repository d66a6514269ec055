"""What the contract says of sends, guesses, quotas and locks, as plain Python.

The model remembers everything that happened and works each answer out from that: what was given
back is passed over, as if it had not been asked. The store keeps counters instead, so the two have
hardly a thought in common. Times are whole seconds.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any

from otpservice.verification import errors
from otpservice.verification.code import Code
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.policy import DAY, Policy, Quota
from otpservice.verification.ports import AttemptOutcome, SendOutcome, SendRequest, Status

YES = "yes"
FORGOTTEN_AFTER = 30 * DAY


class Named:
    """Shown by its id in the steps of an example that failed."""

    id: str

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(self.id)


@dataclass(eq=False, repr=False)
class Send(Named):
    """One SMS; ``outcome`` is None while it is on its way."""

    id: str
    time: int
    request: SendRequest
    hosted: bool  # on its way: it may go by a hosted route; afterwards: it did
    outcome: SendOutcome | None = None

    @property
    def stands(self) -> bool:
        return self.outcome is not SendOutcome.GIVEN_BACK


@dataclass(eq=False, repr=False)
class Guess(Named):
    """One guess that was counted; ``outcome`` is None while it is asked about."""

    id: str
    time: int
    code: Code
    address: str | None
    outcome: AttemptOutcome | str | None = None


@dataclass(eq=False, repr=False)
class Verification(Named):
    """One verification, with all that was ever sent and guessed for it."""

    id: str
    owner: Owner
    phone: PhoneNumber
    born: int
    sends: list[Send] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    ended: Status | None = None  # approved, canceled or failed
    ended_at: int = 0
    approved_by: str = ""
    freed: bool = False  # its hosted code was confirmed
    lost: bool = False  # the answer to the check before was lost

    @property
    def standing(self) -> list[Send]:
        return [send for send in self.sends if send.stands]

    @property
    def newest(self) -> int | None:
        return max((send.time for send in self.standing), default=None)

    @property
    def attempts(self) -> int:
        return sum(guess.outcome is not AttemptOutcome.GIVEN_BACK for guess in self.guesses)

    def end(self, status: Status, now: int) -> None:
        self.ended, self.ended_at = status, now

    def good_codes(self) -> set[Code | None]:
        """Codes of our own: until they are retired by a later SMS that surely left."""
        sure = [send.time for send in self.sends if send.outcome is SendOutcome.SENT]
        last_sure = max(sure, default=0)
        return {
            send.request.code
            for send in self.standing
            if send.outcome is None or (not send.hosted and send.time >= last_sure)
        }

    def is_hosted(self) -> bool:
        """Whether a guess has to be asked about: the route that surely sent last keeps the code,
        or one that may do so is sending just now.
        """
        if any(send.hosted and not send.outcome for send in self.sends):
            return True
        settled = [send for send in self.standing if send.outcome]
        owning = [send for send in settled if send.hosted or send.outcome is SendOutcome.SENT]
        return bool(owning) and max(owning, key=lambda send: send.time).hosted


@dataclass
class Failures:
    """The failures in a row on one phone."""

    run: int = 0
    total: int = 0
    last: int = 0
    lock: float = 0
    cleared: int = 0


class Model:
    """The contract, for one policy and one app quota and budget."""

    def __init__(self, policy: Policy, app_quota: tuple[Quota, ...], app_budget: int) -> None:
        self.policy = policy
        self.app_quota = app_quota
        self.app_budget = app_budget
        self.now = 0
        self.held: list[Verification] = []
        self.failures: dict[PhoneNumber, Failures] = {}
        self.used: dict[tuple[PhoneNumber, Code], int] = {}

    @property
    def hold(self) -> int:
        """Seconds the provider keeps a code: it counts in whole minutes."""
        return -(-self.policy.code_ttl // 60) * 60

    # Looking

    def find(self, id: str) -> Verification:
        return next(held for held in self.held if held.id == id)

    def latest(self, owner: Owner, phone: PhoneNumber) -> Verification | None:
        mine = [held for held in self.held if (held.owner, held.phone) == (owner, phone)]
        return mine[-1] if mine else None

    def status(self, held: Verification) -> Status:
        if held.ended:
            return held.ended
        if self.now >= (held.newest or 0) + self.policy.code_ttl:
            return Status.EXPIRED
        if held.attempts >= self.policy.max_attempts:
            return Status.ATTEMPTS_EXHAUSTED
        return Status.PENDING

    def attempts_left(self, held: Verification) -> int:
        return self.policy.max_attempts - held.attempts

    def sends_left(self, phone: PhoneNumber) -> int | None:
        times = [send.time for send in self._standing() if send.request.phone == phone]
        rooms = [
            max(0, quota.amount - len(self._inside(times, quota)))
            for quota in self.policy.phone_quota
        ]
        return min(rooms, default=None)

    def locked_for(self, phone: PhoneNumber) -> float:
        return max(0, self.failures_of(phone).lock - self.now)

    def run_of(self, phone: PhoneNumber) -> int:
        failures = self.failures_of(phone)
        return 0 if failures.last + FORGOTTEN_AFTER <= self.now else failures.run

    def failures_of(self, phone: PhoneNumber) -> Failures:
        return self.failures.setdefault(phone, Failures())

    def _standing(self) -> Iterator[Send]:
        return (send for held in self.held for send in held.standing)

    def _inside(self, times: Iterable[int], quota: Quota) -> list[int]:
        return sorted(time for time in times if time > self.now - quota.window)

    # Sending

    def refusal(self, request: SendRequest) -> errors.OtpServiceError | None:
        """The first reason, in the contract's order, why this SMS may not be sent."""
        return next(self._refusals(request), None)

    def _refusals(self, request: SendRequest) -> Iterator[errors.OtpServiceError]:
        locked = self.locked_for(request.phone)
        if locked:
            yield errors.PhoneLocked(None if locked == inf else int(locked))
        latest = self.latest(request.owner, request.phone)
        if latest and latest.newest is not None and latest.ended is not Status.APPROVED:
            wait = latest.newest + self.policy.resend_after - self.now
            if wait > 0:
                yield errors.ResendTooSoon(wait, latest.id)
        yield from self._quota_refusals(request)
        yield from self._budget_refusals(request)
        wait = self._held_for(request)
        if wait > 0 and request.hosted and request.code is None:
            yield errors.PurposeConflict(wait)

    def _quota_refusals(self, request: SendRequest) -> Iterator[errors.OtpServiceError]:
        block = request.phone.e164[:-3]
        sends = [(send.time, send.request) for send in self._standing()]
        policy = self.policy
        counted = {
            "address": (
                [t for t, r in sends if r.address == request.address],
                policy.address_quota,
            ),
            "prefix": ([t for t, r in sends if r.phone.e164[:-3] == block], policy.prefix_quota),
            "app": ([t for t, r in sends if r.owner.app == request.owner.app], self.app_quota),
            "phone": ([t for t, r in sends if r.phone == request.phone], policy.phone_quota),
        }
        if request.address is None:
            del counted["address"]
        for name, (times, quotas) in counted.items():
            over = self._over(name, times, quotas)
            if over and name not in policy.record_only:
                yield over

    def _over(
        self, name: str, times: Iterable[int], quotas: Iterable[Quota]
    ) -> errors.QuotaExceeded | None:
        """What the quota that refuses longest says."""
        found = None
        for quota in quotas:
            inside = self._inside(times, quota)
            if len(inside) >= quota.amount:
                wait = inside[-quota.amount] + quota.window - self.now
                if found is None or wait > found.retry_after:
                    found = errors.QuotaExceeded(name, quota.amount, quota.window, wait)
        return found

    def _budget_refusals(self, request: SendRequest) -> Iterator[errors.OtpServiceError]:
        today = [send.request for send in self._standing() if send.time // DAY == self.now // DAY]
        of_app = [sent for sent in today if sent.owner.app == request.owner.app]
        wait = DAY - self.now % DAY
        if 0 < self.app_budget <= len(of_app):
            yield errors.BudgetExhausted("app", wait)
        if 0 < self.policy.daily_budget <= len(today):
            yield errors.BudgetExhausted("service", wait)

    def _held_for(self, request: SendRequest) -> int:
        """Seconds the provider may still keep another owner's code for the phone."""
        hosted = [
            (send.time, held)
            for held in self.held
            for send in held.standing
            if held.phone == request.phone and send.hosted
        ]
        if not hosted:
            return 0
        time, holder = max(hosted, key=lambda pair: pair[0])
        if holder.owner == request.owner or holder.freed:
            return 0
        return max(0, time + self.hold - self.now)

    def send(self, request: SendRequest, send_id: str, id: str) -> Verification:
        """Take one SMS that is not refused; ``id`` names the verification if it is a new one."""
        hosted = request.hosted and self._held_for(request) == 0
        held = self.latest(request.owner, request.phone)
        if held is None or self.status(held) is not Status.PENDING:
            held = Verification(id, request.owner, request.phone, self.now)
            self.held.append(held)
        held.sends.append(Send(send_id, self.now, request, hosted))
        return held

    def settle_send(
        self, held: Verification, send: Send, outcome: SendOutcome, *, hosted: bool
    ) -> None:
        send.outcome, send.hosted = outcome, hosted
        if not held.standing and held.ended is None:
            held.end(Status.FAILED, self.now)

    # Guessing

    def guess(
        self, owner: Owner, subject: str | PhoneNumber, guess: Guess
    ) -> tuple[Verification, bool]:
        """Count a guess; whether it is right already, or has to be asked about. Or raise."""
        self._require_room(guess.address)
        held = self._subject(owner, subject)
        self._require_open(held)
        if guess.code in held.good_codes():
            self._approve(held, guess)
            return held, True
        held.guesses.append(guess)
        lock = self._count_failure(held.phone)
        if not held.is_hosted() or self.used.get((held.phone, guess.code), 0) > self.now:
            guess.outcome = AttemptOutcome.NO
            raise errors.WrongCode(held.id, self.attempts_left(held), lock)
        return held, False

    def _require_room(self, address: str | None) -> None:
        times = [
            guess.time
            for held in self.held
            for guess in held.guesses
            if guess.address == address and guess.outcome in {None, AttemptOutcome.NO}
        ]
        over = self._over("address_failure", times, self.policy.address_failure_quota)
        if over and address and "address" not in self.policy.record_only:
            raise over

    def _subject(self, owner: Owner, subject: str | PhoneNumber) -> Verification:
        if isinstance(subject, PhoneNumber):
            held = self.latest(owner, subject)
        else:
            held = next((held for held in self.held if held.id == subject), None)
        if held is None or held.owner.app != owner.app or held.ended is Status.FAILED:
            raise errors.NotFound
        return held

    def _require_open(self, held: Verification) -> None:
        status, locked = self.status(held), self.locked_for(held.phone)
        if status is Status.APPROVED:
            raise errors.AlreadyConfirmed(held.id)
        if status is Status.CANCELED:
            raise errors.Canceled(held.id)
        if status is Status.EXPIRED:
            raise errors.Expired(held.id)
        if locked:
            raise errors.PhoneLocked(None if locked == inf else int(locked))
        if status is Status.ATTEMPTS_EXHAUSTED:
            raise errors.AttemptsExhausted(held.id)

    def settle_guess(self, held: Verification, guess: Guess, outcome: AttemptOutcome | str) -> None:
        """Say how a guess that was asked about came out; raises what a late yes comes to."""
        guess.outcome = outcome
        if outcome is AttemptOutcome.NO:
            held.lost = False
            return
        self._take_out_failure(held.phone, guess.time)
        if outcome is AttemptOutcome.UNKNOWN:
            held.lost = True
        if outcome == YES:
            self._approve_hosted(held, guess)

    def _approve_hosted(self, held: Verification, guess: Guess) -> None:
        late = {Status.APPROVED: errors.AlreadyConfirmed, Status.CANCELED: errors.Canceled}
        if held.ended:
            raise late.get(held.ended, errors.NotFound)(held.id)
        hosted = [send.time for send in held.standing if send.hosted]
        self.used[held.phone, guess.code] = max(hosted, default=0) + self.hold
        held.freed = True
        self._approve(held, guess)

    def _approve(self, held: Verification, guess: Guess) -> None:
        held.end(Status.APPROVED, self.now)
        held.approved_by = guess.id
        self.failures[held.phone] = Failures(cleared=self.now)

    def cancel(self, held: Verification) -> None:
        if self.status(held) is Status.PENDING:
            held.end(Status.CANCELED, self.now)

    # Locks

    def _count_failure(self, phone: PhoneNumber) -> int | None:
        """Count one; returns the seconds of the lock it starts, None for one without an end."""
        policy, failures = self.policy, self.failures_of(phone)
        failures.run = self.run_of(phone) + 1
        failures.total += 1
        failures.last = self.now
        locks, rest = divmod(failures.run, policy.lockout_failures)
        if policy.lockout_total and failures.total >= policy.lockout_total:
            failures.lock = inf
            return None
        if rest:
            return 0
        length = min(policy.lockout_seconds * 2 ** (locks - 1), DAY)
        failures.lock = self.now + length
        return length

    def _take_out_failure(self, phone: PhoneNumber, counted_at: int) -> None:
        failures = self.failures_of(phone)
        if counted_at <= failures.cleared:
            return
        before = failures.run
        failures.run, failures.total = max(0, before - 1), failures.total - 1
        by_hand = failures.lock == inf and failures.total < self.policy.lockout_total
        timed = 0 < failures.lock < inf and before % self.policy.lockout_failures == 0
        if by_hand or timed:
            failures.lock = 0

    def unlock(self, phone: PhoneNumber) -> None:
        self.failures[phone] = Failures(cleared=self.now)
