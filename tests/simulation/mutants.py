"""Parts that break one promise each: a simulator that does not find them out proves nothing."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from queuectl.application.duties.lease_watch import LeaseWatch
from queuectl.application.duties.rescue import Rescue
from queuectl.application.work.claim import POLL
from queuectl.application.work.lease import Heartbeat
from queuectl.application.work.stop import LostLease
from queuectl.application.work.worker import Worker
from queuectl.domain.attempt import AttemptEnd, Outcome
from queuectl.domain.job import Job, State, WaitsFor
from queuectl.domain.policy import Policy
from queuectl.domain.ports.host import Clock, LocalProcess
from queuectl.domain.ports.work import Claim, DecideEnd, DecideLost, Run, Settled, Settlement
from queuectl.domain.worker import WorkerState
from tests.fakes import InMemoryLocalProcesses
from tests.memory import InMemoryWork, InMemoryWorkers, Memory
from tests.simulation.cluster import Parts
from tests.simulation.simulate import Mode


class WorkWithoutFence(InMemoryWork):
    """Takes any worker's word for how a job ended, whoever holds it."""

    def _settled(self, end: AttemptEnd, decide: DecideEnd) -> Settled:
        stored = self._memory.jobs[end.job_id]
        held = stored._replace(state=State.PROCESSING, attempts=end.number, lease=end.lease)
        try:
            job = decide(held, end)
        except StopIteration:  # a commit that is made twice comes when its worker is done with that end
            return super()._settled(end, decide)
        self._memory.store([job])
        self._memory.end_attempt((end.job_id, end.number), end.at, end.result)
        return Settled(Settlement.RECORDED, job)


class WorkThatCountsAResend(InMemoryWork):
    """Takes an end that is sent a second time for one more failure."""

    def _settled(self, end: AttemptEnd, decide: DecideEnd) -> Settled:
        settled = super()._settled(end, decide)
        is_resend = settled.job is not None and end[:3] in self._seen
        self._seen.add(end[:3])
        if is_resend and settled.job is not None and end.result.outcome is Outcome.FAILED:
            self._memory.store([settled.job._replace(failures=settled.job.failures + 1)])
        return settled

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self._seen: set[object] = set()


class WorkThatAreClaimedTwice(InMemoryWork):
    """Gives every claim also what runs already, if it is of the first priority."""

    def claim(self, claim: Claim) -> Sequence[Run]:
        runs = super().claim(claim)
        with self._memory.transaction():
            others = [job for job in self._memory.jobs.values() if job.lease not in (None, claim.lease)]
            policy = Policy.of(self._memory.config)
            return [*runs, *(Run(job=job, lease=job.lease, policy=policy) for job in others[: claim.limit - len(runs)])]


class WorkThatForgetsACancel(InMemoryWork):
    """Puts a job back as its worker says, who had not heard of the cancel."""

    def _settled(self, end: AttemptEnd, decide: DecideEnd) -> Settled:
        def unheard(job: Job, end: AttemptEnd) -> Job:
            decided = decide(job._replace(cancel_requested_at=None), end)
            return decided._replace(cancel_requested_at=job.cancel_requested_at)

        return super()._settled(end, unheard)


class WorkForWhomeverAsks(InMemoryWork):
    """Rescues a worker without a look at its lease."""

    def rescue(self, worker_id: str, decide: DecideLost, **said: Any) -> Sequence[Job]:  # noqa: ANN401
        return super().rescue(worker_id, decide, **said | {"proved_dead": True})


class WorkThatBlameAll(InMemoryWork):
    """Counts a loss for each job that the worker held."""

    def rescue(self, worker_id: str, decide: DecideLost, **said: Any) -> Sequence[Job]:  # noqa: ANN401
        return super().rescue(worker_id, lambda job, _alone: decide(job, True), **said)


class WorkThatRunBesideSuspects(InMemoryWork):
    """Gives a claim any job that is due."""

    def claim(self, claim: Claim) -> Sequence[Run]:
        return super().claim(claim._replace(suspects=None))


class WorkThatForgetSuspicion(InMemoryWork):
    """Puts a job that was lost with others back as if nothing had been."""

    def rescue(self, worker_id: str, decide: DecideLost, **said: Any) -> Sequence[Job]:  # noqa: ANN401
        def cleared(job: Job, alone: bool) -> Job:
            return decide(job, alone)._replace(suspect=False)

        return super().rescue(worker_id, cleared, **said)


class WorkThatCountsOneTooFew(InMemoryWork):
    """Does not see one of the jobs that run."""

    def claim(self, claim: Claim) -> Sequence[Run]:
        with self._memory.transaction(), _as(self._memory, "running", lambda: Memory.running(self._memory)[1:]):
            return super().claim(claim)


class WorkThatKeepsTheSlotsOfTheLost(InMemoryWork):
    """Puts a job that was lost back with its slot."""

    def rescue(self, worker_id: str, decide: DecideLost, **said: Any) -> Sequence[Job]:  # noqa: ANN401
        return super().rescue(worker_id, lambda job, alone: decide(job, alone)._replace(slot=job.slot), **said)


