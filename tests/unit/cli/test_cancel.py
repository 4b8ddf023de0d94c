"""`queuectl cancel`, as a shell sees it; the worker's side is a test's own."""

import pytest

from queuectl.application.operate.inspect import find_job
from queuectl.domain.attempt import Outcome
from queuectl.domain.errors import DatabaseUnreachable
from queuectl.domain.job import State
from tests.builders import ANN, HOUR, a_failure, a_loss, a_policy, a_result, a_worker
from tests.unit.cli.conftest import CommandLine
from tests.unit.cli.test_commands import enqueue

KILLED = a_result(Outcome.CANCELLED, signal=15, error=f"cancelled by {ANN}: was stopped (killed by SIGTERM)")


def idle() -> None:
    """Nothing happens for a second."""


def test_every_id_is_tried_and_the_exit_code_is_that_of_the_first_failure(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a", "b")
    answer = queuectl("cancel", "a", "nope", "b", "a")
    assert (answer.code, answer.lines) == (3, ["a", "b"])
    assert "there is no job nope" in answer.err
    assert queuectl("cancel", "a").code == 4


def test_a_running_job_is_waited_for_and_what_killed_it_is_told(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a")
    run = queuectl.start_next()
    queuectl.meanwhile = [idle, lambda: queuectl.end(run, KILLED)]
    answer = queuectl("cancel", "a", "--output", "table")
    assert (answer.code, answer.out, answer.err) == (0, "cancelled job a: its command was killed by SIGTERM\n", "")
    assert find_job(queuectl.queue, "a").state is State.CANCELLED
    assert queuectl.meanwhile == []


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (a_result(Outcome.CANCELLED, signal=9), "its command was killed by SIGKILL"),
        (a_result(Outcome.CANCELLED, signal=64 - 1), "its command was killed by signal 63"),
        (a_result(Outcome.CANCELLED, exit_code=3), "its command ended on SIGTERM with exit code 3"),
        (a_result(Outcome.CANCELLED), "its command had not been started"),
        (a_result(Outcome.RELEASED, error="was stopped"), "its attempt had ended otherwise: was stopped"),
    ],
)
def test_each_way_to_end_has_its_words(queuectl: CommandLine, result: object, said: str) -> None:
    enqueue(queuectl, "a")
    run = queuectl.start_next()
    queuectl.meanwhile = [lambda: queuectl.end(run, result)]
    assert queuectl("cancel", "a", "--output", "table").out.rstrip().endswith(said)


def test_all_are_asked_first_and_then_waited_for(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a", "b", "c")
    first, second = queuectl.start_next(), queuectl.start_next()

    def end_both() -> None:
        assert [job.id for job in queuectl.work.cancel_requests("w-1", ["a", "b", "c"])] == ["a", "b"]
        queuectl.end(second, KILLED)
        queuectl.end(first, KILLED)

    queuectl.meanwhile = [end_both]
    answer = queuectl("cancel", "c", "a", "b", "--output", "json")
    assert [(job["id"], job["state"], job["cancel_requested_by"]) for job in answer.document] == [
        (job_id, "cancelled", ANN) for job_id in ("c", "a", "b")
    ]


def test_a_job_that_completes_before_it_is_stopped_is_a_conflict(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a")
    run = queuectl.start_next()
    queuectl.meanwhile = [lambda: queuectl.end(run, a_result())]
    answer = queuectl("cancel", "a", "--output", "json")
    assert (answer.code, answer.document) == (4, [])
    assert answer.error["message"] == "job a is completed: it ended before it could be stopped"


def test_a_job_that_fails_before_it_is_stopped_is_cancelled_and_its_error_told(queuectl: CommandLine) -> None:
    queuectl("enqueue", '{"command": "true", "id": "a"}')
    run = queuectl.start_next()
    queuectl.meanwhile = [lambda: queuectl.end(run, a_failure(7))]
    answer = queuectl("cancel", "a", "--output", "table")
    assert (answer.code, find_job(queuectl.queue, "a").state) == (0, State.CANCELLED)
    assert "will not run again; its attempt had ended otherwise: exit code 7" in answer.out


def test_without_waiting_it_only_asks_and_says_so(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a", "b")
    queuectl.start_next()
    answer = queuectl("cancel", "--no-wait", "a", "b", "--output", "table")
    assert (answer.code, answer.lines) == (0, ["job a is asked to stop", "cancelled job b"])
    assert answer.err == "did not wait: 1 command may still run\n"
    [asked, done] = queuectl("cancel", "--no-wait", "a", "--output", "json").document, queuectl("info", "b").lines
    assert (asked[0]["state"], asked[0]["cancel_requested_at"] is not None) == ("processing", True)
    assert "state\tcancelled" in done


def test_ctrl_c_ends_the_waiting_and_leaves_the_request(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a", "b")
    run = queuectl.start_next()
    queuectl.start_next()

    def interrupt() -> None:
        raise KeyboardInterrupt

    queuectl.meanwhile = [lambda: queuectl.end(run, KILLED), interrupt]
    answer = queuectl("cancel", "a", "b")
    assert (answer.code, answer.lines) == (130, ["a"])
    assert "what was asked for stands" in answer.err
    assert find_job(queuectl.queue, "b").cancel_requested_by == ANN


def test_a_database_that_goes_away_ends_the_waiting_and_leaves_the_request(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a")
    queuectl.start_next()

    def lose_the_database() -> None:
        raise DatabaseUnreachable("gone")

    queuectl.meanwhile = [lose_the_database]
    answer = queuectl("cancel", "a")
    assert answer.code == 6
    assert "what was asked for stands" in answer.err


def test_a_job_whose_worker_is_silent_is_taken_back_by_the_command_when_nobody_else_is_there(
    queuectl: CommandLine,
) -> None:
    enqueue(queuectl, "a")
    queuectl.start_next()

    def lost() -> None:
        at = queuectl.clock()
        queuectl.work.rescue(
            "w-1", lambda job, _alone: job.settled(a_loss("w-1 died"), at, a_policy(), 0), at=at, proved_dead=True
        )

    queuectl.meanwhile = [lambda: queuectl.clock.advance(HOUR / 2)] + [idle] * 20 + [lost]
    answer = queuectl("cancel", "a", "--output", "table")
    assert (answer.code, answer.out) == (
        0,
        "cancelled job a, which will not run again; its attempt had ended otherwise: w-1 died\n",
    )
    [note] = answer.err.splitlines()
    assert note.startswith("worker w-1 (pid 100 on host-1) does not renew its lease: its jobs are taken back")
    assert queuectl.rescues > 0


def test_a_job_whose_worker_is_lost_is_left_to_the_other_workers(queuectl: CommandLine) -> None:
    enqueue(queuectl, "a")
    run = queuectl.start_next()
    queuectl.workers.register(a_worker("w-2"))
    queuectl.meanwhile = [idle] * 20 + [lambda: queuectl.end(run, KILLED)]
    assert queuectl("cancel", "a").code == 0
    assert queuectl.rescues == 0
