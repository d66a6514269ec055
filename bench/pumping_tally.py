"""The rule of the pumping guard in Python, as a reference for the scripts.

``otpservice.verification.pumping`` explains the rule.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from otpservice.verification.pumping import DAY_MS, HOUR_MS, Budget, Excess

HOURS_IN_SIGHT = 24


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How many SMS may be unconfirmed: ``day`` in the last 24 hours, ``hour`` in the last one.

    ``lasting_day`` and ``lasting_hour`` are the parts of them that stay when the last 24 hours are
    forgotten.
    """

    day: float
    hour: float
    lasting_day: float
    lasting_hour: float


def thresholds(
    budget: Budget, highest_day: int, confirmed_day: float, confirmed_hour: float
) -> Thresholds:
    """The budget that follows from what was confirmed.

    Args:
        budget: the numbers of the rule.
        highest_day: SMS confirmed on the highest of today and the ``peak_days`` before.
        confirmed_day: SMS of the last 24 hours that were confirmed.
        confirmed_hour: SMS of the last hour that were confirmed.
    """
    # Each division is the last step over whole numbers: the script comes to the very same number.
    lasting_day = max(budget.day_floor, highest_day * budget.day_percent / 100)
    lasting_hour = max(
        budget.hour_floor, highest_day * budget.hour_percent / (100 * budget.busy_hours)
    )
    return Thresholds(
        day=max(lasting_day, confirmed_day * budget.day_percent / 100),
        hour=max(lasting_hour, confirmed_hour * budget.hour_percent / 100),
        lasting_day=lasting_day,
        lasting_hour=lasting_hour,
    )


class Tally:
    """The SMS of one country or block, in memory: the rule of the scripts, in Python.

    The simulation counts with it, and tests compare the scripts with it. All times are
    milliseconds since 1970.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._sends: Counter[int] = Counter()
        self._confirmed: Counter[int] = Counter()
        self._days: Counter[int] = Counter()
        self.since = 0
        """When the first SMS was reserved; 0 if none was."""

    def excess(self, now: int) -> Excess | None:
        """Why one more SMS would be over budget; None if it would not."""
        today = now // DAY_MS
        allowed = thresholds(
            self._budget,
            max(self._days.get(today - ago, 0) for ago in range(self._budget.peak_days + 1)),
            _in_sight(HOURS_IN_SIGHT, self._confirmed, now) / HOUR_MS,
            _in_sight(1, self._confirmed, now) / HOUR_MS,
        )
        found = (
            self._weigh(HOURS_IN_SIGHT, allowed.day, allowed.lasting_day, now),
            self._weigh(1, allowed.hour, allowed.lasting_hour, now),
        )
        return max(filter(None, found), key=lambda excess: excess.wait, default=None)

    def enforceable(self, now: int) -> bool:
        """Whether there is history enough to refuse by."""
        return 0 < self.since <= now - self._budget.history_ms

    def send(self, now: int) -> None:
        """Count an SMS."""
        self.since = self.since or now
        self._sends[now // HOUR_MS] += 1

    def give_back(self, sent_at: int) -> None:
        """Take out an SMS that definitely did not leave."""
        self._sends[sent_at // HOUR_MS] -= 1

    def confirm(self, sent_at: int) -> None:
        """Count an SMS as confirmed."""
        self._confirmed[sent_at // HOUR_MS] += 1
        self._days[sent_at // DAY_MS] += 1

    def _weigh(self, hours: int, threshold: float, lasting: float, now: int) -> Excess | None:
        sent = _in_sight(hours, self._sends, now)
        unconfirmed = (sent - _in_sight(hours, self._confirmed, now)) / HOUR_MS
        if unconfirmed + 1 <= threshold:
            return None
        wait = self._wait(hours, lasting, now)
        return Excess(wait, ceil(unconfirmed), int(threshold), hours * HOUR_MS)

    def _unconfirmed_in(self, hour: int) -> int:
        return self._sends.get(hour, 0) - self._confirmed.get(hour, 0)

    def _wait(self, hours: int, lasting: float, now: int) -> int:
        """Milliseconds until time alone has made room for one more under ``lasting``."""
        hour = now // HOUR_MS
        newer = sum(self._unconfirmed_in(n) for n in range(hour - hours, hour + 1))
        for ahead in range(hours + 1):
            oldest = self._unconfirmed_in(hour + ahead - hours)
            newer -= oldest
            room = lasting - 1 - newer
            if room >= 0:
                part = min(HOUR_MS, int(room * HOUR_MS / oldest)) if oldest else HOUR_MS
                return (hour + ahead + 1) * HOUR_MS - part - now
        return (hours + 1) * HOUR_MS


def _in_sight(hours: int, counts: Mapping[int, int], now: int) -> int:
    """What was counted in the last hours, the oldest by its part in sight; times ``HOUR_MS``."""
    hour = now // HOUR_MS
    complete = sum(counts.get(n, 0) for n in range(hour - hours + 1, hour + 1))
    return complete * HOUR_MS + counts.get(hour - hours, 0) * (HOUR_MS - now % HOUR_MS)
