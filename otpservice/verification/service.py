"""The four things an app can do with a verification: start it, check it, look at it, cancel it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import getrandbits
from time import monotonic
from typing import NamedTuple, NoReturn

from otpservice.verification.code import Code
from otpservice.verification.errors import (
    AlreadyConfirmed,
    CodeForgotten,
    CodeRefused,
    Expired,
    InvalidPhone,
    NotDone,
    NumberRefused,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    SendingDisabled,
    StoreUnavailable,
    WrongCode,
)
from otpservice.verification.owner import Owner
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.policy import Policy
from otpservice.verification.ports import (
    GIVEN_BACK,
    AttemptOutcome,
    AttemptReservation,
    Sending,
    SendOutcome,
    SendRequest,
    SendReservation,
    Status,
    Store,
    Verification,
)
from otpservice.verification.routes import (
    HostedRoute,
    OutgoingCode,
    RefusingRoute,
    Route,
    TracedRoute,
)

_DELIVERY_KEPT = 30
"""Seconds the provider's word about an SMS is good for: the next look asks again."""

log = logging.getLogger(__name__)


class Started(NamedTuple):
    """A verification somebody may now confirm.

    Attributes:
        reservation: its id, its times and what is left of its limits.
        delivered: False when the provider's answer was lost: the SMS may come or not.
        route: name of the route that sent, or may have.
    """

    reservation: SendReservation
    delivered: bool
    route: str


@dataclass(frozen=True, slots=True)
class Approved:
    """The proof an app asked for: the person who typed the code holds ``phone``."""

    id: str
    purpose: str
    phone: PhoneNumber
    approved_at: datetime


