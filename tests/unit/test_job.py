from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from queuectl.domain.attempt import Outcome
from queuectl.domain.errors import WrongState
from queuectl.domain.job import CLAIMABLE, MOVES, TERMINAL, Job, State
from tests.builders import (
    ANN,
    MINUTE,
    NOON,
    SECOND,
    a_failure,
    a_job,
    a_job_that_is,
    a_lease,
    a_loss,
    a_policy,
    a_result,
)


def settled(outcome: Outcome) -> Callable[[Job], Job]:
    return lambda job: job.settled(a_result(outcome), NOON, a_policy(), 0)


OPERATOR, WORKER = "an operator", "a worker"

TRANSITIONS: dict[str, tuple[str, Callable[[Job], Job], dict[State, State]]] = {
    "claimed": (
        WORKER,
        lambda job: job.claimed(a_lease(2), NOON),
        {State.PENDING: State.PROCESSING, State.FAILED: State.PROCESSING},
    ),
    "cancelled": (
        OPERATOR,
        lambda job: job.cancelled(NOON, ANN),
        {State.PENDING: State.CANCELLED, State.FAILED: State.CANCELLED, State.PROCESSING: State.PROCESSING},
    ),
    "retried": (
        OPERATOR,
        lambda job: job.retried(NOON),
        dict.fromkeys((State.COMPLETED, State.DEAD, State.CANCELLED), State.PENDING),
    ),
    "succeeded": (WORKER, settled(Outcome.SUCCEEDED), {State.PROCESSING: State.COMPLETED}),
    "failed": (WORKER, settled(Outcome.FAILED), {State.PROCESSING: State.FAILED}),
    "timed out": (WORKER, settled(Outcome.TIMEOUT), {State.PROCESSING: State.FAILED}),
    "failed for the last time": (
        WORKER,
        lambda job: settled(Outcome.FAILED)(job._replace(spec=job.spec._replace(max_retries=0))),
        {State.PROCESSING: State.DEAD},
    ),
    "lost": (WORKER, settled(Outcome.LOST), {State.PROCESSING: State.PENDING}),
    "lost too often": (
        WORKER,
        lambda job: settled(Outcome.LOST)(job._replace(losses=2, suspect=True)),
        {State.PROCESSING: State.DEAD},
    ),
    "released": (WORKER, settled(Outcome.RELEASED), {State.PROCESSING: State.PENDING}),
    "stopped by an operator": (WORKER, settled(Outcome.CANCELLED), {State.PROCESSING: State.CANCELLED}),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_transition_is_in_the_table_or_refused(name: str, state: State) -> None:
    _, transition, moves = TRANSITIONS[name]
    job = a_job_that_is(state)
    if state in moves:
        assert transition(job).state is moves[state]
        assert moves[state] is state or moves[state] in MOVES[state]
    else:
        with pytest.raises(WrongState, match=rf"job-1 is {state}\b"):
            transition(job)


def test_every_move_of_the_table_has_a_transition_that_makes_it() -> None:
    made = {(before, after) for _, _, moves in TRANSITIONS.values() for before, after in moves.items()}
    made = {(before, after) for before, after in made if before is not after}
    assert made == {(before, after) for before, targets in MOVES.items() for after in targets}


def test_a_claim_starts_the_next_attempt() -> None:
    failed = a_job_that_is(State.FAILED)
    claimed = failed.claimed(a_lease(2), NOON + MINUTE)
    assert (claimed.attempts, claimed.lease, claimed.started_at) == (2, a_lease(2), NOON + MINUTE)


def test_a_job_is_due_from_its_moment_on() -> None:
    job = a_job(run_at=NOON)
    assert not job.is_due(NOON - SECOND)
    assert job.is_due(NOON)


@pytest.mark.parametrize("state", [state for state in State if state not in (State.PENDING, State.FAILED)])
def test_a_job_that_does_not_wait_is_never_due(state: State) -> None:
    assert not a_job_that_is(state).is_due(NOON + MINUTE)


def test_by_default_a_failing_job_runs_four_times_after_2_4_and_8_seconds() -> None:
    job, at, waits = a_job(), NOON, []
    while job.state is not State.DEAD:
        job = job.claimed(a_lease(), at).settled(a_failure(), at, a_policy(), 0)
        waits.append((job.run_at - at) / SECOND)
        at = job.run_at
    assert waits[:-1] == [2, 4, 8]
    assert (job.attempts, job.failures) == (4, 4)


def test_without_retries_the_first_failure_is_the_last() -> None:
    job = a_job_that_is(State.PROCESSING, max_retries=0).settled(a_failure(), NOON + MINUTE, a_policy(), 0)
    assert (job.state, job.finished_at) == (State.DEAD, NOON + MINUTE)


def test_a_failure_is_told_until_the_next_attempt_ends() -> None:
    failed = a_job_that_is(State.PROCESSING).settled(a_failure(7), NOON, a_policy(), 0)
    assert (failed.exit_code, failed.last_error, failed.lease) == (7, "exit code 7", None)
    succeeded = failed.claimed(a_lease(2), NOON).settled(a_result(), NOON, a_policy(), 0)
    assert (succeeded.exit_code, succeeded.last_error) == (0, None)


def test_a_loss_does_not_count_as_a_failure_and_is_due_at_once() -> None:
    job = a_job_that_is(State.PROCESSING, max_retries=0).settled(a_loss(), NOON + MINUTE, a_policy(), 0, alone=True)
    assert (job.state, job.failures, job.losses, job.run_at) == (State.PENDING, 0, 1, NOON)


def test_a_job_that_is_lost_too_often_is_dead_with_that_reason() -> None:
    job = a_job_that_is(State.PROCESSING).settled(a_loss("w-1 died"), NOON, a_policy(max_losses="1"), 0, alone=True)
    assert (job.state, job.suspect) == (State.DEAD, False)
    assert job.last_error == "lost 1 times, the most that max-losses allows; the last time: w-1 died"


def test_a_job_that_is_lost_with_others_is_a_suspect_and_no_loss_counts_before_it_ran_apart() -> None:
    policy = a_policy(max_losses="1")
    suspect = a_job_that_is(State.PROCESSING).settled(a_loss(), NOON, policy, 0)
    assert (suspect.state, suspect.losses, suspect.suspect) == (State.PENDING, 0, True)
    again = suspect.claimed(a_lease(2), NOON).settled(a_loss(), NOON, policy, 0)
    assert (again.state, again.losses) == (State.DEAD, 1)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_suspect_is_cleared_by_every_end_but_a_loss_and_a_release(outcome: Outcome) -> None:
    ended = settled(outcome)(a_job_that_is(State.PROCESSING, suspect=True))
    assert ended.suspect is (outcome in (Outcome.LOST, Outcome.RELEASED))


def test_a_suspect_that_is_cancelled_while_it_waits_is_none_when_it_is_run_again() -> None:
    assert not a_job(suspect=True).cancelled(NOON, ANN).retried(NOON).suspect


def test_a_release_counts_as_nothing() -> None:
    job = a_job_that_is(State.PROCESSING, max_retries=0).settled(a_result(Outcome.RELEASED), NOON, a_policy(), 0)
    assert (job.state, job.failures, job.losses, job.run_at) == (State.PENDING, 0, 0, NOON)


def test_a_retry_gives_back_all_retries_and_forgets_no_attempt() -> None:
    dead = a_job_that_is(State.DEAD)
    retried = dead.retried(NOON + MINUTE)
    assert (retried.failures, retried.losses, retried.exit_code, retried.last_error) == (0, 0, None, None)
    assert (retried.attempts, retried.run_at, retried.finished_at) == (dead.attempts, NOON + MINUTE, None)


def test_to_cancel_a_job_that_runs_is_a_request_that_stands_until_it_has_ended() -> None:
    asked = a_job_that_is(State.PROCESSING).cancelled(NOON + MINUTE, ANN)
    assert (asked.state, asked.lease, asked.finished_at) == (State.PROCESSING, a_lease(), None)
    assert (asked.cancel_requested_at, asked.cancel_requested_by) == (NOON + MINUTE, ANN)


def test_to_ask_again_is_to_have_it_killed() -> None:
    asked = a_job_that_is(State.PROCESSING).cancelled(NOON, ANN)
    again = asked.cancelled(NOON + MINUTE, "bob@web-2")
    assert again == asked._replace(updated_at=NOON + MINUTE)
    assert [job.is_to_be_killed for job in (a_job_that_is(State.PROCESSING), asked, again)] == [False, False, True]


def test_a_cancel_now_is_like_one_that_is_asked_for_twice_whatever_the_clock_says() -> None:
    running = a_job_that_is(State.PROCESSING)
    for job in (running.cancelled(NOON, ANN, now=True), running.cancelled(NOON, ANN).cancelled(NOON - MINUTE, ANN)):
        assert job.is_to_be_killed
        assert (job.state, job.cancel_requested_at) == (State.PROCESSING, NOON)
    assert a_job().cancelled(NOON, ANN, now=True) == a_job().cancelled(NOON, ANN)


@pytest.mark.parametrize(
    ("outcome", "state"),
    {
        Outcome.SUCCEEDED: State.COMPLETED,
        Outcome.FAILED: State.CANCELLED,
        Outcome.TIMEOUT: State.CANCELLED,
        Outcome.LOST: State.CANCELLED,
        Outcome.RELEASED: State.CANCELLED,
        Outcome.CANCELLED: State.CANCELLED,
    }.items(),
)
def test_a_job_whose_cancel_was_asked_for_never_waits_again(outcome: Outcome, state: State) -> None:
    job = settled(outcome)(a_job_that_is(State.PROCESSING).cancelled(NOON, ANN))
    assert (job.state, job.finished_at, job.lease, job.cancel_requested_by) == (state, NOON, None, ANN)


def test_a_last_failure_that_comes_before_the_stop_stays_what_it_is() -> None:
    job = settled(Outcome.FAILED)(a_job_that_is(State.PROCESSING, max_retries=0).cancelled(NOON, ANN))
    assert (job.state, job.cancel_requested_at) == (State.DEAD, NOON)


@pytest.mark.parametrize("outcome", Outcome)
def test_a_request_that_arrives_just_before_the_end_or_just_after_it_comes_to_the_same(outcome: Outcome) -> None:
    job = a_job_that_is(State.PROCESSING)
    asked_before = settled(outcome)(job.cancelled(NOON, ANN))
    ended_before = settled(outcome)(job)
    asked_after = ended_before if ended_before.state in TERMINAL else ended_before.cancelled(NOON, ANN)
    assert asked_before.state is asked_after.state


def test_a_retry_takes_the_request_back() -> None:
    retried = a_job_that_is(State.CANCELLED).retried(NOON)
    assert (retried.cancel_requested_at, retried.cancel_requested_by) == (None, None)


class JobLife(RuleBasedStateMachine):
    """Any sequence of transitions, allowed or not."""

    def __init__(self) -> None:
        super().__init__()
        self.job = a_job(max_retries=2)
        self.attempts = 0
        self.last_move = OPERATOR
        self.before = self.job

    @rule(name=st.sampled_from(sorted(set(TRANSITIONS) - {"failed for the last time", "lost too often"})))
    def move(self, name: str) -> None:
        who, transition, _ = TRANSITIONS[name]
        self.before = self.job
        try:
            self.job = transition(self.job)
            self.last_move = who
        except WrongState:
            assert self.job.state not in TRANSITIONS[name][2]

    @invariant()
    def attempts_never_fall(self) -> None:
        assert self.job.attempts - self.before.attempts in (0, 1)

    @invariant()
    def it_holds_a_lease_exactly_while_it_is_processing(self) -> None:
        assert (self.job.lease is not None) == (self.job.state is State.PROCESSING)

    @invariant()
    def it_has_an_end_exactly_while_it_has_ended(self) -> None:
        assert (self.job.finished_at is not None) == (self.job.state in TERMINAL)

    @invariant()
    def its_counters_add_up(self) -> None:
        assert self.job.failures + self.job.losses <= self.job.attempts
        assert self.job.failures <= self.job.max_retries + 1

    @invariant()
    def it_is_no_suspect_when_it_has_ended(self) -> None:
        assert not (self.job.suspect and self.job.state in TERMINAL)

    @invariant()
    def a_loss_counts_only_for_a_suspect(self) -> None:
        assert self.job.losses <= self.before.losses or self.before.suspect

    @invariant()
    def it_does_not_wait_while_its_cancel_is_asked_for(self) -> None:
        assert self.job.cancel_requested_at is None or self.job.state not in CLAIMABLE

    @precondition(lambda self: self.before.state in TERMINAL and self.job is not self.before)
    @invariant()
    def only_an_operator_moves_a_job_that_has_ended(self) -> None:
        assert self.last_move == OPERATOR


JobLife.TestCase.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
test_any_sequence_of_transitions_keeps_the_job_consistent = JobLife.TestCase
