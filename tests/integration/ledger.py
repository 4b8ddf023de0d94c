"""A file outside the queue in which jobs write what they do: the evidence of what really ran, and in what order."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from queuectl.drill import judge


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: which run of which job did what, and when (seconds since 1970, and since boot)."""

    job: str
    attempt: int
    pid: int
    what: str
    at: float
    since_boot: float


class Ledger:
    """Lines are appended whole (O_APPEND), so their order is the order in which things happened."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, what: str) -> str:
        """The shell command that writes a line."""
        line = f'"$QUEUECTL_JOB_ID $QUEUECTL_ATTEMPT $$ {what} $(date +%s.%N) $up"'
        return f"{{ read -r up _ </proc/uptime; echo {line}; }} >>{shlex.quote(str(self._path))}"

    def command(self, body: str = "true") -> str:
        """A shell command that notes its start, runs `body`, notes its end, and exits as `body` did."""
        return f"{self.note('start')}; ({body}); code=$?; {self.note('end')}; exit $code"

    def endless(self) -> str:
        """A command whose first run never ends and notes that it is alive all the time; a later run ends at once."""
        return (
            f'{self.note("start")}; [ "$QUEUECTL_ATTEMPT" -gt 1 ] && {{ {self.note("end")}; exit 0; }}; '
            f"while :; do {self.note('alive')}; sleep 0.02; done"
        )

    def entries(self, what: str | None = None, *, job: str | None = None) -> list[Entry]:
        """The whole lines written so far."""
        if not self._path.exists():
            return []
        lines = self._path.read_text().split("\n")[:-1]
        entries = [
            Entry(job, int(attempt), int(pid), what, float(at), float(up))
            for job, attempt, pid, what, at, up in map(str.split, lines)
        ]
        return [each for each in entries if what in (None, each.what) and job in (None, each.job)]

    def started(self, count: int = 1) -> bool:
        """True when at least that many runs have started."""
        return len(self.entries("start")) >= count

    def evidence(self) -> list[judge.Entry]:
        """The lines so far, for the judge."""
        return [judge.Entry(it.job, it.attempt, it.what, it.since_boot) for it in self.entries()]

    def assert_no_overlap(self) -> None:
        """Once a later run of a job has started, no earlier one does anything."""
        assert judge.check(judge.History(ledger=self.evidence()), [judge.Invariant.NO_OVERLAP]) == []
