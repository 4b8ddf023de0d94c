"""The JSON documents, key by key: they may grow, but never change."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from queuectl.application.operate.inspect import Status
from queuectl.application.operate.queues import Overview, QueueNow
from queuectl.domain.attempt import Attempt, Outcome, Output
from queuectl.domain.errors import DuplicateJob, InvalidJob, InvalidSetting, JobNotFound, QueueError, SchemaMismatch
from queuectl.domain.exit_codes import exit_code
from queuectl.domain.job import Job, Spec, State, WaitsFor
from queuectl.domain.limits import Rate
from queuectl.domain.metrics import Backlog, Metrics, Percentiles, Totals
from queuectl.domain.queues import Pause, QueueSettings, Starts
from queuectl.domain.reasons import Code, Reason
from queuectl.drill.judge import AttemptRecord, Entry, History, Invariant, JobRecord, Violation
from queuectl.drill.plan import Fault
from queuectl.drill.report import Report, drill_view
from queuectl.entrypoints.cli.failures import error_view
from queuectl.presentation.columns import (
    ATTEMPT,
    DEAD_JOB,
    FINDING,
    JOB,
    LOCAL_SETTING,
    METRICS,
    QUEUE,
    SETTING,
    TOTALS,
    WORKER,
    Column,
    JobRow,
    Result,
    WorkerRow,
)
from queuectl.presentation.tables import Grid, grid_of, info_parts, jobs_grid, page_of
from queuectl.presentation.views import (
    View,
    flat,
    info_view,
    metrics_view,
    seconds,
    setting_row,
    status_view,
    view_of,
    wide_view,
)
from tests.builders import ANN, HOUR, MINUTE, NOON, SECOND, a_failure, a_job, a_lease, a_policy, a_process, a_worker


def job_view(job: Job, **shown: object) -> View:
    return view_of(JOB, JobRow(job, **shown))


def an_attempt(**overrides: object) -> Attempt:
    defaults = {"job_id": "job-1", "number": 1, "lease": a_lease(), "host": "host-1", "started_at": NOON}
    return Attempt(**defaults | overrides)


def test_a_new_job() -> None:
    job = a_job(command=("echo", "a b"), env={"TOKEN": "secret"}, cwd="/srv", timeout=1.5 * SECOND)
    assert list(job_view(job).items()) == [
        ("id", "job-1"),
        ("queue", "default"),
        ("command", ["echo", "a b"]),
        ("state", "pending"),
        ("priority", 5),
        ("max_retries", 3),
        ("timeout", 1.5),
        ("run_at", "2030-01-31T12:00:00.000000Z"),
        ("created_at", "2030-01-31T12:00:00.000000Z"),
        ("updated_at", "2030-01-31T12:00:00.000000Z"),
        ("started_at", None),
        ("finished_at", None),
        ("cwd", "/srv"),
        ("env", {"TOKEN": "***"}),
        ("stdin", None),
        ("key", None),
        ("key_limit", None),
        ("needs", []),
        ("tags", []),
        ("waits_for", None),
        ("slot", None),
        ("unique", None),
        ("unique_until", None),
        ("attempts", 0),
        ("failures", 0),
        ("losses", 0),
        ("worker", None),
        ("worker_lost", False),
        ("exit_code", None),
        ("last_error", None),
        ("output", None),
        ("cancel_requested_at", None),
        ("cancel_requested_by", None),
        ("batch", None),
        ("after", []),
        ("suspect", False),
    ]


def test_a_job_that_runs_names_its_worker() -> None:
    job = a_job().claimed(a_lease(worker="w-7"), NOON)
    assert job_view(job)["worker"] == "w-7"
    assert [job_view(job, lost=lost)["worker_lost"] for lost in (["w-6"], ["w-7"])] == [False, True]


def test_a_job_that_is_to_be_cancelled_says_since_when_and_by_whom() -> None:
    view = job_view(a_job().claimed(a_lease(), NOON).cancelled(NOON + SECOND, ANN))
    asked = view["cancel_requested_at"], view["cancel_requested_by"]
    assert (view["state"], *asked) == ("processing", "2030-01-31T12:00:01.000000Z", ANN)


def test_values_of_env_are_shown_only_on_demand() -> None:
    job = a_job(env={"TOKEN": "secret"})
    assert job_view(job, show_env=True)["env"] == {"TOKEN": "secret"}


def test_what_it_reads_is_shown_only_on_demand() -> None:
    job = a_job(stdin="secret\n")
    assert [job_view(job, show_env=shown)["stdin"] for shown in (False, True)] == ["***", "secret\n"]
    pages = [info_parts(job, [], NOON, show_env=shown)[0] for shown in (False, True)]
    assert [page.rows[-1] for page in pages if isinstance(page, Grid)] == [("stdin", "***"), ("stdin", "secret\\n")]


def test_a_job_says_what_it_has_and_needs_and_waits_for() -> None:
    job = a_job(key="db", key_limit=2, needs=("gpu", "zone=eu"), tags=("nightly", "a\x1b"), waits_for=WaitsFor.KEY)
    view = job_view(job)
    assert [view[key] for key in ("key", "key_limit", "waits_for", "slot")] == ["db", 2, "key", None]
    assert (view["needs"], view["tags"]) == (["gpu", "zone=eu"], ["nightly", "a\x1b"])
    why = Reason(Code.KEY_FULL, "key db is at its limit: 2 of 2 run")
    facts = dict(page_of(JOB, JobRow(job, NOON, why=why)))
    assert (facts["key"], facts["needs"], facts["tags"]) == ("db, 2 at a time", "gpu, zone=eu", r"nightly, a\x1b")
    assert facts["why"] == "key db is at its limit: 2 of 2 run"
    assert wide_view(JobRow(job, NOON, why=why))["why"] == "key_full"
    assert wide_view(JobRow(job, NOON))["why"] is None


def test_a_table_has_keys_and_tags_where_a_job_has_one() -> None:
    columns = [jobs_grid([a_job(**had)], NOON).columns for had in ({}, {"key": "db", "key_limit": 1}, {"tags": ("a",)})]
    assert [sorted({"KEY", "TAGS"} & set(each)) for each in columns] == [[], ["KEY"], ["TAGS"]]


def test_a_table_of_workers_has_the_labels_that_not_every_worker_has() -> None:
    workers = [a_worker(labels=("arch=x86_64", "gpu", "host=a", "os=linux")), a_worker("w-2", labels=("os=linux",))]
    grids = [grid_of(WORKER, [WorkerRow(each, NOON, None) for each in some]) for some in (workers, workers[1:])]
    assert [row[-1] for row in grids[0].rows] == ["gpu", ""]
    assert [grid.columns[-1] for grid in grids] == ["LABELS", "QUEUES"]


def test_output_that_is_not_utf_8_is_replaced() -> None:
    assert job_view(a_job(), output=b"caf\xe9\n")["output"] == "caf�\n"


def test_an_attempt() -> None:
    attempt = an_attempt(
        finished_at=NOON + MINUTE,
        outcome=Outcome.FAILED,
        signal=9,
        error="killed by signal 9",
        output=Output(content=b"out", truncated=True),
    )
    assert list(view_of(ATTEMPT, attempt).items()) == [
        ("attempt", 1),
        ("outcome", "failed"),
        ("exit_code", None),
        ("signal", 9),
        ("started_at", "2030-01-31T12:00:00.000000Z"),
        ("finished_at", "2030-01-31T12:01:00.000000Z"),
        ("worker", "w-1"),
        ("host", "host-1"),
        ("error", "killed by signal 9"),
        ("output", "out"),
        ("output_truncated", True),
        ("late", None),
    ]


def test_info_has_the_output_of_the_last_attempt_that_ended_and_the_history() -> None:
    ended = an_attempt(outcome=Outcome.FAILED, finished_at=NOON, output=Output(content=b"first"))
    running = an_attempt(number=2, lease=a_lease(2, worker="w-2"))
    job = a_job().claimed(a_lease(), NOON).settled(a_failure(), NOON, a_policy(), 0)
    view = info_view(job, [ended, running])
    assert view["output"] == "first"
    assert view["worker"] == "w-2"
    assert view["history"] == [view_of(ATTEMPT, ended), view_of(ATTEMPT, running)]
    assert list(view)[-1] == "history"


def test_status() -> None:
    worker = a_worker(queues=("mail",), labels=("gpu", "os=linux"), jobs=2, process=a_process(pid=4242))
    status = Status(at=NOON + 2.5 * SECOND, jobs=dict.fromkeys(State, 7), workers=[worker], lost={})
    overview = Overview(at=status.at, pause=Pause(NOON, ANN), queues=[])
    assert status_view(status, overview) == {
        "jobs": {"pending": 7, "processing": 7, "completed": 7, "failed": 7, "dead": 7, "cancelled": 7},
        "pause": {"at": "2030-01-31T12:00:00.000000Z", "by": "ann@web-1", "until": None, "reason": None},
        "queues": [],
        "workers": [
            {
                "id": "w-1",
                "host": "host-1",
                "pid": 4242,
                "supervisor_pid": 99,
                "state": "running",
                "jobs": 2,
                "heartbeat_age": 2.5,
                "concurrency": 1,
                "queues": ["mail"],
                "labels": ["gpu", "os=linux"],
                "started_at": "2030-01-31T12:00:00.000000Z",
                "lease_expires_at": "2030-01-31T13:00:00.000000Z",
                "lost": False,
                "lost_since": None,
            }
        ],
        "at": "2030-01-31T12:00:02.500000Z",
    }


def some_metrics(**overrides: object) -> Metrics:
    defaults = {
        "since": NOON,
        "attempts": {Outcome.SUCCEEDED: 3, Outcome.FAILED: 2, Outcome.TIMEOUT: 1},
        "completed": 3,
        "dead": 1,
        "retried": 1,
        "most_attempts": 2,
        "wait": Percentiles(p50=SECOND, p95=2 * SECOND),
        "run": Percentiles(),
        "workers": [Totals(name="w-1", succeeded=3, failed=3, busy=MINUTE)],
    }
    return Metrics(**defaults | overrides)


def test_metrics() -> None:
    assert metrics_view(some_metrics(), 2 * MINUTE, detailed=False) == {
        "since": "2030-01-31T12:00:00.000000Z",
        "window": 120,
        "completed": 3,
        "failed": 3,
        "dead": 1,
        "success_rate": 0.75,
        "throughput_per_minute": 1.5,
        "wait": {"p50": 1, "p95": 2},
        "run": {"p50": None, "p95": None},
        "retries": {"completed_after_retry": 1, "most_attempts": 2},
        "attempts": {"succeeded": 3, "failed": 2, "timeout": 1, "lost": 0, "released": 0, "cancelled": 0},
    }


def test_detailed_metrics_have_workers_and_queues() -> None:
    view = metrics_view(some_metrics(), MINUTE, detailed=True)
    assert view["workers"] == [{"name": "w-1", "succeeded": 3, "failed": 3, "busy": 60}]
    assert view["queues"] == []


def test_a_queue_where_nothing_ended_has_no_success_rate() -> None:
    assert metrics_view(some_metrics(completed=0, dead=0), MINUTE, detailed=False)["success_rate"] is None


def test_a_queue() -> None:
    settings = QueueSettings("api", 8, Rate(100, MINUTE), pause=Pause(NOON, ANN, NOON + HOUR, "maintenance"))
    backlog = [
        Backlog("api", State.DEAD, (), 2),
        Backlog("api", State.FAILED, (), 1),
        Backlog("api", State.PENDING, (), 5, 3, NOON - MINUTE),
        Backlog("api", State.PENDING, ("gpu",), 4, 4, NOON),
        Backlog("api", State.PROCESSING, (), 8),
    ]
    policy = {"max-retries": "5"}
    queue = QueueNow(
        settings, NOON + SECOND, backlog, Starts(100, NOON + 30 * SECOND), policy, workers=[(), ("gpu",), ()]
    )
    assert view_of(QUEUE, queue) == {
        "queue": "api",
        "pending": 9,
        "due": 7,
        "processing": 8,
        "failed": 1,
        "dead": 2,
        "concurrency": 8,
        "running": 8,
        "rate": {"count": 100, "period": 60},
        "started_in_period": 100,
        "next_start_at": "2030-01-31T12:00:30.000000Z",
        "reserved": False,
        "paused": True,
        "paused_at": "2030-01-31T12:00:00.000000Z",
        "paused_until": "2030-01-31T13:00:00.000000Z",
        "paused_by": "ann@web-1",
        "pause_reason": "maintenance",
        "oldest_due_age": 61,
        "settings": {"max-retries": "5"},
        "lanes": [{"needs": [], "waiting": 6, "workers": 3}, {"needs": ["gpu"], "waiting": 4, "workers": 1}],
        "workers": 3,
    }


def test_a_setting() -> None:
    stored = {"": {"max-retries": "5", "max-losses": "2"}, "api": {"max-retries": "9"}}
    view = view_of(SETTING, setting_row("max-retries", stored))
    assert (view["value"], view["default"], view["from"]) == ("5", "3", "database")
    rows = [setting_row(key, stored, "api") for key in ("max-retries", "max-losses", "lease")]
    assert [(it.value, it.origin) for it in rows] == [("9", "queue api"), ("2", "database"), ("30s", "default")]
    assert view_of(SETTING, setting_row("lease", {}))["from"] == "default"


def test_a_drill() -> None:
    report = Report(
        history=History(
            jobs={"drill-0007": JobRecord("drill-0007", "completed", 2)},
            attempts=[AttemptRecord("drill-0007", 1, "lost"), AttemptRecord("drill-0007", 2, "succeeded")],
            ledger=[Entry("drill-0007", 2, "start")],
            processes=None,
        ),
        slowest_rescue=1.25 * SECOND,
        faults={Fault.KILL_WORKER: 9, Fault.FREEZE: 3},
        violations=[Violation(Invariant.NO_OVERLAP, "drill-0007", "two at a time")],
    )
    assert list(drill_view(report).items()) == [
        ("jobs", 1),
        ("attempts", 2),
        ("runs", 1),
        ("lost", 0),
        ("overlaps", 1),
        ("orphans", None),
        ("unexplained", 0),
        ("slowest_rescue", 1.25),
        (
            "faults",
            {
                "worker killed": 9,
                "supervisor killed": 0,
                "worker frozen": 3,
                "stopped": 0,
                "stopped by force": 0,
            },
        ),
        ("broken", [{"promise": "no overlap", "job": "drill-0007", "message": "two at a time"}]),
    ]


def test_an_error() -> None:
    assert error_view("not_found", "there is no job x", "look") == {
        "error": {"code": "not_found", "message": "there is no job x", "hint": "look"}
    }
    assert error_view("invalid_job", "a; b", None, ["a", "b"])["error"]["problems"] == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidJob(["x"]), 5),
        (InvalidSetting("x"), 5),
        (JobNotFound("x"), 3),
        (DuplicateJob(["x"]), 4),
        (SchemaMismatch("x"), 6),
        (QueueError("x"), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: QueueError, code: int) -> None:
    assert exit_code(error) == code


def test_whole_seconds_are_integers() -> None:
    assert str(Decimal(seconds(timedelta(minutes=5)))) == "300"
    assert seconds(timedelta(milliseconds=250)) == 0.25


def test_the_plain_form_of_a_document_has_one_value_on_a_line() -> None:
    document = {"a": 1, "b": {"c": None}, "d": ["x y", "z"], "history": [{"n": 1}, {"n": 2}]}
    assert list(flat(document)) == [("a", 1), ("b.c", None), ("d", "'x y' z"), ("history.1.n", 1), ("history.2.n", 2)]


def test_every_field_of_a_job_is_a_key_of_its_json() -> None:
    fields = {*Job._fields, *Spec._fields} - {"spec"}
    of_unique = {"unique_key", "unique_held", "unique_expires_at"}  # they are `unique` and `unique_until`
    inner = {"lease", "has_dependents"}  # the lease's worker is a key
    assert fields - job_view(a_job()).keys() == inner | of_unique | {"blockers"}


@pytest.mark.parametrize("result", [JOB, DEAD_JOB, ATTEMPT, WORKER, METRICS, TOTALS, SETTING, LOCAL_SETTING, FINDING])
def test_what_a_table_and_a_plain_line_show_is_declared(result: Result[Any]) -> None:
    chosen = {column.key for keys in (result.plain, result.table, result.page) for column in result.chosen(keys)}
    assert chosen
    assert len(result.columns) == len({column.key for column in result.columns})


def test_a_new_column_is_a_key_of_the_json_and_the_last_fact_of_the_page() -> None:
    words: Column[JobRow] = Column("words", lambda _: ("a", "b"), label="words", fact=lambda _: "a, b")
    result = JOB._replace(columns=(*JOB.columns, words))
    assert view_of(result, JobRow(a_job()))["words"] == ["a", "b"]
    assert page_of(result, JobRow(a_job(), NOON))[-1] == ("words", "a, b")
