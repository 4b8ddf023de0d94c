"""Keys, labels, tags and slots, with real commands."""

import json
from itertools import pairwise

import pytest

from tests.integration.driver import Cli, wait_until
from tests.integration.ledger import Ledger


def test_jobs_of_a_key_never_run_at_the_same_time(working: Cli, ledger: Ledger) -> None:
    documents = [{"command": ledger.command("sleep 0.1"), "key": "one-at-a-time", "queue": it} for it in "aabb"]
    for job_id in working.enqueue_all(documents):
        assert working.wait_for(job_id)["state"] == "completed"
    spans = sorted(zip(*([it.at for it in ledger.entries(kind)] for kind in ("start", "end")), strict=True))
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


def test_each_command_of_a_worker_has_a_slot_of_its_own_the_smallest_that_is_free(cli: Cli) -> None:
    script = "echo $QUEUECTL_SLOT ${QUEUECTL_QUEUE_SLOT-none}; until [ -e go ]; do sleep 0.02; done"
    ids = cli.enqueue_all([{"command": script}] * 3)
    cli.start_workers(concurrency=3)
    wait_until(lambda: cli.json("status")["jobs"]["processing"] == 3)
    (cli.directory / "go").touch()
    outputs = [cli.wait_for(job_id)["output"] for job_id in ids]
    assert sorted(outputs) == ["0 none\n", "1 none\n", "2 none\n"]
    assert cli.wait_for(cli.enqueue(script))["output"] == "0 none\n"


def test_a_job_runs_where_its_needs_are_met_and_says_where_they_are_not(cli: Cli) -> None:
    cli.run("worker", "start", "--label", "zone=eu", "--label", "fast")
    waits = cli.run("enqueue", "--id", "waits", "--needs", "gpu", "-c", "true")
    assert waits.stderr == "no live worker of queue default has gpu: `queuectl worker start --label gpu` starts one\n"
    runs = cli.run("enqueue", "--id", "runs", "--needs", "zone=eu", "--needs", "os=linux", "-c", "true")
    assert runs.stderr == ""
    assert cli.wait_for("runs")["needs"] == ["os=linux", "zone=eu"]
    assert cli.job("waits")["state"] == "pending"
    cli.run("worker", "start", env={"QUEUECTL_LABELS": "gpu"})
    assert cli.wait_for("waits")["state"] == "completed"
    labels = [set(worker["labels"]) for worker in cli.json("worker", "status")]
    assert [sorted(it & {"gpu", "fast", "zone=eu"}) for it in labels] == [["fast", "zone=eu"], ["gpu"]]
    assert all("os=linux" in it and any(label.startswith("host=") for label in it) for it in labels)


def test_a_job_runs_on_the_host_that_it_names(cli: Cli) -> None:
    cli.start_workers()
    [worker] = cli.json("worker", "status")
    [host] = [label.removeprefix("host=") for label in worker["labels"] if label.startswith("host=")]
    elsewhere = cli.run("enqueue", "--on", "elsewhere", "-c", "true").stdout.strip()
    here = cli.run("enqueue", "--on", host, "-c", "true").stdout.strip()
    assert cli.wait_for(here)["state"] == "completed"
    assert cli.job(elsewhere)["state"] == "pending"


@pytest.mark.parametrize("label", ["a b", "=x", "a=b=c", ""])
def test_what_is_no_label_is_refused_where_it_is_given(cli: Cli, label: str) -> None:
    for line in (["worker", "start", "--label", label], ["enqueue", "--needs", label, "-c", "true"]):
        assert "must be labels such as gpu or zone=eu" in cli.error(*line)["message"]


def test_tags_and_keys_find_jobs(cli: Cli) -> None:
    cli.run("enqueue", "--id", "a", "--tag", "nightly", "--tag", "customer:42", "-c", "true")
    cli.run("enqueue", "--id", "b", "--tag", "nightly", "--key", "db", "-c", "true")
    cli.run("enqueue", "--id", "c", "--tag", "weekly", "-c", "true")

    def found(*options: str) -> list[str]:
        return cli.run("list", "--output", "id", *options).stdout.split()

    assert found("--tag", "nightly") == ["b", "a"]
    assert found("--tag", "customer:42", "--tag", "weekly") == ["c", "a"]
    assert found("--tag", "nightly", "--key", "db") == ["b"]
    assert found("--tag", "none") == []
    assert json.loads(cli.run("--output", "json", "list", "--key", "db").stdout)[0]["tags"] == ["nightly"]
