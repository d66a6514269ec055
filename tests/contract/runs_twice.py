"""A Redis client that runs every script twice, and what the two runs are compared by."""

import time

from otpservice.store.scripts import script_texts

# Seconds between the two runs: what a script writes of the clock differs by then.
APART = 0.005
# Milliseconds by which times to live and ages may differ.
TOLERANCE = 1000

# Scripts that answer a second run with another word, which their callers take for the first.
SECOND_WORDS = {"settle_send": b"again", "inbound_keep": b"again"}

# What only a first run answers, by its place after the word: the lock that the guess started, that
# a quota only recorded, and the state before a cancel or an unlock. Callers log these or tell the
# person who asked; none decides by them.
FIRST_ONLY = {"reserve_attempt": [-1], "reserve_send": [5], "read": [0], "phone": [0, 1, 2]}


class RunsTwice:
    """A client, as far as ``Scripts`` uses one, that runs every script twice and compares.

    Args:
        redis: the client that runs them.
        compare: called with a script's name, and the answer and the database after each run.

    Attributes:
        seen: the names of the scripts that ran.
    """

    def __init__(self, redis, compare):
        self.redis = redis
        self.compare = compare
        self.seen = set()
        self.names = {}
        for name, text in script_texts().items():
            self.names[redis.script_load(text)] = name

    def pipeline(self, *, transaction):
        assert not transaction
        return _Pipeline(self)

    def run_twice(self, command):
        name = self.names[command[1]]
        self.seen.add(name)
        first = self.redis.execute_command(*command), self._database()
        time.sleep(APART)
        second = self.redis.execute_command(*command), self._database()
        self.compare(name, first, second)
        return first[0]

    def _database(self):
        """Each key's value, and the milliseconds it lives."""
        held = {}
        for key in self.redis.scan_iter():
            held[key] = self.redis.dump(key), self.redis.pttl(key)
        return held


class _Pipeline:
    def __init__(self, client):
        self.client = client
        self.commands = []

    def execute_command(self, *command):
        self.commands.append(command)

    def execute(self, *, raise_on_error):
        assert not raise_on_error
        return [self.client.run_twice(command) for command in self.commands]


def databases(name, first, second):
    """The second run left all as it was, and every key has an expiry."""
    (_, before), (_, after) = first, second
    assert before.keys() == after.keys(), name
    for key, (value, lives) in after.items():
        assert lives > 0, f"{name} leaves {key} without an expiry"
        assert value == before[key][0], f"a second {name} changes {key}"
        assert abs(lives - before[key][1]) < TOLERANCE, f"a second {name} changes the life of {key}"


def answers(name, first, second):
    """The second run's answer is the first's."""
    (result, *facts), _ = first
    (word, *later), _ = second
    if result in {b"ok", b"wrong_code"} and len(facts) > 1:  # not a preview's
        for place in FIRST_ONLY.get(name, ()):
            facts[place] = later[place]
    assert agree([SECOND_WORDS.get(name, result), *facts], [word, *later]), f"{name}: {first}"


def agree(first, second):
    """Whether two answers say the same; what depends on the clock may differ a little."""
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(agree, first, second))
    if isinstance(first, int) and isinstance(second, int) and max(abs(first), abs(second)) > 50:
        return abs(first - second) < TOLERANCE
    return first == second