class WorkThatLeavesTheKeysOfTheLost(InMemoryWork):
    """Lets nobody go who waits for the key of a job that was lost."""

    def rescue(self, worker_id: str, decide: DecideLost, **said: Any) -> Sequence[Job]:  # noqa: ANN401
        with self._memory.transaction(), _as(self._memory, "expose", lambda _jobs: None):
            return super().rescue(worker_id, decide, **said)


class WorkThatUsesNoStarts(InMemoryWork):
    """Lets jobs start without a trace in their queue's rate."""

    def claim(self, claim: Claim) -> Sequence[Run]:
        runs = super().claim(claim)
        self._memory.used.clear()
        return runs


class WorkThatIgnoresPauses(InMemoryWork):
    """Claims from paused queues."""

    def claim(self, claim: Claim) -> Sequence[Run]:
        open_queues = {name: it.resumed() for name, it in self._memory.queues.items()}
        with self._memory.transaction(), _as(self._memory, "queues", open_queues):
            return super().claim(claim)


class WorkThatExposesInOneQueue(InMemoryWork):
    """Lets go who waits for a key in the queue of the job that has ended, and nobody in another."""

    def _settled(self, end: AttemptEnd, decide: DecideEnd) -> Settled:
        memory = self._memory

        def expose(ended: Sequence[Job]) -> None:
            places = {(job.spec.key, job.queue) for job in ended if job.spec.key is not None}
            freed = [it for it in memory.jobs.values() if (it.spec.key, it.queue) in places]
            memory.store(it._replace(waits_for=None) for it in freed if it.waits_for is WaitsFor.KEY)

        with _as(memory, "expose", expose):
            return super()._settled(end, decide)


@contextmanager
def _as(memory: Memory, name: str, value: object) -> Iterator[None]:
    """Have something else in a part's place for a while."""
    was = getattr(memory, name)
    setattr(memory, name, value)
    yield
    setattr(memory, name, was)


class WorkersThatRenewTheDead(InMemoryWorkers):
    """Tells a worker that was given up that its lease goes on."""

    def renew(self, worker_id: str, *, state: WorkerState, at: datetime, until: datetime) -> bool:
        super().renew(worker_id, state=state, at=at, until=until)
        return True


class HeartbeatThatNeverRenews(Heartbeat):
    def renew(self) -> None:
        return


class HeartbeatThatOnlySaysSo(Heartbeat):
    """Takes every renewal for made, without one."""

    def renew(self) -> None:
        self.lease.renewed(self.lease.elapsed())


class HeartbeatThatNeverLoses(Heartbeat):
    """Holds on to its lease whatever happens."""

    def __init__(self, *args: object, **parts: object) -> None:
        super().__init__(*args, **parts)
        self.lease.held_for = 1_000_000 * self.lease.length

    def give_up(self, reason: str) -> None:
        return

    def watch(self, stop_jobs: Callable[[timedelta], None]) -> None:
        return


class HeartbeatThatGivesUpLate(Heartbeat):
    """Stops its commands only when others may have claimed them already."""

    def __init__(self, *args: object, **parts: object) -> None:
        super().__init__(*args, **parts)
        self.lease.held_for = self.lease.length


class HeartbeatWithoutFence(Heartbeat):
    """Leaves it to the main thread to stop the commands, which may wait for the database."""

    def watch(self, stop_jobs: Callable[[timedelta], None]) -> None:
        return


class WorkerThatIgnoresALostLease(Worker):
    def __init__(self, *args: object, **parts: object) -> None:
        super().__init__(*args, **parts)
        self._duties = [it for it in self._duties if not isinstance(it, LostLease)]


class WorkerThatStartsWhateverItClaimed(Worker):
    """Does not look at its lease when the answer to a claim has come."""

    def __init__(self, *args: object, **parts: object) -> None:
        super().__init__(*args, **parts)
        self._context.slots.start = self._start

    def _start(self, run: Run) -> None:
        self._context.slots.running[run.job.id] = run
        self._context.ports.runner.start(run)


class JobsThatHideWhatIsHeld(InMemoryWork):
    """Shows a worker none of the jobs that it holds: orphaned claims stay orphaned."""

    def held_by(self, worker_id: str) -> Sequence[Job]:
        return []


class WorkerThatDropsOutcomes(Worker):
    """Tells each outcome once, heard or not, and keeps none."""

    def work_one(self, patience: timedelta = POLL) -> None:
        self._context.outcomes.drop()
        super().work_one(patience)


class WorkerThatClaimsBesideASuspect(Worker):
    """Fills its other slots when it runs one."""

    def __init__(self, *args: object, **parts: object) -> None:
        super().__init__(*args, **parts)
        self._suspects.forbid_claims = lambda: False


class WorkerThatMakesNoRoom(Worker):
    """Takes a suspect only if it happens to hold nothing."""

    def __init__(self, *args: object, **parts: object) -> None:
        super().__init__(*args, **parts)
        slots = self._context.slots
        self._suspects.forbid_claims = lambda: (
            any(run.job.suspect for run in slots.running.values()) and slots.concurrency > 1
        )


