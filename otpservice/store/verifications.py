"""The store on Redis or Valkey: every operation on shared state is one Lua script."""

import json
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from math import ceil
from typing import Any

from otpservice.store.answers import (
    STATE_ERRORS,
    asked,
    phone_state,
    refusal,
    right,
    sent,
    time,
    verification,
)
from otpservice.store.balance import BalanceWatch
from otpservice.store.client import Client
from otpservice.store.generation import Epoch, epoch_keys
from otpservice.store.keys import key_of, record_key, tag_of
from otpservice.store.pumping import PumpingGuard
from otpservice.store.quotas import SharedQuotas, Taken, windows_of
from otpservice.store.scripts import Call, Scripts, TooFewReplicas
from otpservice.telemetry.metrics import QUOTA_WOULD_REFUSE
from otpservice.verification.code import Code
from otpservice.verification.digest import Digester, PhoneDigest
from otpservice.verification.errors import (
    BudgetExhausted,
    DestinationBlocked,
    NotFound,
    OtpServiceError,
    PhoneLocked,
    PurposeConflict,
    QuotaExceeded,
    ResendTooSoon,
    StoreUnavailable,
)
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.policy import Policy
from otpservice.verification.ports import (
    GIVEN_BACK,
    AttemptOutcome,
    AttemptReservation,
    PhoneState,
    Sending,
    SendOutcome,
    SendRequest,
    SendReservation,
    Verification,
)

log = logging.getLogger(__name__)

# Of several refusals callers get the first of these.
_ORDER = [
    DestinationBlocked,
    PhoneLocked,
    ResendTooSoon,
    QuotaExceeded,
    BudgetExhausted,
    PurposeConflict,
]


