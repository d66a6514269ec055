"""The pumping guard on Redis or Valkey: which keys it counts by and how its scripts are called.

The rule stands in ``otpservice.verification.pumping``. Every subject has its own hash tag, so on a
cluster each is asked by a call of its own; this module only builds the calls and reads the answers,
and whoever makes them puts them into a pipeline with others.

A country's history counts for its blocks: a block pumped for the first time has none of its own. As
the block's script cannot see the country's hash, the guard remembers since when each country has
one from the last answer about it. So a process records only, for the one SMS with which it meets a
country.

Digests are made with the newest secret: after a rotation the guard starts from zero, and
only records for a day. The same holds if Redis lost everything, and for a country that got no SMS
for 15 days.
"""

from collections.abc import Sequence
from dataclasses import astuple
from functools import cache, partial
from typing import Any, NamedTuple

from otpservice.store.scripts import Call
from otpservice.verification.digest import Digester
from otpservice.verification.phone import PhoneNumber
from otpservice.verification.pumping import Budget, Excess


class Subject(NamedTuple):
    """What SMS are counted by.

    Attributes:
        name: ``country`` or ``block``.
        key: of its hash in Redis.
        history_key: of the hash that says since when there is history: its country's.
    """

    name: str
    key: str
    history_key: str


class Verdict(NamedTuple):
    """What a subject's script said of one SMS.

    Attributes:
        excess: why it is over budget; None if it is not.
        refused: it is not to be sent, and was not counted. Over budget but not refused is to be
            logged.
        enforceable: it is over budget and there is history enough to refuse by.
        at: milliseconds since 1970 by the subject's server. Of an SMS that was counted, the time
            to settle it by.
    """

    excess: Excess | None
    refused: bool
    enforceable: bool
    at: int


class PumpingGuard:
    """Builds the guard's script calls and reads their answers; threads may share it.

    Args:
        digester: makes the digests that stand for countries and blocks.
        budget: the numbers of the rule.
        enforce: refuse what is over budget, where there is history; otherwise only record.
    """

    def __init__(
        self, digester: Digester, budget: Budget | None = None, *, enforce: bool = False
    ) -> None:
        self._digester = digester
        self._numbers = astuple(budget or Budget())
        self._enforce = enforce
        self._since: dict[str, int] = {}
        self._country_key = cache(partial(self._key, "country"))

    def subjects(self, phone: PhoneNumber) -> tuple[Subject, ...]:
        """What an SMS to ``phone`` is counted by: its country, then its block of 1,000 numbers.

        A send is refused if either refuses; what the other counted is then given back.
        """
        country = self._country_key(phone.country)
        block = self._key("block", phone.digits[:-3])
        return Subject("country", country, country), Subject("block", block, country)

    def send(self, subject: Subject, send_id: str) -> Call:
        """Count one SMS unless it is refused."""
        return self._weigh(subject, send_id, "spend")

    def preview(self, subject: Subject) -> Call:
        """Say what ``send`` would, and count nothing."""
        return self._weigh(subject, "", "preview")

    def give_back(self, subject: Subject, send_id: str, sent_at: int) -> Call:
        """Take an SMS out that definitely did not leave, once; ``sent_at``: its ``Verdict.at``."""
        return Call("guard_settle", (subject.key,), (send_id, sent_at, "back"))

    def confirm(self, subject: Subject, attempt_id: str, sent_at: int) -> Call:
        """Count an SMS as confirmed, once.

        Args:
            subject: what it was counted by.
            attempt_id: the guess that confirms it.
            sent_at: its ``Verdict.at``, or any time within seconds of it: what was reserved at the
                stroke of an hour is looked for in the hour beside as well.
        """
        return Call("guard_settle", (subject.key,), (attempt_id, sent_at, "confirmed"))

    def unconfirm(self, subject: Subject, attempt_id: str, answer: Sequence[Any]) -> Call | None:
        """Take out what ``confirm`` counted, once, by its answer; None if it counted nothing."""
        if answer[0] != "ok":
            return None
        return Call("guard_settle", (subject.key,), (attempt_id, answer[2], "unconfirmed"))

    def verdict(self, subject: Subject, answer: Sequence[Any]) -> Verdict:
        """Read the answer to ``send`` or ``preview``."""
        word, *facts, at, since = answer
        if subject.key == subject.history_key:
            self._since[subject.key] = since
        if word in {b"ok", "ok"}:
            return Verdict(None, refused=False, enforceable=False, at=at)
        *excess, enforceable = facts
        refused = self._enforce and bool(enforceable)
        return Verdict(Excess(*excess), refused=refused, enforceable=bool(enforceable), at=at)

    def _weigh(self, subject: Subject, send_id: str, mode: str) -> Call:
        own = subject.key == subject.history_key
        since = "own" if own else self._since.get(subject.history_key, 0)
        enforce = "1" if self._enforce else "0"
        args = (send_id, mode, enforce, since, *self._numbers)
        return Call("guard_send", (subject.key,), args)

    def _key(self, name: str, value: str) -> str:
        digest = self._digester.bucket(name, value)
        return f"otp:{{{digest[:4]}}}:g:{digest[4:]}"
