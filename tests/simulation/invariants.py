"""The promises of the queue, held to at every moment of every history: at each commit and at each start of a run.

What the ledger, the jobs and the attempts show is for the one judge of the invariants, `queuectl.drill.judge`. Here is
what only a simulator can see: true time, and each commit by itself. So nobody changes a job whose lease he does not
hold, but for a late result (fencing); no worker runs anything beside a suspect (apart); and no command goes on when the
lease of its worker is over, though no other run of the job has started (I3).

I3 has two exceptions, which no queue can avoid without a fence outside its workers. A run may go on when that lease is
over, and while the next one of its job has started on the word of another host, when

- its worker, or the whole host, was frozen after five sixths of its lease, counted from its last renewal: it could not
  stop its commands in time. It does so within the grace as soon as it wakes (checked);
- its worker and its supervisor were killed in one burst, which leaves nobody on that host to kill its commands.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from queuectl.domain.attempt import Attempt, Outcome
from queuectl.domain.job import CLAIMABLE, MOVES, TERMINAL, Job, State
from queuectl.domain.ports.work import Run
from queuectl.drill.judge import AttemptRecord, Call, Entry, History, Invariant, JobRecord, LeftProcess, check
from tests.memory import Memory
from tests.simulation.commands import Command
from tests.simulation.limits import broken_limits, broken_pause
from tests.simulation.simulated_time import SimulatedProcess

SLACK = timedelta(milliseconds=100)
"""The error of clocks, and the time that a thread takes for a step, in this world: far less than a sixth of a lease."""

AT_A_START = (Invariant.NO_UNEXPLAINED_RUN, Invariant.NO_OVERLAP)
AT_A_COMMIT = (Invariant.COUNTING,)
"""The invariants that are judged then; at the end, all are."""


class PromiseBroken(AssertionError):
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
    """The moment at which its last renewal that was made had been sent."""


class Rescue(NamedTuple):
    """An attempt was taken back as lost, on that host; `alone`: its worker lost no other one at about that time."""

    host: str
    alone: bool


class Promises:
    """Raises PromiseBroken at the first broken promise, for it hears of everything.

    `now` is the true time; `latest` the latest moment that the database's clock can have shown to anybody;
    `suspects_wait` the longest that a suspect may wait for a worker, where that is to be held.
    """

    def __init__(
        self,
        now: Callable[[], timedelta],
        latest: Callable[[], datetime],
        max_losses: int,
        suspects_wait: timedelta | None = None,
    ) -> None:
        self.memory = Memory()
        self.memory.jobs, self.memory.attempts = Watched(), Watched()
        self.members: dict[str, Member] = {}
        self.acknowledged: set[str] = set()
        self.runs: dict[tuple[str, int], Command] = {}
        self.outlived: list[Command] = []
        """Runs that went on after the next one had started, by the exceptions."""
        self._now = now
        self._latest = latest
        self._max_losses = max_losses
        self._suspects = Suspects(now, suspects_wait)
        self._active: dict[str, list[Command]] = defaultdict(list)
        self._ledger: dict[str, list[Entry]] = defaultdict(list)
        self._rescues: dict[tuple[str, int], Rescue] = {}

    @property
    def double_runs(self) -> int:
        """The runs that were a job's second or later."""
        return len(self.runs) - len({job for job, _ in self.runs})

    # Runs in true time.

    def taken_up(self, run: Run) -> None:
        """Hear that a worker is about to start a command."""
        member = self.members[run.lease.worker]
        _must(
            self._now() <= member.renewed_at + member.lease + SLACK,
            f"{member.process} starts {run.job.id}#{run.job.attempts} when its lease is over",
        )

    def started(self, run: Command) -> None:
        """Hear that a command has started."""
        _must(run.run.job.cancel_requested_at is None, f"{run} starts though its worker knew of a cancel")
        beside = [it for runs in self._active.values() for it in runs if it.run.lease.worker == run.run.lease.worker]
        suspects = [it for it in (run, *beside) if it.run.job.suspect]
        _must(not (beside and suspects), f"apart: {run} starts beside {', '.join(map(str, beside))}")
        self._note(run, "start")
        latest = max(entry.attempt for entry in self._ledger[run.job])
        for each in (*self._active[run.job], run):
            self._note(each, "alive")
            if each.attempt < latest and self._may_outlive(each):
                self.outlived.append(each)
        self.runs[run.job, run.attempt] = run
        self._active[run.job].append(run)
        self._hold(AT_A_START, self._history(run.job))

    def ended(self, run: Command) -> None:
        """Hear that a command has ended, by itself or not."""
        self._active[run.job].remove(run)
        if run.exit_code is not None:
            self._note(run, "end")
        self._is_ended_in_time(run)
        if run in self.outlived and not (run.is_forsaken or run.worker.is_dead):
            woke_at = run.worker.freezes[-1][1]
            grace = self._member_of(run).lease / 6
            _must(
                woke_at is None or self._now() <= woke_at + grace + SLACK,
                f"I3: {run} went on for more than the grace after its worker woke",
            )

    def _note(self, run: Command, what: str) -> None:
        self._ledger[run.job].append(Entry(run.job, run.attempt, what))

    def _is_ended_in_time(self, run: Command) -> None:
        member = self._member_of(run)
        _must(
            self._now() <= member.renewed_at + member.lease + SLACK
            or run.worker.is_dead
            or member.process.was_frozen(_too_late(member)),
            f"I3: {run} went on when the lease of its worker was over",
        )

    def _may_outlive(self, older: Command) -> bool:
        member = self._member_of(older)
        rescue = self._rescues.get((older.job, older.attempt))
        if (
            rescue is None or rescue.host == older.host
        ):  # given back by itself, or taken back by who could have killed it
            return False
        if older.is_forsaken:
            return True
        too_late = _too_late(member)
        return member.process.was_frozen(too_late) or member.supervisor.was_frozen(too_late)

    def _member_of(self, run: Command) -> Member:
        return self.members[run.run.lease.worker]

    # Commits.

    def committed(
        self, caller: SimulatedProcess, what: str, args: tuple[object, ...], answer: object, sent_at: timedelta
    ) -> None:
        """Hear of a transaction: whose it was, which, with what arguments and answer, and when it was sent."""
        jobs, attempts = self.memory.jobs, self.memory.attempts
        assert isinstance(jobs, Watched)
        assert isinstance(attempts, Watched)
        if what in ("renew", "register") and answer is not False:
            worker_id = args[0] if isinstance(args[0], str) else args[0].id  # type: ignore[attr-defined]
            self.members[worker_id].renewed_at = sent_at
        if not (jobs.before or attempts.before):
            return
        for key, before in attempts.before.items():
            _attempt_changed(before, attempts[key], what)
        for job_id, before in jobs.before.items():
            after = jobs[job_id]
            if before is None:
                _must(what == "add", f"{job_id} appears by {what}")
                continue
            if after != before and after == before._replace(waits_for=after.waits_for):
                continue  # parked or exposed: `broken_limits` looks at that
            self._job_changed(before, after, what)
            self._suspects.changed(before, after)
            match what:
                case "claim":
                    self._is_claimed_rightly(before)
                    _must_not(broken_pause(self.memory, after, args[0].at))  # type: ignore[attr-defined]
                case "settle":
                    lease = args[0].lease  # type: ignore[attr-defined]
                    _must(before.lease == lease, f"fencing: {job_id}, held under {before.lease}, settles {lease}")
                    self._is_reported_truly(attempts[job_id, after.attempts])
                case "rescue":
                    self._is_rescued_rightly(before, caller)
            self._hold(AT_A_COMMIT, self._history(job_id))
        jobs.before, attempts.before = {}, {}
        _must_not(broken_limits(self.memory))

    def _job_changed(self, before: Job, after: Job, what: str) -> None:
        change = f"{what} makes {before.state} {after.id} {after.state}"
        request = (before.cancel_requested_at, before.cancel_requested_by)
        asked = after._replace(
            updated_at=before.updated_at, cancel_requested_at=request[0], cancel_requested_by=request[1]
        )
        if request[0] is not None and asked == before:  # asked again: the first request stands
            _must((after.cancel_requested_at, after.cancel_requested_by) == request, f"{change}: a request is gone")
        _must(after.state in MOVES[before.state] or asked == before or after == before, f"not a move: {change}")
        _must(before.state not in TERMINAL or what == "change", f"I5: {change}")
        _must((after.state is State.PROCESSING) == (after.lease is not None), f"{change} with lease {after.lease}")
        _must(after.attempts == before.attempts + (what == "claim"), f"I6: {change} at attempt {after.attempts}")
        if what != "change":
            _must(after.failures >= before.failures, f"I6: {change} with {after.failures} failures")
            losses = before.losses + (self._is_lost_alone(before, what) or (before.suspect and self._is_lost(before)))
            _must(after.losses == losses, f"I6: {change} with {after.losses} losses and not {losses}")

    def _is_lost(self, before: Job) -> bool:
        attempt = self.memory.attempts.get((before.id, before.attempts))
        return before.lease is not None and attempt is not None and attempt.outcome is Outcome.LOST

    def _is_lost_alone(self, before: Job, what: str) -> bool:
        """Tell whether its last attempt has just been taken back as lost, and no other with it or shortly before it."""
        if before.lease is None or what != "rescue" or not self._is_lost(before):
            return False
        attempt = self.memory.attempts[before.id, before.attempts]
        return self.memory.lost_by(before.lease.worker, attempt.finished_at) == [attempt]

    def _is_claimed_rightly(self, before: Job) -> None:
        _must(before.cancel_requested_at is None, f"{before.id} is claimed though its cancel was asked for")
        _must(before.state in CLAIMABLE, f"claimed while {before.state}: {before.id}")
        _must(before.run_at <= self._latest() + SLACK, f"{before.id} is claimed before it is due")

    def _is_reported_truly(self, attempt: Attempt) -> None:
        run = self.runs.get((attempt.job_id, attempt.number))
        name = f"{attempt.job_id}#{attempt.number}"
        if run is None:
            _must(
                attempt.outcome in (Outcome.RELEASED, Outcome.LOST, Outcome.CANCELLED),
                f"I1: {name} is {attempt.outcome} but never ran",
            )
            return
        _must(not (attempt.error or "").startswith("not started"), f"{name} is said not to have started, and it did")
        _must(run.is_over, f"{name} is {attempt.outcome} but still runs")
        if attempt.outcome is Outcome.SUCCEEDED:
            _must(run.exit_code == 0, f"I1: {name} succeeded but ended with {run.exit_code}")
        if attempt.outcome is Outcome.FAILED:
            _must(run.exit_code is not None, f"I6: {name} is said to have failed, and was killed by others")

    def _is_rescued_rightly(self, before: Job, caller: SimulatedProcess) -> None:
        assert before.lease is not None
        holder, record = self.members[before.lease.worker], self.memory.workers[before.lease.worker]
        is_over = record.lease_expires_at <= self._latest() + SLACK
        _must(
            holder.process.is_dead or is_over,
            f"{before.id} is rescued from {holder.process}, which lives and holds its lease for "
            f"{record.lease_expires_at - self._latest()}",
        )
        host = next((it.host for it in self.members.values() if it.process is caller), "")
        alone = self._is_lost_alone(before, "rescue")
        self._rescues[before.id, before.attempts] = Rescue(host=host, alone=alone)

    # The end.

    def left(self) -> list[Command]:
        """The runs that go on, but for those that nobody was left to end."""
        return [run for runs in self._active.values() for run in runs if not run.is_forsaken]

    def finished(self, *, in_time: bool) -> None:
        """Check what must hold when a history is over; `in_time` also that all there was to do is done."""
        self._suspects.finished()
        self._hold(Invariant, self._history(*self.memory.jobs, in_time=in_time))

    def undisturbed(self) -> None:
        """Check what must hold in a history without a fault: nothing was lost, given back, or run for nothing."""
        for attempt in self.memory.attempts.values():
            asked = self.memory.jobs[attempt.job_id].cancel_requested_at is not None
            _must(
                attempt.outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMEOUT)
                or (asked and attempt.outcome is Outcome.CANCELLED),
                f"without a fault, {attempt.job_id}#{attempt.number} ended {attempt.outcome}",
            )

    def blamed(self, poison: Collection[str]) -> None:
        """Check that only the jobs that kill their workers are dead of it, each after as many losses as are allowed."""
        for job in self.memory.jobs.values():
            expected = (State.DEAD, self._max_losses) if job.id in poison else (State.COMPLETED, 0)
            _must((job.state, job.losses) == expected, f"blame: {job.id} is {job.state} with {job.losses} losses")

    # For the judge.

    def _history(self, *ids: str, in_time: bool | None = None) -> History:
        """The evidence about these jobs; `in_time` says at the end whether all must have ended, and is None before."""
        jobs, attempts = self.memory.jobs, self.memory.attempts
        is_over = in_time is not None
        return History(
            calls=[Call(ids=[it], printed=[it], code=0) for it in self.acknowledged] if is_over else (),
            ledger=[entry for job_id in ids for entry in self._ledger[job_id]],
            jobs={job_id: JobRecord.of(jobs[job_id]) for job_id in ids},
            attempts=[
                self._attempt_record(attempts[job_id, number])
                for job_id in ids
                for number in range(1, jobs[job_id].attempts + 1)
                if (job_id, number) in attempts
            ],
            processes=[LeftProcess(0, run.job, run.attempt, str(run)) for run in self.left()] if in_time else (),
            waiting=() if in_time else ids,
            outlived=[(run.job, run.attempt) for run in self.outlived],
            max_losses=self._max_losses,
            bound=0 if in_time else None,
        )

    def _attempt_record(self, attempt: Attempt) -> AttemptRecord:
        rescue = self._rescues.get((attempt.job_id, attempt.number))
        return AttemptRecord.of(attempt, alone=rescue is not None and rescue.alone)

    def _hold(self, invariants: Collection[Invariant] | type[Invariant], history: History) -> None:
        for violation in check(history, invariants):
            raise PromiseBroken(str(violation))