class VerificationService:
    """The rules of a verification, over a store for its state and routes for its SMS.

    Args:
        store: where the state lives.
        routes: by name, all that a verification may have been sent by.
        policy: the limits.
        sending: False refuses every start; what was sent before can still be confirmed.
    """

    def __init__(
        self,
        store: Store,
        routes: Mapping[str, Route],
        policy: Policy,
        *,
        sending: bool = True,
    ) -> None:
        self._store = store
        self._routes = routes
        # Sorted out once: whether an object fits a Protocol takes longer to tell than a dict.
        self._hosted = {
            name: route for name, route in routes.items() if isinstance(route, HostedRoute)
        }
        self._policy = policy
        self._sending = sending

    def start(
        self, request: SendRequest, *, sender_id: str, template: str, routes: Sequence[str]
    ) -> Started:
        """Send a code, as a resend if one of the owner's is pending on this phone.

        Args:
            request: who asks for an SMS to whom.
            sender_id: 3 to 11 letters and digits, shown as the SMS's sender.
            template: the SMS's text; the code goes where ``##OTP##`` stands.
            routes: names of the routes to try, first choice first.

        Raises:
            SendingDisabled, PhoneLocked, ResendTooSoon, QuotaExceeded, BudgetExhausted,
            PurposeConflict: nothing was sent or counted.
            InvalidPhone: the provider refused the number; nothing was counted.
            ProviderRejected, ProviderUnavailable: definitely nothing was sent; nothing was counted.
            StoreUnavailable: nothing was sent.
        """
        if not self._sending:
            raise SendingDisabled
        request = self._with_code(request, routes)
        # Before it is reserved: the store counts from then how long a hosted code may live.
        deadline = monotonic() + self._policy.provider_timeout
        # Store first, then send: a code that arrives must always be confirmable.
        reservation = self._store.reserve_send(request, _new_name())
        message = OutgoingCode(
            id=reservation.id,
            owner=request.owner,
            phone=request.phone,
            sender_id=sender_id,
            template=template,
            length=self._policy.code_length,
            ttl=self._policy.code_ttl,
            code=request.code,
            deadline=deadline,
        )
        try:
            sending = self._send_by_first(routes, message, hosted=reservation.hosted)
        except (NotDone, NumberRefused) as refusal:
            self._settle_send(reservation, GIVEN_BACK)
            if isinstance(refusal, NumberRefused):
                raise InvalidPhone("The provider does not take this number.") from refusal
            raise
        self._settle_send(reservation, sending)
        return Started(reservation, sending.outcome is SendOutcome.SENT, sending.route)

    def preview(self, request: SendRequest, *, routes: Sequence[str]) -> None:
        """Raise what ``start`` would raise before it asks a route, and change nothing."""
        if not self._sending:
            raise SendingDisabled
        hosted = self._store.preview_send(self._with_code(request, routes))
        candidates = self._candidates(routes, hosted=hosted)
        waits = [self._refused_for(route) for route in candidates]
        if waits and all(waits):
            raise ProviderUnavailable(min(waits))

    def check(
        self, owner: Owner, subject: str | PhoneNumber, code: Code, address: str | None = None
    ) -> Approved:
        """Approve a verification if ``code`` is the one that was sent for it.

        Args:
            owner: the app, and the purpose where the verification is named by its phone.
            subject: the verification's id, or the phone of the owner's latest.
            code: the guess.
            address: the end user's, as ``address_block`` groups them; None if it is not known.

        Raises:
            QuotaExceeded, NotFound, AlreadyConfirmed, Canceled, Expired, PhoneLocked,
            AttemptsExhausted: not counted and not asked.
            WrongCode: counted.
            OutcomeUnknown: counted; the answer was lost, or the provider could not be asked about a
                guess that is no code of ours.
            ProviderRejected, ProviderUnavailable: definitely not checked; not counted.
            StoreUnavailable: nothing was approved.
        """
        ask_by = monotonic() + self._policy.ask_within
        attempt = self._store.reserve_attempt(owner, subject, _new_name(), code, address)
        if attempt.approved_at:
            return Approved(attempt.id, attempt.purpose, attempt.phone, attempt.approved_at)
        try:
            self._ask(attempt, code, by=ask_by)
        except CodeRefused as refusal:
            # The lost check before this one may have used the code up: "no such code" is no "no".
            if isinstance(refusal, CodeForgotten) and attempt.previous_unknown:
                self._lose(attempt)
            left = self._store.settle_attempt(attempt, AttemptOutcome.NO)
            raise WrongCode(attempt.id, left, attempt.locked_for) from refusal
        except NotDone:
            if attempt.compared:  # given back, it would let somebody try all codes of ours
                self._lose(attempt)
            self._store.settle_attempt(attempt, AttemptOutcome.GIVEN_BACK)
            raise
        except OutcomeUnknown:
            self._lose(attempt)
        approved_at = self._store.approve(attempt, code)
        return Approved(attempt.id, attempt.purpose, attempt.phone, approved_at)

    def status(self, app: str, id: str) -> Verification:
        """Look at a verification; never spends an attempt.

        Raises:
            NotFound: there is none, or it is another app's.
        """
        return self._store.read(app, id)

    def delivery(self, held: Verification) -> str | None:
        """The provider's own word for the state of the last SMS; None where it gives none.

        Asked when somebody looks, kept for half a minute, never inferred.
        """
        route = self._routes.get(held.route)
        if not held.message_id or not isinstance(route, TracedRoute):
            return None
        if held.delivery and held.delivery_age < _DELIVERY_KEPT:
            return held.delivery
        try:
            word = route.delivery(held.message_id)
        except ProviderError:
            return held.delivery or None
        self._store.keep_delivery(held, word)
        return word or None

    def cancel(self, app: str, id: str) -> None:
        """Take a verification back: its codes approve nothing any more.

        Raises:
            NotFound: there is none, or it is another app's.
            AlreadyConfirmed, Expired: too late.
        """
        before = self._store.cancel(app, id)
        if before.status is Status.APPROVED:
            raise AlreadyConfirmed(id)
        if before.status is Status.EXPIRED:
            raise Expired(id)

    def _refused_for(self, route: Route) -> int:
        return route.refused_for if isinstance(route, RefusingRoute) else 0

    def _with_code(self, request: SendRequest, routes: Sequence[str]) -> SendRequest:
        """The request, with a code of ours if one of its routes is local."""
        hosted = [name in self._hosted for name in routes]
        code = None if all(hosted) else Code.random(self._policy.code_length)
        return request._replace(hosted=any(hosted), code=code)

    def _send_by_first(
        self, routes: Sequence[str], message: OutgoingCode, *, hosted: bool
    ) -> Sending:
        """Try the routes in turn, on to the next only if definitely nothing left."""
        refused: NotDone = ProviderUnavailable()
        for route in self._candidates(routes, hosted=hosted):
            if not message.seconds_left:
                break
            keeps_code = route.name in self._hosted
            try:
                message_id = route.send(message)
            except NotDone as refusal:
                refused = refusal
            except OutcomeUnknown:
                return Sending(SendOutcome.UNKNOWN, route.name, keeps_code)
            else:
                return Sending(SendOutcome.SENT, route.name, keeps_code, message_id)
        raise refused

    def _candidates(self, routes: Sequence[str], *, hosted: bool) -> list[Route]:
        """The routes to try: the hosted ones only if the provider's one code is not another's."""
        return [self._routes[name] for name in routes if hosted or name not in self._hosted]

    def _settle_send(self, reservation: SendReservation, sending: Sending) -> None:
        """Settle what the provider has answered; without the store, the reservation stands.

        Then the code is confirmable all the same, and what should have been given back is lost,
        which is the safe side.
        """
        try:
            self._store.settle_send(reservation, sending)
        except StoreUnavailable:
            log.exception("send_not_settled", extra={"id": reservation.id})

    def _ask(self, attempt: AttemptReservation, code: Code, by: float) -> None:
        """Ask the route that sent last, or the first hosted one, if it may be sending just now."""
        if monotonic() > by:
            raise ProviderUnavailable
        route = self._hosted.get(attempt.route) or next(iter(self._hosted.values()), None)
        if route is None:  # the service was set up without the account that sent
            raise ProviderUnavailable
        route.check(attempt.phone, code)

    def _lose(self, attempt: AttemptReservation) -> NoReturn:
        self._store.settle_attempt(attempt, AttemptOutcome.UNKNOWN)
        raise OutcomeUnknown(attempt.id)


def _new_name() -> str:
    """Names one send or one guess to the store: no secret, so the system is not asked for one."""
    return f"{getrandbits(64):016x}"
