"""The commands README.md shows with their output: run again, and compared or renewed.

A block of ``console`` holds commands, after ``$``, and what they print. An HTML comment
``<!-- before: … -->`` is a command that a reader need not see: it leads up to the block after it.
All run in their order, over one service.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

_STEP = re.compile(
    r"^```console\n(?P<block>.*?)^```$|^<!-- before: (?P<hidden>.*?) -->$", re.M | re.S
)
_ID, _CODE = r"ver_[0-9a-f]{36}", r'"code":"(\d{6})"'

# What differs from run to run.
_VARIES = {
    _ID: "ver_ID",
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d\.\d{3}Z| UTC)": "TIME",
    r"Date: [^\n]*": "Date: TIME",
    r'(?P<name>X-Request-Id: |"request_id": ?")[0-9a-f]{32}': r"\g<name>REQUEST",
    r"(OTP|SM|LOT)-\d{8}-\d+": r"\1-ID",
    r"(?P<name>code\":\"|est : )\d{6}": r"\g<name>CODE",
    r"otps_[\w-]{43}": "KEY",
    r"[0-9a-f]{64}": "HASH",
    r"\d+\.\d+\.\d+(?=\"| answers)": "VERSION",
    r'"(latency_ms|retry_after|locked_for|age|amount)": ?[\d.]+': r'"\1":N',
    r"\d+ (?=seconds more)": "N ",
    r'"by": "[^"]*"': '"by": "SOMEBODY"',
}


@dataclass(frozen=True, slots=True)
class Step:
    """One command, what it printed when the page was written, and where both stand in the page."""

    command: str
    printed: str
    start: int
    end: int
    hidden: bool = False


def steps(page: str) -> Iterator[Step]:
    """The commands of a page, in its order."""
    for found in _STEP.finditer(page):
        if found["hidden"]:
            yield Step(found["hidden"], "", *found.span(), hidden=True)
            continue
        for one in re.finditer(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", found["block"], re.M):
            begins = found.start("block")
            yield Step(one[1], one[2], begins + one.start(), begins + one.end())


def run(steps: Sequence[Step], environment: Mapping[str, str]) -> list[tuple[Step, str, str]]:
    """Run them; of each the step, the command as it was run, and what that printed.

    Ids and codes in a command are those of this run, where the page has those of its own.
    """
    ours: dict[str, str] = {}
    done = []
    for step in steps:
        command = _with(ours, step.command)
        printed = _printed(command, environment)
        done.append((step, command, printed))
        ours |= _pairs(step.printed, printed)
    return done


def _with(ours: Mapping[str, str], command: str) -> str:
    return re.sub(rf"{_ID}|\b\d{{6}}\b", lambda found: ours.get(found[0], found[0]), command)


def _printed(command: str, environment: Mapping[str, str]) -> str:
    shell = ["bash", "-c", command]
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    # Some of them exit with an error, and that is what the page shows.
    ended = subprocess.run(shell, env=environment, text=True, timeout=60, check=False, **both)
    return ended.stdout.rstrip("\n") + "\n" if ended.stdout else ""


def plain(printed: str) -> str:
    """The output without what differs from run to run."""
    for pattern, instead in _VARIES.items():
        printed = re.sub(pattern, instead, printed)
    return printed


def renewed(page: str, done: Sequence[tuple[Step, str, str]]) -> str:
    """The page with what was run in the place of what it had."""
    for step, command, printed in reversed(done):
        if not step.hidden:
            page = f"{page[: step.start]}$ {command}\n{printed}{page[step.end :]}"
    return page


def _pairs(theirs: str, ours: str) -> Iterator[tuple[str, str]]:
    """Ids and codes of two outputs, in their order; of a code the next one too, a wrong guess."""
    yield from zip(re.findall(_ID, theirs), re.findall(_ID, ours), strict=False)
    for old, new in zip(re.findall(_CODE, theirs), re.findall(_CODE, ours), strict=False):
        yield old, new
        yield _next(old), _next(new)


def _next(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"
