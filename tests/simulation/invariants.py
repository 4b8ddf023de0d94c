"""What must hold at every moment of every history, checked from outside at each commit and at each start of a run.

The names are those of the design: I1 no loss, I2 no unexplained run, I3 no overlap, I5 terminal is terminal,
I6 counting, I7 progress; and fencing: who does not hold a job changes nothing but a late result; and apart: no worker
runs anything beside a suspect.

I3 has two exceptions, which no queue can avoid without a fence outside its workers. A run may go on while the next one
of its job has started, on the word of another host, when

- its worker, or the whole host, was frozen after five sixths of its lease, counted from its last renewal: it could not
  stop its commands in time. It does so within the grace as soon as it wakes (checked);
- its worker and its supervisor were killed in one burst, which leaves nobody on that host to kill its commands.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from queuectl.domain.attempt import Attempt, Outcome
from queuectl.domain.job import CLAIMABLE, MOVES, TERMINAL, Job, State
from queuectl.domain.ports.work import Run
from tests.fakes import Memory
from tests.simulation.commands import Command
from tests.simulation.simulated_time import SimulatedProcess

EXPLAINS = frozenset({Outcome.FAILED, Outcome.TIMEOUT, Outcome.LOST, Outcome.RELEASED})
"""Outcomes of an attempt that another one may follow."""

SLACK = timedelta(milliseconds=100)
"""What clocks may be wrong, and what a thread may take for a step: far less than a sixth of a lease."""


class Violation(AssertionError):
    """A promise is broken."""


class Watched(dict):  # type: ignore[type-arg]
    """A table that notes what each row was before the transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[object, object] = {}

    def __setitem__(self, key: object, row: object) -> None:
        self.before.setdefault(key, self.get(key))
        super().__setitem__(key, row)

    def update(self, rows: Mapping[object, object]) -> None:  # type: ignore[override]
        for key, row in rows.items():
            self[key] = row


@dataclass(eq=False)
class Member:
    """A worker process as it truly is."""

    process: SimulatedProcess
    supervisor: SimulatedProcess
    host: str
    lease: timedelta
    renewed_at: timedelta
    """When its last renewal that was made had been sent."""


