"""Any history of a queue: the adapter under test and the model, the fakes in memory, never differ."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from queuectl.domain.attempt import Attempt, AttemptEnd, Outcome
from queuectl.domain.errors import Conflict, JobNotFound
from queuectl.domain.job import CLAIMABLE, ENDED, STARTED, TERMINAL, Job, OnDuplicate, State, Terms, WaitsFor
from queuectl.domain.limits import Rate
from queuectl.domain.ports.work import Claim, Run
from queuectl.domain.queues import EVERY, Pause, QueueSettings
from queuectl.domain.worker import Lease, WorkerState
from tests.builders import (
    ANN,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    a_job,
    a_lease,
    a_loss,
    a_policy,
    a_result,
    a_worker,
    settled,
)
from tests.contracts.conftest import QueueStore, in_memory
from tests.contracts.observing import LOOK, Database, breaches

JOB_IDS = st.sampled_from([f"job-{number}" for number in range(8)])
WORKER_IDS = st.sampled_from(["w-0", "w-1", "w-2"])
UNIQUE_KEYS = st.sampled_from(["k-1", "k-2"])
QUEUES = st.sampled_from(["a", "b"])
QUEUE_CHOICES = st.sampled_from([(), ("a",), ("b", "a"), ("c",)])
LABELS = st.sampled_from([(), ("gpu",)])
KEYS = {"key-1": 1, "key-2": 2, "key-3": 3}
RATES = st.sampled_from([None, Rate(1, SECOND), Rate(2, 10 * SECOND), Rate(3, 10 * SECOND)])
PAUSES = st.sampled_from([None, SECOND, 20 * MINUTE])


class QueueHistory(RuleBasedStateMachine):
    runs = Bundle("runs")
    reports = Bundle("reports")

    def __init__(self, new_store: Callable[[], QueueStore]) -> None:
        super().__init__()
        self.model = in_memory(Path())
        self.real = new_store()
        self.now = NOON
        self.leases = 0
        self.started_workers = 0
        self.seen: dict[str, Job] = {}
        self.operated: set[str] = set()
        self.ended: dict[tuple[str, Lease], object] = {}
        self.rated: dict[str, tuple[Rate | None, set[tuple[str, int]]]] = {}
        self.in_slots = Counter[str]()
        self.seen_from_outside = Database(self.real.url) if self.real.url else None

    def teardown(self) -> None:
        if self.seen_from_outside:
            self.seen_from_outside.close()
        self.real.close()

    def both(self, act: Callable[[QueueStore], object]) -> object:
        """What `act` returns or raises, which must be the same for both."""

        def outcome(store: QueueStore) -> object:
            try:
                return act(store)
            except (Conflict, JobNotFound) as error:
                return type(error), error.message

        expected, actual = outcome(self.model), outcome(self.real)
        assert actual == expected
        return expected

    @initialize()
    def open_shop(self) -> None:
        for worker_id in ("w-0", "w-1"):
            self.start_worker(worker_id)
        jobs = [a_job(f"job-{number}", queue="ab"[number % 2], max_retries=number % 3) for number in range(5)]
        self.both(lambda store: store.jobs.add(jobs))

    @rule(span=st.sampled_from([timedelta(microseconds=1), SECOND, 10 * SECOND, 20 * MINUTE]))
    def advance_time(self, span: timedelta) -> None:
        self.now += span

    @rule(
        job_ids=st.lists(JOB_IDS, min_size=1, max_size=4),
        queue=QUEUES,
        priority=st.integers(4, 6),
        max_retries=st.integers(0, 2),
        delay=st.sampled_from([timedelta(), SECOND, HOUR]),
    )
    def enqueue(self, job_ids: list[str], queue: str, priority: int, max_retries: int, delay: timedelta) -> None:
        jobs = [
            a_job(
                job_id,
                queue=queue,
                priority=priority,
                max_retries=max_retries,
                created_at=self.now,
                run_at=self.now + delay,
            )
            for job_id in job_ids
        ]
        self.both(lambda store: store.jobs.add(jobs))

    @rule(
        jobs=st.lists(
            st.tuples(JOB_IDS, UNIQUE_KEYS, st.sampled_from([ENDED, STARTED, "20m"])), min_size=1, max_size=3
        ),
        rule=st.sampled_from([None, *OnDuplicate]),
        queue=QUEUES,
    )
    def enqueue_unique(self, jobs: list[tuple[str, str, str]], rule: OnDuplicate | None, queue: str) -> None:
        new = [
            a_job(
                job_id,
                queue=queue,
                created_at=self.now,
                unique_key=key,
                unique_until=until,
                unique_held=key,
                unique_expires_at=self.now + 20 * MINUTE if until == "20m" else None,
            )
            for job_id, key, until in jobs
        ]
        terms = {job.id: Terms(rule) for job in new} if rule else {}
        self.both(lambda store: store.jobs.add(new, terms))

    @rule(
        jobs=st.lists(
            st.tuples(JOB_IDS, st.sampled_from([None, *KEYS]), st.integers(4, 6), st.sampled_from([(), (), ("gpu",)])),
            min_size=1,
            max_size=6,
            unique_by=lambda job: job[0],
        ),
        queue=QUEUES,
    )
    def enqueue_keyed(self, jobs: list[tuple[str, str | None, int, tuple[str, ...]]], queue: str) -> None:
        new = [
            a_job(
                job_id,
                queue=queue,
                priority=priority,
                key=key,
                key_limit=key and KEYS[key],
                needs=needs,
                created_at=self.now,
            )
            for job_id, key, priority, needs in jobs
        ]
        self.both(lambda store: store.jobs.add(new))

    @rule(queue=QUEUES, concurrency=st.sampled_from([None, 1, 2, 3]))
    def limit(self, queue: str, concurrency: int | None) -> None:
        self.both(lambda store: store.queues.change(queue, lambda before: before._replace(concurrency=concurrency)))

    @rule(queue=QUEUES, rate=RATES)
    def rate(self, queue: str, rate: Rate | None) -> None:
        self.both(lambda store: store.queues.change(queue, lambda before: before._replace(rate=rate)))
        if rate != self.rated.get(queue, (None,))[0]:
            self.rated[queue] = rate, {(it.job_id, it.number) for it in self.attempts_in(queue)}

    @rule(queue=st.sampled_from(["a", "b", EVERY]), span=PAUSES)
    def pause(self, queue: str, span: timedelta | None) -> None:
        pause = Pause(self.now, ANN, span and self.now + span)
        self.both(lambda store: store.queues.change(queue, lambda before: before.paused(pause)))

    @rule(queue=st.sampled_from(["a", "b", EVERY]))
    def resume(self, queue: str) -> None:
        self.both(lambda store: store.queues.change(queue, QueueSettings.resumed))

    @rule(worker_id=WORKER_IDS)
    def start_worker(self, worker_id: str) -> None:
        """A new process in the place of the old one; ids are never used twice."""
        self.started_workers += 1
        self.now += SECOND
        worker = a_worker(f"{worker_id}.{self.started_workers}", started_at=self.now, lease_expires_at=self.now + HOUR)
        self.both(lambda store: store.workers.register(worker))

    def any_worker(self, data: st.DataObject) -> str:
        known = [worker.id for worker in self.model.workers.live()]
        return data.draw(st.sampled_from(known or ["unknown"]), label="worker")

    @rule(
        target=runs,
        data=st.data(),
        queues=QUEUE_CHOICES,
        limit=st.integers(1, 3),
        suspects=st.sampled_from([None, False, True]),
        labels=LABELS,
    )
    def claim(
        self,
        data: st.DataObject,
        queues: tuple[str, ...],
        limit: int,
        suspects: bool | None,
        labels: tuple[str, ...],
    ) -> object:
        """Of a key, a suspect may be the one that is exposed: who wants no suspects does not get another."""
        if any(job.suspect and job.spec.key for job in self.model.jobs.search()):
            suspects = None
        self.leases += 1
        claim = Claim(a_lease(self.leases, worker=self.any_worker(data)), limit, self.now, queues, labels, suspects)
        self.both(lambda store: list(store.work.claim(claim)))
        lease = claim.lease
        taken = [job for job in self.model.work.held_by(lease.worker) if job.lease == lease]
        return multiple(*(Run(job, lease, a_policy()) for job in taken))

    @rule(
        target=reports, run=consumes(runs), outcome=st.sampled_from(Outcome), output=st.sampled_from([b"", b"\0\xff"])
    )
    def settle(self, run: Run, outcome: Outcome, output: bytes) -> AttemptEnd:
        result = a_result(outcome, output=output, error=f"{outcome}")
        end = run.ended(result, self.now)
        self.both(lambda store: store.work.settle([end], settled))
        return end

    @rule(target=reports, run=consumes(runs), data=st.data(), outcome=st.sampled_from(Outcome))
    def settle_and_claim(self, run: Run, data: st.DataObject, outcome: Outcome) -> AttemptEnd:
        result = a_result(outcome, error=f"{outcome}")
        end = run.ended(result, self.now)
        self.leases += 1
        lease = a_lease(self.leases, worker=self.any_worker(data))
        self.both(
            lambda store: store.work.settle_and_claim([end], settled, Claim(lease, queues=(), limit=0, at=self.now))
        )
        return end

    @rule(report=reports)
    def settle_again(self, report: AttemptEnd) -> None:
        self.both(lambda store: store.work.settle([report], settled))

    @rule(report=reports, outcome=st.sampled_from(Outcome))
    def settle_otherwise(self, report: AttemptEnd, outcome: Outcome) -> None:
        late = report._replace(result=a_result(outcome, output=b"late"))
        self.both(lambda store: store.work.settle([late], settled))

    @rule(job_id=JOB_IDS)
    def cancel(self, job_id: str) -> None:
        self.operated.add(job_id)
        self.both(lambda store: store.jobs.change(job_id, lambda job: job.cancelled(self.now, ANN)))

    @rule(job_id=JOB_IDS)
    def retry(self, job_id: str) -> None:
        self.operated.add(job_id)
        self.both(lambda store: store.jobs.change(job_id, lambda job: job.retried(self.now)))

    @rule(limit=st.integers(1, 2))
    def retry_some_dead(self, limit: int) -> None:
        self.operated |= {job.id for job in self.model.jobs.search(states=[State.DEAD])}
        self.both(
            lambda store: list(store.jobs.change_dead(lambda job: job.retried(self.now), until=self.now, limit=limit))
        )

    @rule(job_id=JOB_IDS)
    def remove(self, job_id: str) -> None:
        self.both(lambda store: store.jobs.remove(job_id, allow=lambda job: job, at=NOON))

    @rule(limit=st.integers(1, 2))
    def remove_some(self, limit: int) -> None:
        self.both(lambda store: store.jobs.remove_dead(limit=limit, at=NOON))

    @rule(data=st.data(), proved_dead=st.booleans())
    def rescue(self, data: st.DataObject, proved_dead: bool) -> None:
        worker_id = self.any_worker(data)

        def lost(job: Job, alone: bool) -> Job:
            return job.settled(a_loss(f"{worker_id} died"), self.now, a_policy(max_losses="2"), 0, alone=alone)

        self.both(
            lambda store: sorted(
                store.work.rescue(worker_id, lost, at=self.now, proved_dead=proved_dead), key=lambda job: job.id
            )
        )

    @rule(data=st.data(), state=st.sampled_from([WorkerState.RUNNING, WorkerState.RUNNING, WorkerState.STOPPING]))
    def renew(self, data: st.DataObject, state: WorkerState) -> None:
        worker_id = self.any_worker(data)
        self.both(lambda store: store.workers.renew(worker_id, state=state, at=self.now, until=self.now + HOUR))

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        worker_id = self.any_worker(data)
        self.both(lambda store: store.workers.retire(worker_id, at=self.now))

    @rule(window=st.sampled_from([SECOND, MINUTE, 2 * HOUR]), queues=QUEUE_CHOICES, labels=LABELS)
    def look_back_and_ahead(self, window: timedelta, queues: tuple[str, ...], labels: tuple[str, ...]) -> None:
        self.both(lambda store: store.measurements.metrics(since=self.now - window, detailed=True))
        if not any(job.spec.key and job.state in CLAIMABLE for job in self.model.jobs.search()):  # see `by_meaning`
            self.both(lambda store: store.work.first_due(queues=queues, labels=labels))

    @invariant()
    def a_unique_key_has_one_holder_which_has_not_given_it_up(self) -> None:
        holders = [job for job in self.model.jobs.search() if job.unique_held is not None]
        assert len({job.unique_held for job in holders}) == len(holders)
        for job in holders:
            assert job.state not in TERMINAL or job.unique_expires_at is not None
            assert not job.attempts or job.spec.unique_until != STARTED

    # What follows holds for both, as the first of these holds them together; the model answers faster.

    @invariant()
    def both_tell_the_same(self) -> None:
        self.both(lambda store: [by_meaning(job) for job in store.jobs.search()])
        self.both(lambda store: store.queues.all())
        for job in self.model.jobs.search():
            self.both(lambda store, job_id=job.id: list(store.attempts.attempts_of(job_id)))
        self.both(lambda store: store.workers.live())
        self.both(lambda store: store.measurements.counts())

    @invariant()
    def no_more_run_than_may_and_of_each_key_enough_may_be_claimed(self) -> None:
        """In a queue whose limit was lowered, no more than before."""
        queues = self.model.queues.all()
        limited = {it.name: it.concurrency for it in queues.values() if it.concurrency is not None}
        allowed = {name: max(limit, self.in_slots[name]) for name, limit in limited.items()}
        assert list(breaches(list(map(_as_seen, self.model.jobs.search())), keys=KEYS, queues=allowed)) == []
        if self.seen_from_outside:
            assert list(breaches(self.seen_from_outside.rows(LOOK), keys=KEYS, queues=allowed)) == []
        self.in_slots = Counter(job.queue for job in self.model.jobs.search() if job.slot is not None)

    @invariant()
    def no_span_has_more_starts_than_the_rate_since_it_was_set(self) -> None:
        for queue, (rate, before) in self.rated.items():
            if rate is not None:
                starts = sorted(it.started_at for it in self.attempts_in(queue) if (it.job_id, it.number) not in before)
                spans = [later - first for first, later in zip(starts, starts[rate.starts :], strict=False)]
                assert all(span >= rate.period for span in spans)

    def attempts_in(self, queue: str) -> list[Attempt]:
        jobs = [job.id for job in self.model.jobs.search(queues=[queue])]
        return [attempt for job_id in jobs for attempt in self.model.attempts.attempts_of(job_id)]

    @invariant()
    def the_counts_are_of_the_jobs(self) -> None:
        jobs = self.model.jobs.search()
        counts = self.model.measurements.counts()
        assert counts == {state: len([job for job in jobs if job.state is state]) for state in State}

    @invariant()
    def a_job_holds_a_lease_and_runs_an_attempt_exactly_while_it_is_processing(self) -> None:
        for job in self.model.jobs.search():
            attempts = self.model.attempts.attempts_of(job.id)
            running = [attempt.lease for attempt in attempts if attempt.outcome is None]
            assert running == ([job.lease] if job.state is State.PROCESSING else [])
            assert [attempt.number for attempt in attempts] == list(range(1, job.attempts + 1))

    @invariant()
    def a_job_whose_cancel_is_asked_for_does_not_wait_and_its_worker_can_hear_of_it(self) -> None:
        asked = [job for job in self.model.jobs.search() if job.cancel_requested_at is not None]
        assert not [job for job in asked if job.state in CLAIMABLE]
        known = [job.id for job in self.model.jobs.search()]
        for worker_id in {job.lease.worker for job in asked if job.lease}:
            heard = self.both(lambda store, it=worker_id: _by_id(store.work.cancel_requests(it, known)))
            held = self.model.work.held_by(worker_id)
            assert heard == _by_id([job for job in held if job.cancel_requested_at is not None])

    @invariant()
    def an_attempt_ends_once(self) -> None:
        for job in self.model.jobs.search():
            for attempt in self.model.attempts.attempts_of(job.id):
                if attempt.outcome is not None:
                    end = attempt.outcome, attempt.finished_at, attempt.error
                    assert self.ended.setdefault((job.id, attempt.lease), end) == end

    @invariant()
    def attempts_never_fall_and_only_an_operator_moves_a_job_that_has_ended(self) -> None:
        jobs = {job.id: job for job in self.model.jobs.search()}
        for job_id, before in self.seen.items():
            job = jobs.get(job_id)
            if job is None or job.created_at != before.created_at:
                continue
            assert job.attempts >= before.attempts
            is_left_alone = job._replace(unique_held=before.unique_held) == before  # its span may be over
            assert before.state not in TERMINAL or is_left_alone or job_id in self.operated
        self.seen = jobs
        self.operated.clear()


def by_meaning(job: Job) -> Job:
    """The job, be it parked or not: the databases expose one of a key for each place that is free, the model all.

    Who claims next parks what may not start, on either: the same jobs start.
    """
    return job._replace(waits_for=None) if job.waits_for is WaitsFor.KEY else job


def _as_seen(job: Job) -> tuple[object, ...]:
    """A row of `LOOK`; a lane of the model is one of a queue and needs."""
    is_there = job.state not in TERMINAL
    runs, lane = job.state is State.PROCESSING, (job.queue, job.spec.needs)
    return job.queue, lane, job.spec.key, runs, job.waits_for, job.slot, int(is_there)


def _by_id(jobs: Sequence[Job]) -> Sequence[Job]:
    return sorted(jobs, key=lambda job: job.id)


def test_no_history_makes_the_adapter_differ_from_the_model(new_store: Callable[[], QueueStore]) -> None:
    run_state_machine_as_test(
        lambda: QueueHistory(new_store),
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            # Shown as it was found: to shrink a failing history on a database takes minutes.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
