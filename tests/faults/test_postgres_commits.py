"""A connection that breaks while PostgreSQL commits: whether the change was made is looked up, never guessed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from queuectl.application.operate.cancel import cancel_job
from queuectl.application.operate.configure import set_setting, stored_settings, unset_setting
from queuectl.application.operate.enqueue import enqueue_jobs
from queuectl.application.operate.inspect import search_jobs
from queuectl.application.operate.queue import Queue
from queuectl.application.operate.retry import (
    remove_all_dead,
    remove_dead_job,
    retry_all_dead,
    retry_dead_job,
    retry_job,
)
from queuectl.container import Container
from queuectl.domain.job import JobRequest, OnDuplicate
from queuectl.settings import Settings
from tests.faults.probe import FaultProbe
from tests.faults.tracing import strace
from tests.integration.driver import QUEUECTL, Cli, Result, wait_until
from tests.integration.ledger import Ledger
from tests.postgres.proxy import Proxy

pytestmark = pytest.mark.fault("F47")
JOB = '{"id": "a", "command": "true"}'
MOST_COMMITS = 20
"""More than any of the commands makes."""

MOST_ANSWERS = 24
"""More reads of the server's answers than a command makes."""

made = pytest.mark.parametrize("is_made", [True, False], ids=["made", "not made"])


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    with Proxy(postgres_url) as proxy:
        yield proxy


@pytest.fixture
def cli(proxy: Proxy, tmp_path: Path) -> Iterator[Cli]:
    user = Cli(tmp_path, proxy.url)
    yield user
    user.close()


@pytest.fixture
def queue(proxy: Proxy) -> Iterator[Queue]:
    """What the commands of an operator call."""
    container = Container(settings=Settings(database_url=proxy.url, log_dir=Path()))
    yield container.queue()
    container.storage().close()


def test_enqueue_stores_its_job_once_whichever_commit_is_cut(cli: Cli, proxy: Proxy, probe: FaultProbe) -> None:
    for after in range(MOST_COMMITS):
        cut = proxy.cut_commit(after=after)
        assert probe.try_enqueue(probe.document(f"a{after}"), ids=[f"a{after}"]).stdout == f"a{after}\n"
        if not cut.happened.is_set():
            break
    proxy.heal()
    assert 2 <= after < MOST_COMMITS
    ids = [f"a{number}" for number in range(after + 1)]
    assert sorted(cli.jobs()) == sorted(ids)
    probe.check(within=None, waiting=ids)


@pytest.mark.parametrize("errors", [1, 2], ids=["once", "twice"])
def test_an_answer_that_this_machine_cannot_read_is_looked_up_too(cli: Cli, probe: FaultProbe, errors: int) -> None:
    for number in range(1, MOST_ANSWERS):
        job_id = f"a{number}"
        inject = f"--inject=recvfrom:error=ENOMEM:when={number}..{number + errors - 1}"
        program = [*strace("-o", "/dev/null", "--trace=recvfrom", inject), QUEUECTL]
        result = cli.run("enqueue", probe.document(job_id), program=program, check=False)
        probe.note_call([job_id], result)
        assert (result.code, result.stdout) in [(0, f"{job_id}\n"), (6, "")]
        if result.code:
            assert "was made" in result.errors[0] or job_id not in cli.jobs()
    assert f"a{MOST_ANSWERS - 1}" in cli.jobs()
    probe.check(within=None, waiting=list(cli.jobs()))


@made
def test_a_batch_is_stored_once(cli: Cli, proxy: Proxy, probe: FaultProbe, is_made: bool) -> None:
    cut = proxy.cut_commit(b"COPY jobs", is_made=is_made)
    ids = probe.enqueue_some(50)
    assert cut.happened.is_set()
    assert cli.jobs().keys() == set(ids)
    probe.check(within=None, waiting=ids)


@made
def test_a_duplicate_is_still_told_from_our_own_job(cli: Cli, proxy: Proxy, is_made: bool) -> None:
    cli.run("enqueue", JOB)
    proxy.cut_commit(is_made=is_made)
    assert cli.error("enqueue", JOB)["code"] == "duplicate_id"


@made
@pytest.mark.parametrize(
    ("state", "change", "after", "answer"),
    [
        ("pending", lambda queue: cancel_job(queue, "a").state, "cancelled", "cancelled"),
        ("cancelled", lambda queue: retry_job(queue, "a").job.state, "pending", "pending"),
        ("dead", lambda queue: retry_dead_job(queue, "a").state, "pending", "pending"),
        ("dead", lambda queue: sum(map(len, retry_all_dead(queue))), "pending", 2),
        ("dead", lambda queue: remove_dead_job(queue, "a"), None, None),
        ("dead", lambda queue: sum(map(len, remove_all_dead(queue))), None, 2),
    ],
    ids=["cancel", "retry", "dlq retry", "dlq retry --all", "dlq remove", "dlq remove --all"],
)
def test_an_operators_change_is_made_once_and_told_rightly(
    queue: Queue,
    proxy: Proxy,
    is_made: bool,
    state: str,
    change: Callable[[Queue], object],
    after: str | None,
    answer: object,
) -> None:
    enqueue_jobs(queue, [JobRequest(command="true", id=name) for name in ("a", "b")], cwd="/")
    with psycopg.connect(proxy.url) as connection:
        connection.execute("UPDATE jobs SET state = %s, finished_at = updated_at", [state])

    cut = proxy.cut_commit(b"DELETE FROM jobs" if after is None else b"UPDATE jobs", is_made=is_made)
    assert change(queue) == answer
    assert cut.happened.is_set()
    found = {job.id: job.state for job in search_jobs(queue)}
    assert found.get("a") == after


