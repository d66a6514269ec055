"""One line of what the doctor found."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check came out; only ``FAIL`` means that something is wrong."""

    OK = "ok"
    WARNING = "warning"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: how it came out, of what, and what is so or what to do. Without secrets."""

    verdict: Verdict
    subject: str
    text: str

    @property
    def name(self) -> str:
        """The subject for programs: ``redis_aof``; it stays, the texts may change."""
        return self.subject.lower().replace(" ", "_")
