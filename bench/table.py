"""The table that is printed."""

from dataclasses import dataclass

_HEAD = ("", "CPU ms", "x floor", "req/s", "p50 ms", "p99 ms", "", "wanted", "")
_NAME_WIDTH = 44


@dataclass(slots=True)
class Line:
    """One line of the table.

    Attributes:
        name: what was measured.
        cpu: milliseconds of CPU per request.
        ratio: of that to the floor it is compared with.
        rate, p50, p99: requests a second, and milliseconds callers waited.
        note: other figures, in words.
        want: what the figure should be, in words.
        met: whether it is; None where nothing is wanted, or nothing was measured.
    """

    name: str
    cpu: float | None = None
    ratio: float | None = None
    rate: float | None = None
    p50: float | None = None
    p99: float | None = None
    note: str = ""
    want: str = ""
    met: bool | None = None


class Table:
    """Lines under headings; each is printed as soon as it is known."""

    def __init__(self) -> None:
        self._sections: list[tuple[str, list[Line]]] = []

    def section(self, title: str) -> None:
        """Begin a part of the table."""
        self._sections.append((title, []))

    def add(self, line: Line) -> None:
        """Add a line to the part that began last."""
        self._sections[-1][1].append(line)

    def not_measured(self, name: str, reason: str) -> None:
        """Say of a line why it is missing."""
        self.add(Line(name, note=f"not measured: {reason}"))

    def text(self) -> str:
        """All of it, for people."""
        rows = [_HEAD]
        for title, lines in self._sections:
            rows += [(title.upper(), *[""] * 8), *map(_cells, lines)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        widths[0] = min(widths[0], _NAME_WIDTH)
        return "\n".join(_joined(row, widths) for row in rows)


def _cells(line: Line) -> tuple[str, ...]:
    verdict = {True: "met", False: "NOT MET", None: ""}[line.met]
    return (
        f"  {line.name}",
        _number(line.cpu, 2),
        _number(line.ratio, 2),
        _number(line.rate, 0),
        _number(line.p50, 1),
        _number(line.p99, 1),
        line.note,
        line.want,
        verdict,
    )


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _joined(row: tuple[str, ...], widths: list[int]) -> str:
    numbers = range(1, 6)
    cells = (
        cell.rjust(width) if n in numbers else cell.ljust(width)
        for n, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()
