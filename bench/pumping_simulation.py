"""What the pumping guard would do: launches, ordinary days and attacks, simulated.

    python -m bench.pumping_simulation [SEED]

Counts by ``bench.pumping_tally.Tally``, which the tests hold equal to the scripts. One
country; its people sit in blocks of 1,000 numbers at random and type 85 % of their codes, half of
them within 30 seconds, none after 5 minutes. Nobody who is refused tries again, and of the other
limits (quotas, budgets) none is simulated. The same seed prints the same figures.
"""

import heapq
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log

from bench.pumping_tally import Tally
from otpservice.verification.pumping import DAY_MS, HOUR_MS, Budget

CONVERSION = 0.85
MEDIAN_DELAY, DELAY_SIGMA, MAX_DELAY = 30_000, 0.9, 300_000  # milliseconds, log-normal
PEOPLE_BLOCKS = 20_000
# How a day's SMS fall on its hours: a quiet night and a peak in the evening.
HOURS = [1, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 9, 8, 8, 8, 9, 10, 11, 13, 14, 13, 10, 6, 3]
HISTORY_DAYS = 15
# One launch says little: who is refused early confirms nothing, and the budget stays small.
LAUNCHES = 5
START = 20_000 * DAY_MS

# One requested SMS: when, in which block, and by whom.
Ask = tuple[int, int, str]


@dataclass
class Guard:
    """The country and its blocks, with the confirmations that are still to come."""

    rng: random.Random
    enforce: bool = True
    country: Tally = field(default_factory=lambda: Tally(Budget()))
    blocks: dict[int, Tally] = field(default_factory=lambda: defaultdict(lambda: Tally(Budget())))
    coming: list[tuple[int, int, int]] = field(default_factory=list)

    def ask(self, now: int, block: int, who: str) -> str:
        """What becomes of one SMS: ``sent``, ``recorded`` (over budget, sent) or ``refused``."""
        self._confirm_until(now)
        country, of_block = self.country, self.blocks[block]
        over = bool(country.excess(now) or of_block.excess(now))
        if over and self.enforce and country.enforceable(now):
            return "refused"
        country.send(now)
        of_block.send(now)
        if who == "people" and self.rng.random() < CONVERSION:
            delay = self.rng.lognormvariate(log(MEDIAN_DELAY), DELAY_SIGMA)
            heapq.heappush(self.coming, (now + int(min(delay, MAX_DELAY)), now, block))
        return "recorded" if over else "sent"

    def _confirm_until(self, now: int) -> None:
        while self.coming and self.coming[0][0] <= now:
            _, sent_at, block = heapq.heappop(self.coming)
            self.country.confirm(sent_at)
            self.blocks[block].confirm(sent_at)


def people(rng: random.Random, per_day: int, first_day: int, days: int) -> Iterator[Ask]:
    for day in range(first_day, first_day + days):
        for _ in range(per_day):
            hour = rng.choices(range(24), HOURS)[0]
            at = START + day * DAY_MS + hour * HOUR_MS + rng.randrange(HOUR_MS)
            yield at, rng.randrange(PEOPLE_BLOCKS), "people"


def bots(rng: random.Random, per_hour: int, first_hour: int, hours: int, blocks: int) -> list[Ask]:
    begin, length = START + first_hour * HOUR_MS, hours * HOUR_MS
    return [
        (begin + rng.randrange(length), PEOPLE_BLOCKS + rng.randrange(blocks), "bots")
        for _ in range(per_hour * hours)
    ]


def play(rng: random.Random, asks: list[Ask], since_hour: int, hours: int) -> Counter[str]:
    """Play all and count what became of those in the hours looked at, as ``who outcome``."""
    guard, seen = Guard(rng), Counter[str]()
    for now, block, who in sorted(asks):
        outcome = guard.ask(now, block, who)
        if 0 <= now - START - since_hour * HOUR_MS < hours * HOUR_MS:
            seen[f"{who} {outcome}"] += 1
            seen[who] += 1
    return seen


def share(part: int, total: int) -> str:
    return f"{part:,} of {total:,} ({100 * part / total:.1f} %)"


def launches(seed: str) -> None:
    print("Launch with no history, 2,000 SMS a day, enforce")
    for day, name in enumerate(("first day", "second day")):
        rng = random.Random(f"{seed} launch")
        seen = play(rng, list(people(rng, 2000, 0, 2)), 24 * day, 24)
        print(f"  {name:<28} refused {share(seen['people refused'], seen['people'])}", end="")
        print(f", over budget but sent {share(seen['people recorded'], seen['people'])}")
    print("Launch after a pilot week of 10 SMS a day, enforce")
    for per_day in (500, 2000, 5000):
        seen = Counter[str]()
        for again in range(LAUNCHES):
            rng = random.Random(f"{seed} pilot {per_day} {again}")
            asks = [*people(rng, 10, 0, 7), *people(rng, per_day, 7, 1)]
            seen += play(rng, asks, 24 * 7, 24)
        name = f"launch day, {per_day:,} SMS"
        print(f"  {name:<28} refused {share(seen['people refused'], seen['people'])}")


def ordinary_days(seed: str) -> None:
    print(f"Ordinary days after {HISTORY_DAYS} like them, enforce, nobody attacks")
    for per_day, days in ((10, 60), (30, 30), (100, 10), (300, 4), (1000, 2)):
        rng = random.Random(f"{seed} ordinary {per_day}")
        asks = list(people(rng, per_day, 0, HISTORY_DAYS + days))
        seen = play(rng, asks, HISTORY_DAYS * 24, days * 24)
        name = f"{per_day:,} SMS a day"
        print(f"  {name:<28} refused {share(seen['people refused'], seen['people'])}")


def attacks(seed: str) -> None:
    print("Attack of 2,000 SMS an hour for 3 hours from 18:00, 1,000 SMS a day of people, enforce")
    for blocks, history, name in (
        (1, HISTORY_DAYS, "one block"),
        (500, HISTORY_DAYS, "500 blocks"),
        (500, 0, "500 blocks, no history"),
    ):
        rng, from_hour = random.Random(f"{seed} attack {name}"), history * 24 + 18
        asks = [*people(rng, 1000, 0, history + 1), *bots(rng, 2000, from_hour, 3, blocks)]
        seen = play(rng, asks, from_hour, 3)
        got_through = seen["bots"] - seen["bots refused"]
        print(f"  {name:<28} attacker got {share(got_through, seen['bots'])}", end="")
        print(f", people refused {share(seen['people refused'], seen['people'])}")


def starving(seed: str) -> None:
    print("A few unconfirmed SMS an hour, all day, 500 blocks, enforce: who else is refused?")
    for per_day, per_hour in ((100, 5), (1000, 5), (1000, 50)):
        rng = random.Random(f"{seed} starving {per_day} {per_hour}")
        asks = [
            *people(rng, per_day, 0, HISTORY_DAYS + 1),
            *bots(rng, per_hour, HISTORY_DAYS * 24, 24, 500),
        ]
        seen = play(rng, asks, HISTORY_DAYS * 24, 24)
        name = f"{per_hour} an hour, {per_day:,} a day"
        print(f"  {name:<28} people refused {share(seen['people refused'], seen['people'])}")


def main() -> None:
    seed = sys.argv[1] if len(sys.argv) > 1 else "1"
    for scenario in (launches, ordinary_days, attacks, starving):
        scenario(seed)


if __name__ == "__main__":
    main()
