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
    proof: Guess | None = None  # that the provider said yes to
    closed: bool = False  # canceled when it was exhausted, which stays its status
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
        """Codes of our own: the newest that certainly left, and the newest of the others that no
        later SMS retired.
        """
        last = max((s.time for s in self.sends if s.outcome is SendOutcome.SENT), default=0)
        ours = [s for s in self.standing if s.request.code and not (s.outcome and s.hosted)]
        left = [s for s in ours if s.outcome is SendOutcome.SENT and s.time == last]
        others = [
            s
            for s in ours
            if s.outcome is None or (s.outcome is SendOutcome.UNKNOWN and s.time >= last)
        ]
        newest_first = sorted(others, key=lambda send: -send.time)
        return {send.request.code for send in (*left, *newest_first[:1])}

    def hosted_alive(self, at: int, life: int) -> list[Send]:
        """The sends whose codes the provider may have made, and still hold at that time."""
        return [send for send in self.standing if send.hosted and send.time + life > at]

    def is_hosted(self, alive: list[Send]) -> bool:
        """Whether a guess has to be asked about: a hosted code may be ``alive``, and the route that
        certainly sent last keeps it, or one that may do so is sending just now.
        """
        if not alive or any(send.outcome is None for send in alive):
            return bool(alive)
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
    def life(self) -> int:
        """Seconds from its reservation in which a hosted code may be alive: the provider counts in
        whole minutes, and makes it within one call.
        """
        return -(-self.policy.code_ttl // 60) * 60 + int(self.policy.provider_timeout)

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
        if held.closed or held.attempts >= self.policy.max_attempts:
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
        holder = self._holder(request) if request.code is None else None
        if latest:
            cools = latest.newest is not None and latest.ended is not Status.APPROVED
            wait = latest.newest + self.policy.resend_after - self.now if cools else 0
            if holder and holder.owner == request.owner:
                wait = max(wait, self._holds_for(holder))
            if wait > 0:
                yield errors.ResendTooSoon(wait, latest.id)
        yield from self._quota_refusals(request)
        yield from self._budget_refusals(request)
        if holder and holder.owner != request.owner:
            yield errors.PurposeConflict(self._holds_for(holder))

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

    def _holder(self, request: SendRequest) -> Verification | None:
        """The other verification that the provider's codes for this phone belong to."""
        resend = self.latest(request.owner, request.phone)
        if resend and self.status(resend) is not Status.PENDING:
            resend = None
        others = [h for h in self.held if h.phone == request.phone and h is not resend]
        holders = [held for held in others if self._holds_for(held) > 0]
        assert len(holders) <= 1
        return holders[0] if request.hosted and holders else None

    def _holds_for(self, held: Verification) -> int:
        """Seconds in which a code of a verification, but the approved one, may be alive, or a guess
        at it be on its way.
        """
        alive = held.hosted_alive(held.proof.time if held.proof else 0, self.life)
        if held.proof and len(alive) == 1:
            alive = []
        on_their_way = {None, AttemptOutcome.UNKNOWN}
        asked = [guess.time for guess in held.guesses if guess.outcome in on_their_way]
        patience = int(self.policy.ask_within + self.policy.provider_timeout)
        ends = [*(send.time + self.life for send in alive), *(time + patience for time in asked)]
        return max(0, max(ends, default=0) - self.now)

    def send(self, request: SendRequest, send_id: str, id: str) -> Verification:
        """Take one SMS that is not refused; ``id`` names the verification if it is a new one."""
        hosted = request.hosted and self._holder(request) is None
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
        alive = held.hosted_alive(self.now, self.life)
        if not held.is_hosted(alive) or self.used.get((held.phone, guess.code), 0) > self.now:
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
        if held.closed:
            raise errors.AttemptsExhausted(held.id)
        alive = [send.time + self.life for send in held.hosted_alive(guess.time, self.life)]
        self.used[held.phone, guess.code] = max(alive, default=0)
        held.proof = guess
        self._approve(held, guess)

    def _approve(self, held: Verification, guess: Guess) -> None:
        held.end(Status.APPROVED, self.now)
        held.approved_by = guess.id
        self.failures[held.phone] = Failures(cleared=self.now)

    def cancel(self, held: Verification) -> None:
        if self.status(held) is Status.PENDING:
            held.end(Status.CANCELED, self.now)
        held.closed |= self.status(held) is Status.ATTEMPTS_EXHAUSTED

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
