"""What a work finds: figures of several rounds, and lines that compare them with a target."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured, once in each round (or more often)."""

    name: str
    values: Sequence[float]
    unit: str

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Line:
    """A measurement beside its target. `is_met` is None where there is no target, or nothing to compare with."""

    what: str
    measured: str
    target: str = ""
    is_met: bool | None = None


@dataclass(slots=True)
class Finding:
    """All that one work found. `bars` are for the chart: how fast each contestant was, the first one being 1."""

    title: str
    how: str
    figures: list[Figure] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bars: dict[str, float] = field(default_factory=dict)


def at_most(what: str, measured: float, limit: float, unit: str = "") -> Line:
    """A line whose target is an upper limit."""
    return Line(what, shown(measured, unit), f"≤ {shown(limit, unit)}", measured <= limit)


def at_least(what: str, measured: float, limit: float, unit: str = "") -> Line:
    """A line whose target is a lower limit."""
    return Line(what, shown(measured, unit), f"≥ {shown(limit, unit)}", measured >= limit)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of what ours is to theirs in each round: what slows a whole round down cancels out."""
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that this part of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def shown(value: float, unit: str = "") -> str:
    """A number with three digits that count, and its unit; without one it is a ratio."""
    return f"{digits(value)} {unit or '×'}"


def digits(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def in_turns(
    contestants: Mapping[str, Callable[[], float]], rounds: int, say: Callable[[str], None] = lambda _: None
) -> dict[str, list[float]]:
    """What each gives in each round. They take turns, and every round begins with another one."""
    results: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        begins = number % len(names)
        for name in names[begins:] + names[:begins]:
            results[name].append(contestants[name]())
            say(f"  round {number + 1}: {name} {results[name][-1]:.4g}")
    return results
