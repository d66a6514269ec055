"""The store on Redis or Valkey: every operation on shared state is one Lua script."""

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from math import ceil
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from otpservice.verification.code import Code
from otpservice.verification.digest import Digester, PhoneDigest
from otpservice.verification.errors import (
    AlreadyConfirmed,
    AttemptsExhausted,
    Canceled,
    Expired,
    NotFound,
    OtpServiceError,
    PhoneLocked,
    PurposeConflict,
    QuotaExceeded,
    ResendTooSoon,
    StoreUnavailable,
    WrongCode,
)
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.policy import Policy
from otpservice.verification.ports import (
    AttemptOutcome,
    AttemptReservation,
    Owner,
    SendOutcome,
    SendReservation,
    Status,
    Verification,
)

_SCRIPTS = ("reserve_send", "settle_send", "reserve_attempt", "settle_attempt", "read")

_STATE_ERRORS: dict[str, type[AlreadyConfirmed | Canceled | Expired | AttemptsExhausted]] = {
    "approved": AlreadyConfirmed,
    "canceled": Canceled,
    "expired": Expired,
    "attempts_exhausted": AttemptsExhausted,
}


class RedisStore:
    """Implements ``otpservice.verification.ports.Store``.

    Args:
        redis: a client that decodes nothing and retries nothing: a script that timed out may have
            run, and running it again under another id would count twice.
        digester: makes the digests that stand for phones and codes.
        policy: the limits; Redis holds no configuration.
        clock_offset: milliseconds added to the server's clock; for tests of what time does.
    """

    def __init__(
        self, redis: Redis, digester: Digester, policy: Policy, *, clock_offset: int = 0
    ) -> None:
        self._redis = redis
        self._digester = digester
        self._policy = policy
        self.clock_offset = clock_offset
        lua = files("otpservice.adapters") / "lua"
        common = (lua / "common.lua").read_text()
        self._scripts = {
            name: redis.register_script(common + (lua / f"{name}.lua").read_text())
            for name in _SCRIPTS
        }

    def reserve_send(
        self, owner: Owner, phone: PhoneNumber, send_id: str, *, hosted: bool
    ) -> SendReservation:
        """Take one SMS out of all its limits, or raise and take nothing."""
        digest = self._where(phone)
        new_id = secrets.token_hex(16)
        policy = self._policy
        result, *facts = self._run(
            "reserve_send",
            [
                _key(digest.tag, "p", digest.name),
                _key(digest.tag, "s", digest.name),
                _key(digest.tag, "v", new_id),
            ],
            send_id,
            new_id,
            owner.app,
            owner.purpose,
            phone.e164,
            digest.name,
            policy.code_ttl * 1000,
            policy.resend_after * 1000,
            policy.max_attempts,
            self._hold if hosted else 0,
            *(n for quota in policy.phone_quota for n in (quota.amount, quota.window * 1000)),
        )
        if result != "ok":
            raise _refusal(result, facts, digest.tag)
        token, _, expires_at, resend_at, attempts_left, sends_left = facts
        return SendReservation(
            id=_id(digest.tag, token),
            send_id=send_id,
            expires_at=_time(expires_at),
            resend_at=_time(resend_at),
            attempts_left=attempts_left,
            sends_left=None if sends_left < 0 else sends_left,
        )

    def settle_send(
        self, reservation: SendReservation, outcome: SendOutcome, route: str = ""
    ) -> None:
        """Keep or give back what was taken."""
        self._run(
            "settle_send",
            [_record_key(reservation.id)],
            reservation.send_id,
            outcome,
            route,
            self._policy.code_ttl * 1000,
            self._policy.max_attempts,
            self._hold,
        )

    def reserve_attempt(
        self, owner: Owner, subject: str | PhoneNumber, attempt_id: str, code: Code
    ) -> AttemptReservation:
        """Count one guess, or raise."""
        if isinstance(subject, PhoneNumber):
            digest = self._where(subject)
            tag, key, purpose = digest.tag, _key(digest.tag, "p", digest.name), owner.purpose
        else:
            tag, key, purpose = _tag(subject), _record_key(subject), ""
        policy = self._policy
        result, *facts = self._run(
            "reserve_attempt",
            [key],
            attempt_id,
            owner.app,
            purpose,
            policy.code_ttl * 1000,
            policy.max_attempts,
            policy.lockout_failures,
            policy.lockout_seconds * 1000,
            policy.lockout_total,
            *self._digester.codes(code, tag),
        )
        if result != "ok":
            raise _refusal(result, facts, tag)
        token, phone, purpose, route, unknown = facts
        return AttemptReservation(
            id=_id(tag, token),
            attempt_id=attempt_id,
            phone=PhoneNumber(_text(phone)),
            purpose=_text(purpose),
            route=_text(route),
            previous_unknown=bool(unknown),
        )

    def approve(self, reservation: AttemptReservation, code: Code) -> datetime:
        """Settle a guess the route said yes to; the first yes wins."""
        result, *facts = self._settle(
            reservation, "yes", self._digester.codes(code, _tag(reservation.id))[0]
        )
        if result == "yes":
            return _time(facts[0])
        raise _STATE_ERRORS.get(result, NotFound)(reservation.id)

    def settle_attempt(self, reservation: AttemptReservation, outcome: AttemptOutcome) -> int:
        """Settle a guess that did not come to a yes; returns the guesses that remain."""
        result, *facts = self._settle(reservation, outcome, "")
        return int(facts[0]) if result != "not_found" else 0

    def read(self, app: str, id: str) -> Verification:
        """Look at a verification without changing it."""
        return self._read(app, id, "")

    def cancel(self, app: str, id: str) -> Verification:
        """Cancel it if it is pending; returns it as it was before."""
        return self._read(app, id, "cancel")

    def ping(self) -> None:
        """Return if Redis answers."""
        self._call(self._redis.ping)

    @property
    def _hold(self) -> int:
        """Milliseconds the provider may keep a hosted code: it counts in whole minutes."""
        return ceil(self._policy.code_ttl / 60) * 60_000

    def _where(self, phone: PhoneNumber) -> PhoneDigest:
        """The digest a phone's state stands under: the older secret's for as long as any does."""
        newest, *older = self._digester.phones(phone)
        for digest in older:
            keys = [_key(digest.tag, kind, digest.name) for kind in ("p", "s")]
            if self._call(self._redis.exists, *keys):
                return digest
        return newest

    def _settle(self, reservation: AttemptReservation, outcome: str, digest: str) -> list[Any]:
        return self._run(
            "settle_attempt",
            [_record_key(reservation.id)],
            reservation.attempt_id,
            outcome,
            self._policy.code_ttl * 1000,
            self._policy.max_attempts,
            self._policy.lockout_failures,
            self._policy.lockout_total,
            self._hold,
            digest,
        )

    def _read(self, app: str, id: str, action: str) -> Verification:
        result, *facts = self._run(
            "read",
            [_record_key(id)],
            app,
            self._policy.code_ttl * 1000,
            self._policy.max_attempts,
            self._policy.resend_after * 1000,
            action,
        )
        if result != "ok":
            raise NotFound
        status, purpose, phone, expires_at, resend_at, attempts_left = facts
        return Verification(
            id=id,
            status=Status(_text(status)),
            purpose=_text(purpose),
            phone=PhoneNumber(_text(phone)),
            expires_at=_time(expires_at),
            resend_at=_time(resend_at),
            attempts_left=attempts_left,
        )

    def _run(self, script: str, keys: Sequence[str], *args: str | int) -> list[Any]:
        """Run one script; its answer starts with a word that says how it went."""
        answer = self._call(self._scripts[script], keys, [self.clock_offset, *args])
        if not isinstance(answer, list):
            return [answer]
        return [_text(answer[0]), *answer[1:]]

    def _call(self, command: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401 - redis-py's
        try:
            return command(*args)
        except RedisError as error:
            raise StoreUnavailable from error


def _refusal(result: str, facts: Sequence[Any], tag: str) -> OtpServiceError:
    """The error for a script's answer other than "ok"."""
    if result in _STATE_ERRORS:
        return _STATE_ERRORS[result](_id(tag, facts[0]))
    match result:
        case "wrong_code":
            error: OtpServiceError = WrongCode(_id(tag, facts[0]), facts[1])
        case "phone_locked":
            error = PhoneLocked(None if facts[0] < 0 else _seconds(facts[0]))
        case "resend_too_soon":
            error = ResendTooSoon(_seconds(facts[0]), _id(tag, facts[1]))
        case "quota_exceeded":
            amount, window, wait = facts
            error = QuotaExceeded("phone", amount, window // 1000, _seconds(wait))
        case "purpose_conflict":
            error = PurposeConflict(_seconds(facts[0]))
        case _:
            error = NotFound()
    return error


_ID = re.compile(r"ver_([0-9a-f]{4})([0-9a-f]{32})\Z")


def _id(tag: str, token: bytes) -> str:
    return f"ver_{tag}{_text(token)}"


def _key(tag: str, kind: str, name: str) -> str:
    return f"otp:{{{tag}}}:{kind}:{name}"


def _tag(id: str) -> str:
    """The hash tag an id carries; an id of any other form was never one of ours."""
    match = _ID.match(id)
    if match is None:
        raise NotFound
    return match[1]


def _record_key(id: str) -> str:
    return _key(_tag(id), "v", id[8:])


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _seconds(milliseconds: int) -> int:
    """Whole seconds to wait, never too few."""
    return ceil(milliseconds / 1000)
