"""`queuectl why`, with a real worker that is busy."""

from tests.integration.driver import Cli

REASON = ["code", "message", "since", "until", "hint", "holders"]


def test_why_says_who_holds_a_job_up(cli: Cli) -> None:
    cli.run("queue", "set", "gpu", "concurrency=1")
    cli.start_workers()
    runs = cli.enqueue("sleep 60", queue="gpu")
    cli.wait_for(runs, "processing")
    waits = cli.enqueue("true", queue="gpu")
    why = cli.json("why", waits)
    assert list(why) == ["job", "state", "reasons", "before", "usual_run", "estimate"]
    assert all(list(reason) == REASON for reason in why["reasons"])
    assert [reason["code"] for reason in why["reasons"]] == ["queue_full", "workers_busy"]
    [holder] = why["reasons"][0]["holders"]
    assert (holder["job"], holder["worker"]) == (runs, cli.job(runs)["worker"])
    assert cli.job(waits)["why"] == "queue_full"
    assert [job["why"] for job in cli.json("list", "--wide")] == ["queue_full", None]
    cli.run("cancel", "--now", runs)
    cli.wait_for(waits)
    assert [reason["code"] for reason in cli.json("why", waits)["reasons"]] == ["ended"]
