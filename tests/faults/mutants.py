"""Proof that the fault suite can fail: queuectl is broken in one way after the other, and each must be noticed.

`make mutants`. For each mutant the sources are copied, one thing is changed in the copy, and the tests that are there
to notice it run on the copy. They must fail, and by an invariant of the checker: a mutant that does not even start
proves nothing. Without any change they must pass.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
BREACH = re.compile(r"^E +(I\d+ [^:]+):", re.MULTILINE)
LONGEST = 300


@dataclass(frozen=True, slots=True)
class Edit:
    """A text of a source file that occurs there exactly once, and what takes its place."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A way to break queuectl, and the tests that must notice."""

    name: str
    edits: Sequence[Edit]
    tests: Sequence[str]


MUTANTS = [
    Mutant(
        "the fence is removed",
        [
            Edit(
                "queuectl/adapters/sql/statements.py",
                '.where(jobs.c.id == given["id"], jobs.c.lease_id == given["lease_id"])',
                '.where(jobs.c.id == given["id"], jobs.c.lease_id.is_not(None))',
            )
        ],
        ["test_frozen.py::test_a_command_that_ended_while_its_worker_was_frozen_changes_nothing_afterwards[sqlite]"],
    ),
    Mutant(
        "heartbeats are skipped",
        [
            Edit(
                "queuectl/application/work/lease.py",
                "self.lease.interval\n                self.renew()",
                "self.lease.interval",
            )
        ],
        ["test_frozen.py::test_a_job_that_is_longer_than_the_lease_runs_once[sqlite-4]"],
    ),
    Mutant(
        "only the leader is killed",
        [
            Edit(
                "queuectl/adapters/processes/child.py",
                "os.killpg(self.pid, number)",
                "os.kill(self.pid, number)",
            ),
            Edit(
                "queuectl/adapters/processes/runner.py",
                "            self._orphans.kill(orphan)",
                "            self._orphans.reap()",
            ),
        ],
        ["test_containment.py::test_a_timeout_ends_the_whole_tree_before_it_is_recorded[sqlite]"],
    ),
    Mutant(
        "the end of the output is waited for",
        [
            Edit(
                "queuectl/adapters/processes/child.py",
                "        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None",
                "        return not self.pipe.is_open and (\n"
                "            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None\n"
                "        )",
            )
        ],
        ["test_containment.py::test_a_background_child_that_keeps_the_pipe_does_not_hang_the_job[sqlite]"],
    ),
    Mutant(
        "synchronous=NORMAL",
        [
            Edit(
                "queuectl/adapters/sql/sqlite/connection.py",
                '"PRAGMA synchronous = FULL"',
                '"PRAGMA synchronous = NORMAL"',
            )
        ],
        [
            "test_power.py::test_an_acknowledged_job_is_synced_before_its_id_is_printed[sqlite]",
            "test_power.py::test_an_outcome_is_synced_before_it_is_logged[sqlite]",
        ],
    ),
    Mutant(
        "jobs are put back before what is left of them is killed",
        [
            Edit(
                "queuectl/application/duties/rescue.py",
                "            self._machine.clear(worker.id, found.registered.commands if found.registered else ())",
                '            __import__("threading").Timer(1, self._machine.clear, [worker.id]).start()',
            )
        ],
        [
            "test_dying.py::test_after_everything_was_killed_the_next_start_clears_up_and_takes_the_jobs_back[sqlite]",
        ],
    ),
    Mutant(
        "workers are rescued whose lease is not over",
        [
            Edit(
                "queuectl/application/duties/rescue.py",
                "(left := self._lease_left(worker, found.living, at)) > timedelta():",
                "not self._lease_left(worker, found.living, at):",
            ),
            Edit(
                "queuectl/adapters/sql/stores/jobs.py",
                "if worker.lease_expires_at > at and not is_gone:",
                "if False:",
            ),
        ],
        ["test_frozen.py::test_a_job_that_is_longer_than_the_lease_runs_once[sqlite-4]"],
    ),
    Mutant(
        "a worker may outlive its lease",
        [Edit("queuectl/entrypoints/worker/deadlines.py", "now >= slot.overdue_at:", "stage is Stage.FORCED:")],
        [
            "test_frozen.py::test_a_frozen_worker_that_outlives_its_lease_is_killed_before_its_job_runs_again[sqlite]",
        ],
    ),
    Mutant(
        "a signal to a worker ends it for good",
        [
            Edit(
                "queuectl/entrypoints/worker/process.py",
                "return SIGNALLED + stops.signal if stops.signal else 0",
                "return 0",
            )
        ],
        ["test_signals.py::test_a_command_that_signals_its_worker_does_not_end_it_for_good[sqlite-TERM]"],
    ),
    Mutant(
        "losses are not counted",
        [Edit("queuectl/domain/job.py", "_replace(losses=self.losses + counts)", "_replace(losses=self.losses)")],
        ["test_dying.py::test_a_job_that_kills_its_workers_does_not_run_for_ever[sqlite]"],
    ),
    Mutant(
        "neighbours are blamed",
        [Edit("queuectl/domain/job.py", "counts=alone or self.suspect", "counts=True")],
        ["test_dying.py::test_a_job_that_kills_its_workers_takes_none_of_its_neighbours_with_it[sqlite-1]"],
    ),
]