class Suspects:
    """The time that suspects wait for a worker, which is at most `longest` where that is given."""

    def __init__(self, now: Callable[[], timedelta], longest: timedelta | None) -> None:
        self._now = now
        self._longest = longest
        self._since: dict[str, timedelta] = {}

    def changed(self, before: Job, after: Job) -> None:
        """Hear of a change of a job."""
        if after.suspect and after.state in CLAIMABLE:
            self._since.setdefault(after.id, self._now())
        elif since := self._since.pop(after.id, None):
            self._waited_not_too_long(before.id, since)

    def finished(self) -> None:
        """Check those that still wait."""
        for job_id, since in self._since.items():
            self._waited_not_too_long(job_id, since)

    def _waited_not_too_long(self, job_id: str, since: timedelta) -> None:
        waited = self._now() - since
        _must(
            self._longest is None or waited <= self._longest,
            f"I7: {job_id}, which was lost with others, has waited {waited} for a worker",
        )


def _too_late(member: Member) -> timedelta:
    """The moment from which a worker that stands still cannot stop its commands in time."""
    return member.renewed_at + member.lease * 5 / 6 - SLACK


def _attempt_changed(before: Attempt | None, after: Attempt, what: str) -> None:
    if before is not None and before.outcome is not None:
        late = before._replace(late=after.late, output=after.output)
        _must(late == after, f"fencing: {what} changes the ended attempt {after.job_id}#{after.number}")


def _must_not(wrong: Iterator[str]) -> None:
    for what in wrong:
        raise PromiseBroken(what)


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise PromiseBroken(otherwise)