class RedisStore:
    """Implements ``otpservice.verification.ports.Store``.

    Args:
        redis: the client, as ``Scripts`` wants it.
        digester: makes the digests that stand for phones and codes.
        policy: the limits; Redis holds no configuration.
        guard: watches for SMS pumping; None does not.
        watch: counts the SMS that an account pays for; None does not.
        clock_offset, replicas: see ``Scripts``.
        epoch: since when Redis has its state; asked by ``ping``.
    """

    def __init__(
        self,
        redis: Client,
        digester: Digester,
        policy: Policy,
        *,
        guard: PumpingGuard | None = None,
        watch: BalanceWatch | None = None,
        clock_offset: int = 0,
        replicas: int = 0,
        epoch: Epoch | None = None,
    ) -> None:
        self._digester = digester
        self._limits = json.dumps(_limits(policy))
        self._scripts = Scripts(redis, clock_offset=clock_offset, replicas=replicas)
        self._epoch = epoch or Epoch(self._scripts, epoch_keys(redis))
        self._watch = watch
        self._shared = SharedQuotas(self._scripts, digester, policy, guard)

    @property
    def clock_offset(self) -> int:
        """Milliseconds added to the server's clock."""
        return self._scripts.clock_offset

    @clock_offset.setter
    def clock_offset(self, milliseconds: int) -> None:
        self._scripts.clock_offset = milliseconds

    def reserve_send(self, request: SendRequest, send_id: str) -> SendReservation:
        """Take one SMS out of all its limits, or raise and take nothing."""
        try:
            taken = self._shared.take_send(request, send_id)
        except (QuotaExceeded, BudgetExhausted) as refusal:
            _, of_phone = self._preview_phone(request)
            raise _first(refusal, of_phone) or refusal from None
        digest = self._where(request.phone)
        try:
            facts = self._reserve_phone(request, digest, send_id, "spend")
        except TooFewReplicas as error:
            reservation, _ = sent(digest.tag, send_id, error.answer[1:], taken)
            self._take_back(self.settle_send, reservation, GIVEN_BACK)
            raise
        except StoreUnavailable:
            raise  # what was taken is lost, which is the safe side
        except OtpServiceError:
            self._shared.give_back(taken)
            raise
        reservation, over = sent(digest.tag, send_id, facts, taken)
        if over:
            log.warning("quota_would_refuse", extra={"quota": "phone"})
            QUOTA_WOULD_REFUSE.labels("phone").inc()
        return reservation

    def preview_send(self, request: SendRequest) -> bool:
        """Raise what ``reserve_send`` would raise, the first reason of several."""
        of_others = self._shared.preview_send(request)
        hosted, of_phone = self._preview_phone(request)
        if refusal := _first(of_others, of_phone):
            raise refusal
        return hosted

    def _preview_phone(self, request: SendRequest) -> tuple[bool, OtpServiceError | None]:
        """Whether a hosted route might send, and the phone's own reason to refuse."""
        try:
            (hosted,) = self._reserve_phone(request, self._where(request.phone), "", "preview")
        except StoreUnavailable:
            raise
        except OtpServiceError as refusal:
            return False, refusal
        return bool(hosted), None

    def _reserve_phone(
        self, request: SendRequest, digest: PhoneDigest, send_id: str, mode: str
    ) -> list[Any]:
        """Run the phone's own script; returns what it answered."""
        new_id = secrets.token_hex(16)
        keys = [
            key_of(digest.tag, "p", digest.name),
            key_of(digest.tag, "s", digest.name),
            key_of(digest.tag, "v", new_id),
        ]
        args = [
            self._limits,
            send_id,
            new_id,
            request.owner.app,
            request.owner.purpose,
            request.phone.e164,
            digest.name,
            int(request.hosted),
            self._digester.codes(request.code, digest.tag)[0] if request.code else "",
            mode,
        ]
        call = Call("reserve_send", keys, args)
        preview = mode == "preview"
        (answer,) = self._scripts.run([call], replicated=not preview)
        result, *facts = answer
        if result != "ok":
            raise refusal(result, facts, digest.tag)
        return facts

    def settle_send(self, reservation: SendReservation, sending: Sending) -> None:
        """Keep or give back what was taken."""
        args = [
            self._limits,
            reservation.send_id,
            sending.outcome,
            sending.route,
            int(sending.hosted),
            "" if sending.hosted else sending.message_id,
        ]
        call = Call("settle_send", [record_key(reservation.id)], args)
        followups = []
        if self._watch and self._watch.pays_for(sending.route):
            followups.append(self._watch.count(reservation.send_id))
        (result,), *counted = self._scripts.run([call], followups)
        if self._watch and counted:
            self._watch.counted(counted[0])
        if sending.outcome is SendOutcome.GIVEN_BACK and result == "ok":
            self._shared.give_back(reservation.taken)

    def reserve_attempt(
        self,
        owner: Owner,
        subject: str | PhoneNumber,
        attempt_id: str,
        code: Code,
        address: str | None = None,
    ) -> AttemptReservation:
        """Count one guess, or raise."""
        if isinstance(subject, PhoneNumber):
            digest = self._where(subject)
            tag, key, purpose = digest.tag, key_of(digest.tag, "p", digest.name), owner.purpose
        else:
            tag, key, purpose = tag_of(subject), record_key(subject), ""
        taken = self._shared.take_guess(address, attempt_id)
        args = [
            self._limits,
            attempt_id,
            owner.app,
            purpose,
            *self._digester.codes(code, tag),
        ]
        try:
            call = Call("reserve_attempt", [key], args)
            ((result, *facts),) = self._scripts.run([call], replicated=True)
        except TooFewReplicas as error:
            result, *facts = error.answer
            if result == "ok":
                uncounted = asked(tag, attempt_id, facts, taken)
                back = AttemptOutcome.UNKNOWN if uncounted.compared else AttemptOutcome.GIVEN_BACK
                self._take_back(self.settle_attempt, uncounted, back)
            raise
        if result == "ok":
            return asked(tag, attempt_id, facts, taken)
        if result == "right":  # one of ours
            approved = right(tag, attempt_id, facts)
            self._shared.give_back((*taken, *self._shared.confirm(approved)))
            return approved
        if result != "wrong_code":
            self._shared.give_back(taken)
        raise refusal(result, facts, tag)

    def approve(self, reservation: AttemptReservation, code: Code) -> datetime:
        """Settle a guess the route said yes to; the first yes wins."""
        digests = self._digester.codes(code, tag_of(reservation.id))
        # What the guess took is given back whatever comes out, and once at the most.
        followups = (*self._shared.confirm(reservation), *reservation.taken)
        (result, *facts), *told = self._settle(reservation, "yes", followups, digests)
        if result == "yes":
            return time(facts[0])
        self._shared.unconfirm(reservation, told)
        raise STATE_ERRORS.get(result, NotFound)(reservation.id)

    def settle_attempt(self, reservation: AttemptReservation, outcome: AttemptOutcome) -> int:
        """Settle a guess that did not come to a yes; returns the guesses that remain."""
        followups = () if outcome is AttemptOutcome.NO else reservation.taken
        (result, *facts), *_ = self._settle(reservation, outcome, followups)
        return int(facts[0]) if result != "not_found" else 0

    def read(self, app: str, id: str) -> Verification:
        """Look at a verification without changing it."""
        return self._read(app, id, "")

    def cancel(self, app: str, id: str) -> Verification:
        """Cancel it if it is pending; returns it as it was before."""
        return self._read(app, id, "cancel")

    def keep_delivery(self, verification: Verification, word: str) -> None:
        """Keep the provider's word about the last SMS."""
        args = [verification.message_id, word]
        self._scripts.run([Call("delivery", [record_key(verification.id)], args)])

    def lookup(self, phone: PhoneNumber) -> PhoneState:
        """What is held about a phone."""
        return self._phone(phone, "")

    def unlock(self, phone: PhoneNumber) -> PhoneState:
        """Forget a phone's failures and lift its lock; returns what was held before."""
        return self._phone(phone, "unlock")

    def ping(self) -> None:
        """Return if Redis answers, and lets itself be written to."""
        self._epoch.look()

    def _where(self, phone: PhoneNumber) -> PhoneDigest:
        """The digest a phone's state stands under: the older secret's for as long as any does."""
        newest, *older = self._digester.phones(phone)
        for digest in older:
            keys = [key_of(digest.tag, kind, digest.name) for kind in ("p", "s", "o")]
            ((_, held),) = self._scripts.run([Call("exists", keys, [])])
            if held:
                return digest
        return newest

    def _take_back(self, settle: Callable[..., object], *args: object) -> None:
        """Undo what too few replicas have; what cannot be undone stays, which is the safe side."""
        try:
            settle(*args)
        except StoreUnavailable:
            log.exception("reservation_not_given_back")

    def _settle(
        self,
        reservation: AttemptReservation,
        outcome: str,
        followups: Taken,
        digests: Sequence[str] = (),
    ) -> list[list[Any]]:
        args = [self._limits, reservation.attempt_id, outcome, *digests]
        call = Call("settle_attempt", [record_key(reservation.id)], args)
        return self._scripts.run([call], followups, replicated=outcome == "yes")

    def _read(self, app: str, id: str, action: str) -> Verification:
        args = [self._limits, app, action]
        call = Call("read", [record_key(id)], args)
        ((result, *facts),) = self._scripts.run([call], replicated=action == "cancel")
        if result != "ok":
            raise NotFound
        return verification(id, facts)

    def _phone(self, phone: PhoneNumber, action: str) -> PhoneState:
        digest = self._where(phone)
        keys = [key_of(digest.tag, kind, digest.name) for kind in ("p", "s")]
        args = [self._limits, action]
        ((_, *facts),) = self._scripts.run([Call("phone", keys, args)])
        return phone_state(digest.tag, facts)


def _first(*refusals: OtpServiceError | None) -> OtpServiceError | None:
    """Of several reasons to refuse the one that callers hear."""
    found = [refusal for refusal in refusals if refusal]
    return min(found, key=lambda refusal: _ORDER.index(type(refusal)), default=None)


def _limits(policy: Policy) -> dict[str, Any]:
    """The policy as ``lua/lib/record.lua`` describes it."""
    provider_timeout = ceil(policy.provider_timeout * 1000)
    return {
        "ttl": policy.code_ttl * 1000,
        "max_attempts": policy.max_attempts,
        "cooldown": policy.resend_after * 1000,
        "quota": windows_of(policy.phone_quota),
        "record_only": "phone" in policy.record_only,
        # The provider counts in whole minutes, from when it makes the code: perhaps at the very
        # end of the call.
        "life": ceil(policy.code_ttl / 60) * 60_000 + provider_timeout,
        "asked": ceil(policy.ask_within * 1000) + provider_timeout,
        "lockout": {
            "failures": policy.lockout_failures,
            "length": policy.lockout_seconds * 1000,
            "total": policy.lockout_total,
        },
    }