@dataclass
class Promises:
    """The witness: told of everything, it raises Violation at the first broken promise."""

    now: Callable[[], timedelta]
    latest: Callable[[], datetime]
    """The latest moment that the database's clock can have shown to anybody."""
    max_losses: int
    suspects_wait: timedelta | None = None
    """The longest that a suspect may wait for a worker, where that is to be held."""
    memory: Memory = field(default_factory=Memory)
    members: dict[str, Member] = field(default_factory=dict)
    runs: dict[tuple[str, int], Command] = field(default_factory=dict)
    active: dict[str, list[Command]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: set[str] = field(default_factory=set)
    rescued_by: dict[tuple[str, int], str] = field(default_factory=dict)
    counted_from: dict[str, int] = field(default_factory=dict)
    """By job: its attempts when an operator last had it run again."""
    suspects: dict[str, timedelta] = field(default_factory=dict)
    """Those that wait, and since when."""
    outlived: list[Command] = field(default_factory=list)
    """Runs that went on after the next one had started, by the exceptions."""
    double_runs: int = 0

    def __post_init__(self) -> None:
        self.memory.jobs, self.memory.attempts = Watched(), Watched()

    # Runs in true time.

    def taken_up(self, run: Run) -> None:
        member = self.members[run.lease.worker]
        self._must(
            self.now() <= member.renewed_at + member.lease + SLACK,
            f"{member.process} starts {run.job.id}#{run.job.attempts} when its lease is over",
        )

    def started(self, run: Command) -> None:
        earlier = [number for job, number in self.runs if job == run.job and number < run.attempt]
        self._must((run.job, run.attempt) not in self.runs, f"I2: attempt {run} runs a second time")
        for number in range(1, run.attempt):
            outcome = self.memory.attempts[run.job, number].outcome
            asked = number <= self.counted_from.get(run.job, 0)
            self._must(asked or outcome in EXPLAINS, f"I2: {run} runs though {run.job}#{number} ended {outcome}")
        self._must(run.run.job.cancel_requested_at is None, f"{run} starts though its worker knew of a cancel")
        beside = [it for runs in self.active.values() for it in runs if it.run.lease.worker == run.run.lease.worker]
        suspects = [it for it in (run, *beside) if it.run.job.suspect]
        self._must(not (beside and suspects), f"apart: {run} starts beside {', '.join(map(str, beside))}")
        self.double_runs += bool(earlier)
        for other in self.active[run.job]:
            older, newer = sorted((other, run), key=lambda it: it.attempt)
            reason = self._may_outlive(older)
            self._must(reason is not None, f"I3: {newer} and {older} run at a time, on {newer.host} and {older.host}")
            self.outlived.append(older)
        self.runs[run.job, run.attempt] = run
        self.active[run.job].append(run)

    def ended(self, run: Command) -> None:
        self.active[run.job].remove(run)
        if run in self.outlived and not (run.is_forsaken or run.worker.is_dead):
            woke_at = run.worker.freezes[-1][1]
            grace = self._member_of(run).lease / 6
            self._must(
                woke_at is None or self.now() <= woke_at + grace + SLACK,
                f"I3: {run} went on for more than the grace after its worker woke",
            )

    def _may_outlive(self, older: Command) -> str | None:
        member = self._member_of(older)
        rescuer = self.rescued_by.get((older.job, older.attempt))
        if rescuer in (None, older.host):  # given back by itself, or taken back by who could have killed it
            return None
        if older.is_forsaken:
            return "nobody was left to kill it"
        too_late = member.renewed_at + member.lease * 5 / 6 - SLACK
        frozen = member.process.was_frozen(too_late) or member.supervisor.was_frozen(too_late)
        return "who should have killed it was frozen" if frozen else None

    def _member_of(self, run: Command) -> Member:
        return self.members[run.run.lease.worker]

    # Commits.

    def committed(
        self, caller: SimulatedProcess, what: str, args: tuple[object, ...], answer: object, sent_at: timedelta
    ) -> None:
        jobs, attempts = self.memory.jobs, self.memory.attempts
        assert isinstance(jobs, Watched)
        assert isinstance(attempts, Watched)
        if what in ("renew", "register") and answer is not False:
            worker_id = args[0] if isinstance(args[0], str) else args[0].id  # type: ignore[attr-defined]
            self.members[worker_id].renewed_at = sent_at
        if not (jobs.before or attempts.before):
            return
        for key, before in attempts.before.items():
            self._attempt_changed(before, attempts[key], what)
        for job_id, before in jobs.before.items():
            self._job_changed(before, jobs[job_id], what, args, caller)
        jobs.before, attempts.before = {}, {}

    def _job_changed(
        self, before: Job | None, after: Job, what: str, args: tuple[object, ...], caller: SimulatedProcess
    ) -> None:
        if before is None:
            self._must(what == "add", f"{after.id} appears by {what}")
            return
        told = f"{what} makes {before.state} {after.id} {after.state}"
        request = (before.cancel_requested_at, before.cancel_requested_by)
        asked = after._replace(
            updated_at=before.updated_at, cancel_requested_at=request[0], cancel_requested_by=request[1]
        )
        if request[0] is not None and asked == before:  # asked again: the first request stands
            self._must((after.cancel_requested_at, after.cancel_requested_by) == request, f"{told}: a request is gone")
        self._must(after.state in MOVES[before.state] or asked == before or after == before, f"not a move: {told}")
        self._must(
            what != "claim" or before.cancel_requested_at is None,
            f"{after.id} is claimed though its cancel was asked for",
        )
        self._must(before.state not in TERMINAL or what == "change", f"I5: {told}")
        self._must((after.state is State.PROCESSING) == (after.lease is not None), f"{told} with lease {after.lease}")
        self._must(after.attempts == before.attempts + (what == "claim"), f"I6: {told} at attempt {after.attempts}")
        if what != "change":
            self._must(after.failures >= before.failures, f"I6: {told} with {after.failures} failures")
            losses = before.losses + self._counts_as_lost(before, what)
            self._must(after.losses == losses, f"I6: {told} with {after.losses} losses and not {losses}")
        self._must(after.failures <= after.max_retries + 1, f"I6: {told} with {after.failures} failures")
        self._must(after.losses <= self.max_losses, f"I6: {told} with {after.losses} losses")
        last = self.memory.attempts.get((after.id, after.attempts))
        running = last is not None and last.outcome is None
        self._must(
            running == (after.state is State.PROCESSING), f"{told}, and its last attempt is {last and last.outcome}"
        )
        self._suspected(before, after)
        match what:
            case "claim":
                self._must(before.state in CLAIMABLE, f"claimed while {before.state}: {after.id}")
                self._must(before.run_at <= self.latest() + SLACK, f"{after.id} is claimed before it is due")
            case "settle":
                self._must(before.lease == args[1], f"fencing: {told} under {args[1]}, it is held under {before.lease}")
                self._is_told_truly(self.memory.attempts[after.id, after.attempts])
            case "rescue":
                self._is_rescued_rightly(before, caller)
            case "change" if after.state is State.PENDING:
                self.counted_from[after.id] = after.attempts

    def _counts_as_lost(self, before: Job, what: str) -> bool:
        """Whether its last attempt has just been lost, and nothing else with it or beside it."""
        attempt = self.memory.attempts.get((before.id, before.attempts))
        if before.lease is None or attempt is None or attempt.outcome is not Outcome.LOST:
            return False
        return before.suspect or (
            what == "rescue" and self.memory.lost_by(before.lease.worker, attempt.finished_at) == [attempt]
        )

    def _suspected(self, before: Job, after: Job) -> None:
        if after.suspect and after.state in CLAIMABLE:
            self.suspects.setdefault(after.id, self.now())
        elif since := self.suspects.pop(after.id, None):
            self._waited_not_too_long(before.id, since)

    def _waited_not_too_long(self, job_id: str, since: timedelta) -> None:
        waited = self.now() - since
        self._must(
            self.suspects_wait is None or waited <= self.suspects_wait,
            f"I7: {job_id}, which was lost with others, has waited {waited} for a worker",
        )

    def _attempt_changed(self, before: Attempt | None, after: Attempt, what: str) -> None:
        if before is not None and before.outcome is not None:
            late = before._replace(late=after.late, output=after.output)
            self._must(late == after, f"fencing: {what} changes the ended attempt {after.job_id}#{after.number}")

    def _is_told_truly(self, attempt: Attempt) -> None:
        run = self.runs.get((attempt.job_id, attempt.number))
        name = f"{attempt.job_id}#{attempt.number}"
        if run is None:
            self._must(
                attempt.outcome in (Outcome.RELEASED, Outcome.LOST, Outcome.CANCELLED),
                f"I1: {name} is {attempt.outcome} but never ran",
            )
            return
        self._must(
            not (attempt.error or "").startswith("not started"), f"{name} is told not to have started, and it did"
        )
        self._must(run.is_over, f"{name} is {attempt.outcome} but still runs")
        if attempt.outcome is Outcome.SUCCEEDED:
            self._must(run.exit_code == 0, f"I1: {name} succeeded but ended with {run.exit_code}")
        if attempt.outcome is Outcome.FAILED:
            self._must(run.exit_code is not None, f"I6: {name} is told to have failed, and was killed by others")

    def _is_rescued_rightly(self, before: Job, caller: SimulatedProcess) -> None:
        assert before.lease is not None
        holder, record = self.members[before.lease.worker], self.memory.workers[before.lease.worker]
        is_over = record.lease_expires_at <= self.latest() + SLACK
        self._must(
            holder.process.is_dead or is_over,
            f"{before.id} is rescued from {holder.process}, which lives and holds its lease for "
            f"{record.lease_expires_at - self.latest()}",
        )
        by = next((it.host for it in self.members.values() if it.process is caller), "")
        self.rescued_by[before.id, before.attempts] = by

    # The end.

    def left(self) -> list[Command]:
        """The runs that go on, but for those that nobody was left to end."""
        return [run for runs in self.active.values() for run in runs if not run.is_forsaken]

    def finished(self, *, in_time: bool) -> None:
        """Check what must hold when a history is over; `in_time` also that all there was to do is done."""
        jobs = self.memory.jobs
        self._must(self.acknowledged <= jobs.keys(), f"I1: lost: {self.acknowledged - jobs.keys()}")
        for job in jobs.values():
            counted = [
                self.memory.attempts[job.id, number].outcome
                for number in range(self.counted_from.get(job.id, 0) + 1, job.attempts + 1)
            ]
            failures = counted.count(Outcome.FAILED) + counted.count(Outcome.TIMEOUT)
            self._must(
                job.failures == failures, f"I6: {job.id} counts {job.failures} failures; its attempts say {counted}"
            )
            if in_time:
                self._must(job.state in TERMINAL, f"I7: {job.id} is still {job.state} after {job.attempts} attempts")
        for job_id, since in self.suspects.items():
            self._waited_not_too_long(job_id, since)
        if in_time:
            left = ", ".join(map(str, self.left()))
            self._must(not left, f"I4: still running when every job has ended: {left}")

    def undisturbed(self) -> None:
        """Check what must hold in a history without a fault: nothing was lost, given back, or run for nothing."""
        for attempt in self.memory.attempts.values():
            asked = self.memory.jobs[attempt.job_id].cancel_requested_at is not None
            self._must(
                attempt.outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMEOUT)
                or (asked and attempt.outcome is Outcome.CANCELLED),
                f"without a fault, {attempt.job_id}#{attempt.number} ended {attempt.outcome}",
            )

    def blamed(self, poison: Collection[str]) -> None:
        """Check that only the jobs that kill their workers are dead of it, each after as many losses as are allowed."""
        for job in self.memory.jobs.values():
            expected = (State.DEAD, self.max_losses) if job.id in poison else (State.COMPLETED, 0)
            self._must((job.state, job.losses) == expected, f"blame: {job.id} is {job.state} with {job.losses} losses")

    def _must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Violation(otherwise)
