"""SMS pumping, and the rule that tells it from people who log in.

An attacker asks for codes to numbers whose operator shares the price of each SMS, and never types
them. The guard counts unconfirmed SMS per country and per block of 1,000 numbers, and compares them
with a budget that follows how many were confirmed lately. The rule and its ratios are authgear's
(docs/specs/fraud-protection.md in authgear/authgear-server, where they are the default for
countries); blocks are ours, and follow the same rule.

Refusing by it needs traffic: SMS on their way count as unconfirmed, and at a few confirmations an
hour three of them are the whole budget. ``python -m bench.pumping_simulation`` prints how many
people that refuses, on a launch day above all.

What exactly is counted:

- Each SMS counts when it is reserved, before it is sent: on its way, it is unconfirmed. It is taken
  out again if it definitely did not leave.
- An approval confirms one SMS, the one sent last before the guess, in the hour and day that SMS
  was counted in, not those of the approval: so no hour has more confirmed than sent.
  Earlier SMS of the same verification stay unconfirmed.
- Hours and days are those of UTC, from the epoch. "The last 24 hours" are the running hour, the 23
  before it, and of the 24th before it the part still in sight, as in a sliding-window counter: an
  hour counts whole until 24 hours after it began and then fades evenly, so an SMS counts whole for
  23 hours at least and not at all after 25. "The last hour" is the running hour and that part of
  the one before: an SMS is gone after two. SMS and confirmations fade alike.
- An SMS is over budget if with it the unconfirmed ones exceed a threshold: with a threshold of 3
  the fourth is.
- A refused SMS is not counted. One that is only recorded is.
"""

from dataclasses import dataclass

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Budget:
    """The numbers of the rule; the scripts get them as arguments. Floors are at least 1."""

    day_floor: int = 20
    """Unconfirmed SMS in 24 hours that are never too many (authgear)."""
    hour_floor: int = 3
    """Unconfirmed SMS in an hour that are never too many (authgear)."""
    day_percent: int = 30
    """Unconfirmed SMS in 24 hours, per 100 confirmed on the highest day or in the last 24 hours
    (authgear's ``daily_ratio``)."""
    hour_percent: int = 20
    """Unconfirmed SMS in an hour, per 100 confirmed in it (authgear's ``hourly_ratio``)."""
    busy_hours: int = 6
    """Hours the highest day is thought to have happened in: a sixth of it is a busy hour, of which
    ``hour_percent`` may be unconfirmed however quiet this hour is (authgear)."""
    peak_days: int = 14
    """Days before today among which the highest is looked for, today so far being one more
    (authgear: 14 days)."""
    history_ms: int = DAY_MS
    """Milliseconds since a country's first SMS before it may be refused (ours): before that the
    floors would judge a launch."""


@dataclass(frozen=True, slots=True)
class Excess:
    """Why one more SMS is too many.

    Attributes:
        wait: milliseconds until there is room if no SMS is sent and none is confirmed, as long
            as the highest day stays in sight; a confirmation makes it shorter.
        unconfirmed: unconfirmed SMS of the window, rounded up.
        threshold: how many there may be, rounded down; never more than ``unconfirmed``.
        window: milliseconds of the window, a day's or an hour's: the one with the longer wait.
    """

    wait: int
    unconfirmed: int
    threshold: int
    window: int