def rescue_before_expiry(*, watch: LeaseWatch, **ports: object) -> Callable[[Policy], timedelta]:
    """Rescue a worker that has been silent for a third of its lease."""
    left = watch.left
    watch.left = lambda worker: max(timedelta(), left(worker) - (worker.lease_expires_at - worker.renewed_at) * 2 / 3)  # type: ignore[method-assign]
    return Rescue(watch=watch, **ports)  # type: ignore[arg-type]


def rescue_by_the_clock(*, clock: Clock, watch: LeaseWatch, **ports: object) -> Callable[[Policy], timedelta]:
    """Take a step of the server's clock for time that has passed."""
    watch.left = lambda worker: max(timedelta(), worker.lease_expires_at - clock())  # type: ignore[method-assign]
    return Rescue(clock=clock, watch=watch, **ports)  # type: ignore[arg-type]


def rescue_nobody(**_ports: object) -> Callable[[Policy], timedelta]:
    return lambda policy: policy.lease / 6


class NobodyRegistered(InMemoryLocalProcesses):
    """Knows nothing of the others on its machine: leases go by the clock, and who stands still is left alive."""

    def registered(self, *, of: Collection[str] = ()) -> Sequence[LocalProcess]:
        return []


SAFETY, LIVENESS, CALM, POISON = (Mode.SAFETY,), (Mode.LIVENESS,), (Mode.CALM,), (Mode.POISON,)

MUTANTS: Mapping[str, tuple[Parts, Sequence[Mode]]] = {
    "a repository without the fence": (Parts(work=WorkWithoutFence), SAFETY),
    "a repository that counts a resend": (Parts(work=WorkThatCountsAResend), SAFETY),
    "a repository that forgets a cancel": (Parts(work=WorkThatForgetsACancel), SAFETY),
    "a claim of what runs already": (Parts(work=WorkThatAreClaimedTwice), CALM),
    "a repository that rescues the living": (Parts(work=WorkForWhomeverAsks, rescue=rescue_before_expiry), SAFETY),
    "a repository that blames all": (Parts(work=WorkThatBlameAll), SAFETY),
    "a repository that gives suspects to any claim": (Parts(work=WorkThatRunBesideSuspects), POISON),
    "a repository that forgets suspicion": (Parts(work=WorkThatForgetSuspicion), POISON),
    "a repository that counts one too few": (Parts(work=WorkThatCountsOneTooFew), CALM),
    "a repository that keeps the slots of the lost": (Parts(work=WorkThatKeepsTheSlotsOfTheLost), SAFETY),
    "a repository that leaves the keys of the lost": (Parts(work=WorkThatLeavesTheKeysOfTheLost), SAFETY),
    "a repository that uses no starts": (Parts(work=WorkThatUsesNoStarts), CALM),
    "a repository that ignores pauses": (Parts(work=WorkThatIgnoresPauses), CALM),
    "a repository that exposes in one queue": (Parts(work=WorkThatExposesInOneQueue), CALM),
    "a worker that claims beside a suspect": (Parts(worker=WorkerThatClaimsBesideASuspect), POISON),
    "a worker that makes no room for a suspect": (Parts(worker=WorkerThatMakesNoRoom), POISON),
    "a registry that renews the dead": (Parts(workers=WorkersThatRenewTheDead), LIVENESS),
    "a heartbeat that never renews": (Parts(heartbeat=HeartbeatThatNeverRenews), CALM),
    "a heartbeat that only says so": (Parts(heartbeat=HeartbeatThatOnlySaysSo), SAFETY),
    "a heartbeat that never loses": (Parts(heartbeat=HeartbeatThatNeverLoses), SAFETY),
    "a heartbeat that gives up late": (Parts(heartbeat=HeartbeatThatGivesUpLate), SAFETY),
    "a heartbeat without a fence": (Parts(heartbeat=HeartbeatWithoutFence), SAFETY),
    "a worker that ignores a lost lease": (
        Parts(worker=WorkerThatIgnoresALostLease, heartbeat=HeartbeatWithoutFence),
        SAFETY,
    ),
    "a worker that starts whatever it claimed": (Parts(worker=WorkerThatStartsWhateverItClaimed), SAFETY),
    "a worker that forgets orphaned claims": (Parts(work=JobsThatHideWhatIsHeld), LIVENESS),
    "a worker that drops outcomes": (Parts(worker=WorkerThatDropsOutcomes), LIVENESS),
    "a rescue before expiry": (Parts(rescue=rescue_before_expiry), SAFETY),
    "a rescue that takes a step of the clock for time": (Parts(rescue=rescue_by_the_clock), SAFETY),
    "no rescue at all": (Parts(rescue=rescue_nobody), LIVENESS),
    "a machine where nobody is registered": (Parts(local=NobodyRegistered, rescue=rescue_by_the_clock), SAFETY),
    "a rescue that does not clear its host first": (Parts(clear=False), SAFETY),
    "workers that go by their own clocks": (Parts(server_clock=False), SAFETY),
}
"""By what it is: the broken parts, and the modes in which the simulator finds out."""
