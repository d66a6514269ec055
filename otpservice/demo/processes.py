"""The processes of the demo: watched while it runs, and gone when it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Self

# Seconds a process may take to stop; it takes one.
_STOPS_WITHIN = 10.0

_LINES_OF_LOG = 20


class DemoFailed(Exception):
    """The demo cannot go on; its text says what happened, for people."""


class Child:
    """``otpservice COMMAND`` as a process of its own.

    It leads a process group of its own, so that Ctrl-C reaches the demo alone, which then stops
    its processes in order.

    Args:
        name: for people.
        arguments: of the otpservice command.
        settings: added to the environment, whose own OTPSERVICE variables are left out.
        log: the file that takes what it writes.
    """

    def __init__(
        self, name: str, arguments: list[str], settings: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        inherited = {n: text for n, text in os.environ.items() if not n.startswith("OTPSERVICE_")}
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - this very program
                [sys.executable, "-m", "otpservice.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=inherited | dict(settings),
                start_new_session=True,
            )

    def check(self) -> None:
        """Return if it runs.

        Raises:
            DemoFailed: it has ended; with the last lines it wrote.
        """
        if (code := self._process.poll()) is None:
            return
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        raise DemoFailed(f"The {self.name} has ended ({how}). {self.last_words()}")

    def last_words(self) -> str:
        """The end of its log, with a line above it."""
        lines = self.log.read_text(errors="replace").splitlines()[-_LINES_OF_LOG:]
        return "\n".join([f"The end of the {self.name}'s log:", *lines])

    def stop(self) -> None:
        """End it and all it has started; return when it is gone."""
        if self._process.poll() is None:
            # gunicorn takes seconds to let requests finish at SIGTERM, and none at SIGINT.
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOPS_WITHIN)
        with suppress(ProcessLookupError, PermissionError):  # macOS: PermissionError of zombies
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class StopSignals:
    """Whether somebody asked the demo to stop: Ctrl-C, SIGTERM, or a terminal that was closed.

    The wish is noted, not raised: an exception between a process's start and its entry in the list
    of those to stop, or in the middle of stopping, would leave an orphan.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            ignored = signal.getsignal(number) is signal.SIG_IGN
            if number != signal.SIGHUP or not ignored:  # under nohup it stays ignored
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True
