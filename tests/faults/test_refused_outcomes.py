"""A database that does not take how an attempt ended: the job has run, and must not run again for that."""

import pytest

from tests.faults.probe import FaultProbe
from tests.faults.test_unreadable_rows import tell
from tests.integration.driver import Cli, wait_until

pytestmark = pytest.mark.fault("F52")


def refuse(url: str, condition: str) -> None:
    """Have the database refuse, by a trigger, each end of an attempt for which that is true."""
    if url.startswith("sqlite"):
        tell(
            url,
            f"CREATE TRIGGER refuse BEFORE UPDATE ON attempts WHEN NEW.outcome IS NOT NULL AND {condition}"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END",
        )
    else:
        tell(
            url,
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN IF NEW.outcome IS NOT NULL AND {condition}"
            " THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW; END $$",
            "CREATE TRIGGER refuse BEFORE UPDATE ON attempts FOR EACH ROW EXECUTE FUNCTION refuse()",
        )


@pytest.mark.parametrize("condition", ["length(NEW.output) > 0", "NEW.error LIKE '%€%'"])
def test_an_outcome_is_recorded_without_what_the_database_does_not_take(
    cli: Cli, probe: FaultProbe, condition: str
) -> None:
    refuse(probe.url, condition)
    cli.start_workers(concurrency=4)
    odd = probe.enqueue("echo '€'; echo '€ is missing' >&2; exit 3", max_retries=0)
    plain = probe.enqueue_some(8, "exit 0")
    probe.check(faultless=True)
    job = cli.job(odd)
    assert (job["state"], job["attempts"], job["exit_code"]) == ("dead", 1, 3)
    assert {cli.job(job_id)["state"] for job_id in plain} == {"completed"}
    cli.log.assert_without("Traceback", "crashed")


def test_an_outcome_that_the_database_never_takes_is_kept_and_holds_up_no_other_job(
    cli: Cli, probe: FaultProbe
) -> None:
    cli.run("config", "set", "lease", "2s")
    refuse(probe.url, "NEW.job_id = 'cursed'")
    probe.try_enqueue(probe.document("cursed"), ids=["cursed"])
    workers = cli.start_workers(concurrency=2)
    workers.log.wait_for("job cursed attempt 1 ended (succeeded) and cannot be recorded, kept on disk")
    probe.enqueue_some(8)
    wait_until(lambda: len([job for job in cli.jobs().values() if job["state"] == "completed"]) == 8)
    assert (cli.job("cursed")["state"], cli.job("cursed")["attempts"]) == ("processing", 1)
    tell(probe.url, "DROP TRIGGER refuse" + ("" if probe.url.startswith("sqlite") else " ON attempts"))
    probe.healed()
    probe.check(faultless=True)
    workers.log.assert_without("Traceback", "crashed", "taken back")