class Survived(Exception):
    """A mutant was not noticed, or the unchanged program did not pass; the message says which and how."""


def mutated(text: str, edit: Edit) -> str:
    """The text of a file with the edit made. Raises Survived when the sources have changed under the mutant."""
    if (count := text.count(edit.old)) != 1:
        raise Survived(
            f"{edit.path} holds {edit.old!r} {count} times, and must hold it once: the mutant is out of date"
        )
    return text.replace(edit.old, edit.new)


def main(chosen: Sequence[str]) -> int:
    mutants = [mutant for mutant in MUTANTS if not chosen or any(word in mutant.name for word in chosen)]
    failures = 0
    with _copy([]) as sources:
        names = list(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        code, said = _run(sources, names)
        failures += _told("nothing", "all passed" if code == 0 else f"NOT PASSED:\n{said}", is_good=code == 0)
    for mutant in mutants:
        try:
            with _copy(mutant.edits) as sources:
                _must_start(sources)
                verdicts = [_verdict(sources, test) for test in mutant.tests]
        except Survived as error:
            failures += _told(mutant.name, str(error), is_good=False)
        else:
            for test, verdict in zip(mutant.tests, verdicts, strict=True):
                failures += _told(mutant.name, f"killed by {test.partition('[')[0]} ({verdict})", is_good=True)
    return 1 if failures else 0


def _verdict(sources: Path, test: str) -> str:
    """The invariants by which that test failed. Raises Survived when it passed, or failed for another reason."""
    code, said = _run(sources, [test])
    broken = sorted(set(BREACH.findall(said)))
    if code == 0:
        raise Survived(f"SURVIVED {test}")
    if not broken:
        raise Survived(f"{test} failed, but not by an invariant:\n{said}")
    return ", ".join(broken)


def _run(sources: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run tests on those sources; pytest's exit code and report."""
    paths = [f"tests/faults/{test}" for test in tests]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *paths, "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=short"],
        env={**os.environ, "PYTHONPATH": str(sources)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST * len(paths),
    )
    return done.returncode, done.stdout + done.stderr


def _must_start(sources: Path) -> None:
    look = "import queuectl, queuectl.container; print(queuectl.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", look],
        env={**os.environ, "PYTHONPATH": str(sources)},
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout.startswith(str(sources)):
        raise Survived(f"it does not start: {done.stderr or done.stdout}")


@contextmanager
def _copy(edits: Sequence[Edit]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="queuectl-mutant-") as directory:
        sources = Path(directory) / "src"
        shutil.copytree(SOURCE, sources, ignore=shutil.ignore_patterns("__pycache__"))
        for edit in edits:
            path = sources / edit.path
            path.write_text(mutated(path.read_text(), edit))
            if path.name == "statements.py":
                _compile(sources)
        yield sources


def _compile(sources: Path) -> None:
    """What `make sql` does."""
    compiling = [sys.executable, "-P", "-m", "queuectl.adapters.sql.engine.generate"]
    subprocess.run(compiling, env={**os.environ, "PYTHONPATH": str(sources)}, check=True)


def _told(name: str, what: str, *, is_good: bool) -> bool:
    """Write a line of the table; whether it is a bad one."""
    print(f"{'ok  ' if is_good else 'FAIL'} {name:<58} {what}", flush=True)  # noqa: T201 - the report
    return not is_good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
