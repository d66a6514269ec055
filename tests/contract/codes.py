"""Providers that remember every code: what each was sent for, and which guesses it met.

VavaSMS documents neither whether a send kills the phone's earlier codes, nor whether a code works
twice, so a provider of any kind can be made here. Times are seconds of a clock that is given.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from threading import RLock

from otpservice.verification.errors import CodeForgotten, CodeRefused


@dataclass(eq=False)
class SentCode:
    """One code: the provider's if it has a time to die, else one of ours.

    Attributes:
        digits: no other code has them.
        phone: where it was sent, E.164.
        sent_for: id of the verification.
        dies_at: when the provider forgets it.
        met: the guesses that the provider compared with it until it was confirmed: from then on
            the service refuses its digits unasked.
        confirmed: the provider said yes to it.
    """

    digits: str
    phone: str
    sent_for: str
    dies_at: float = float("inf")
    met: list[str] = field(default_factory=list)
    confirmed: bool = False
    dead: bool = False


@dataclass
class Provider:
    """A provider of hosted codes.

    Attributes:
        now: its clock.
        keeps_all: the earlier codes of a phone stay good after a send.
        works_twice: a code stays good after it was confirmed.
        sent: every code there ever was, ours included.
    """

    now: Callable[[], float]
    keeps_all: bool
    works_twice: bool
    sent: list[SentCode] = field(default_factory=list)
    _serial: Iterator[int] = field(default_factory=count)
    _lock: RLock = field(default_factory=RLock)

    def make(self, phone: str, sent_for: str, minutes: int) -> SentCode:
        """Make a code of six digits and send it."""
        with self._lock:
            if not self.keeps_all:
                for code in self.alive(phone):
                    code.dead = True
            digits = f"{next(self._serial):06}"
            return self.note(SentCode(digits, phone, sent_for, self.now() + 60 * minutes))

    def note(self, code: SentCode) -> SentCode:
        """Remember a code that was sent."""
        with self._lock:
            self.sent.append(code)
        return code

    def compare(self, phone: str, guess: str) -> None:
        """Return if a code that is alive on the phone has these digits."""
        with self._lock:
            alive = self.alive(phone)
            for code in alive:
                if not code.confirmed:
                    code.met.append(guess)
            right = next((code for code in alive if code.digits == guess), None)
            if not alive:
                raise CodeForgotten
            if right is None:
                raise CodeRefused
            right.confirmed, right.dead = True, not self.works_twice

    def alive(self, phone: str) -> list[SentCode]:
        """The hosted codes a guess at this phone is compared with."""
        return [
            code
            for code in self.sent
            if code.phone == phone and not code.dead and self.now() < code.dies_at < float("inf")
        ]

    def of(self, digits: str) -> SentCode:
        """The code with these digits."""
        return next(code for code in self.sent if code.digits == digits)

    def most_guesses_met(self) -> int:
        """How many guesses the code met that met most."""
        return max((len(code.met) for code in self.sent), default=0)