@made
@pytest.mark.parametrize(
    ("rule", "writes", "answers"),
    [
        (OnDuplicate.SKIP, b"COPY jobs", ["existing", "new", "new"]),
        (OnDuplicate.REPLACE, b"COPY jobs", ["replaced", "new", "new"]),
        (OnDuplicate.REPLACE, b"UPDATE jobs", ["replaced"]),
    ],
    ids=["skip", "replace", "replace one"],
)
def test_unique_jobs_are_stored_once_and_told_rightly(
    queue: Queue, proxy: Proxy, is_made: bool, rule: OnDuplicate, writes: bytes, answers: list[str]
) -> None:
    keys = ["held", "free", "free too"][: len(answers)]
    [(holder, _)] = enqueue_jobs(queue, [JobRequest(command="old", unique="held")], cwd="/")
    cut = proxy.cut_commit(writes, is_made=is_made)
    requests = [JobRequest(command="new", unique=key, on_duplicate=rule) for key in keys]
    added = enqueue_jobs(queue, requests, cwd="/")
    assert cut.happened.is_set()
    assert [it.how for it in added] == answers
    assert added[0].job.id == holder.id
    stored = {job.unique_held: (job.id, job.command) for job in search_jobs(queue)}
    assert stored == {it.job.unique_held: (it.job.id, it.job.command) for it in added}


@made
def test_a_setting_is_stored_and_taken_back(queue: Queue, proxy: Proxy, is_made: bool) -> None:
    proxy.cut_commit(b"INSERT INTO config", is_made=is_made)
    set_setting(queue, "max-retries", "7")
    assert stored_settings(queue) == {"": {"max-retries": "7"}}
    cut = proxy.cut_commit(b"DELETE FROM config", is_made=is_made)
    unset_setting(queue, "max-retries")
    assert cut.happened.is_set()
    assert stored_settings(queue) == {}


def test_an_answer_that_nobody_can_give_is_said_to_be_unknown(cli: Cli, proxy: Proxy, probe: FaultProbe) -> None:
    cut = proxy.cut_commit(b"INSERT INTO jobs", refuse_then=True)
    result = probe.try_enqueue(JOB, ids=["a"], env={"QUEUECTL_BUSY_TIMEOUT": "1s"})
    assert cut.happened.is_set()
    _is_one_clear_line(result)
    assert "nobody knows whether the change was made" in result.errors[0]
    proxy.heal()
    assert "there is already a job a" in probe.try_enqueue(JOB, ids=["a"]).errors[0]
    probe.check(within=None, waiting=["a"])


def test_a_question_that_is_cut_is_not_said_to_have_changed_anything(cli: Cli, proxy: Proxy) -> None:
    proxy.cut_commit(after=1, refuse_then=True)
    result = cli.run("status", check=False, env={"QUEUECTL_BUSY_TIMEOUT": "1s"})
    _is_one_clear_line(result)
    assert "nobody knows" not in result.stderr


@made
def test_jobs_whose_claim_was_cut_run_once(
    cli: Cli, proxy: Proxy, ledger: Ledger, probe: FaultProbe, is_made: bool
) -> None:
    ids = probe.enqueue_some(5)
    cut = proxy.cut_commit(b"INSERT INTO attempts", is_made=is_made)
    cli.start_workers(concurrency=3)
    history = probe.check()
    assert cut.happened.is_set()
    assert {history.jobs[job_id].state for job_id in ids} == {"completed"}
    assert len(ledger.entries("start")) == len(ledger.entries("end")) == 5
    cli.log.assert_at_most("cannot use the database", 1)


def test_jobs_whose_claim_was_cut_are_released_when_the_server_stays_away(
    cli: Cli, proxy: Proxy, ledger: Ledger, probe: FaultProbe
) -> None:
    ids = probe.enqueue_some(3)
    cut = proxy.cut_commit(b"INSERT INTO attempts", refuse_then=True)
    cli.start_workers(concurrency=3)
    wait_until(cut.happened.is_set)
    cli.log.wait_for("cannot use the database")
    proxy.heal()
    probe.healed()
    probe.check()
    for job_id in ids:
        assert probe.outcomes(job_id) == ["released", "succeeded"]
        assert len(ledger.entries("start", job=job_id)) == 1
    cli.log.assert_exactly("cannot use the database")
    cli.log.assert_exactly("can use the database again")


@pytest.mark.parametrize(
    ("is_made", "outage"),
    [(True, False), (True, True), (False, True)],
    ids=["made, a cut", "made, an outage", "not made, an outage"],
)
def test_an_outcome_whose_commit_was_cut_is_recorded_once(
    cli: Cli, proxy: Proxy, ledger: Ledger, probe: FaultProbe, is_made: bool, outage: bool
) -> None:
    cli.start_workers()
    cut = proxy.cut_commit(b"UPDATE attempts", is_made=is_made, refuse_then=outage)
    job_id = probe.enqueue("echo said")
    wait_until(cut.happened.is_set)
    if outage:
        cli.log.wait_for("cannot use the database")
        proxy.heal()
    job = cli.wait_for(job_id)
    assert [(each["outcome"], each["output"]) for each in job["history"]] == [("succeeded", "said\n")]
    assert len(ledger.entries("start")) == 1
    cli.log.assert_exactly(f"job {job_id} attempt 1 succeeded")
    cli.log.assert_without("late")
    probe.check(faultless=True)


def _is_one_clear_line(result: Result) -> None:
    assert result.code == 6
    assert len(result.errors) == 1
    assert result.stdout == ""
