"""Proof that the fault suite can fail: queuectl is broken in one way after the other, and each must be noticed.

`make mutants`. A mutant replaces a function, a method or a statement when a process of queuectl starts, and in no
other: the tests and the judge stay as they are. The tests that are there to notice it must fail, and by an invariant: a
mutant that does not even start proves nothing. Without any, they must pass.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Timer
from typing import Any

from queuectl.adapters.host.registry import FileLocalProcesses
from queuectl.adapters.processes import child, marks, tree
from queuectl.adapters.processes.child import Child
from queuectl.adapters.sql.engine import queries
from queuectl.adapters.sql.engine.transactions import Connection
from queuectl.adapters.sql.sqlite import connection
from queuectl.adapters.sql.stores.work import SqlWork
from queuectl.application.duties.lease_watch import LeaseWatch
from queuectl.application.work.lease import Heartbeat
from queuectl.domain.attempt import AttemptEnd
from queuectl.domain.job import Job
from queuectl.domain.ports.host import LocalProcess
from queuectl.domain.ports.work import DecideEnd
from queuectl.entrypoints.worker import process

ROOT = Path(__file__).parents[2]
BREACH = re.compile(r"^E +(I\d+ [^:]+):", re.MULTILINE)
MAX_SECONDS = 300
SITE = """import sys
sys.path.append({root!r})
from tests.faults.mutants import MUTANTS
MUTANTS[{name!r}].apply()
"""
"""The module that Python imports when it starts."""

Undo = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A way to break queuectl, and the tests that must notice. `apply` breaks this process; it gives what undoes it."""

    name: str
    tests: Sequence[str]
    replacements: Callable[[], Iterator[Undo]]

    def apply(self) -> Sequence[Undo]:
        """Raises OutOfDate when there is nothing any more of what it replaces."""
        return list(self.replacements())


MUTANTS: dict[str, Mutant] = {}


class OutOfDate(Exception):
    """The sources have changed under a mutant."""


def noticed_by(*tests: str) -> Callable[[Callable[[], Iterator[Undo]]], None]:
    """Make a mutant of a function that replaces things; its name is the function's."""

    def add(replacements: Callable[[], Iterator[Undo]]) -> None:
        name = replacements.__name__.replace("_", " ")
        MUTANTS[name] = Mutant(name, tests, replacements)

    return add


def replace(owner: object, name: str, broken: Callable[[Any], Any]) -> Undo:
    """Put `broken(original)` in place of an attribute, and of a function in each module that has imported it."""
    if (original := getattr(owner, name, None)) is None:
        raise OutOfDate(f"{owner} has no {name}")
    modules = [module for full_name, module in sys.modules.items() if full_name.startswith("queuectl")]
    holders = [owner, *(module for module in modules if module is not owner and vars(module).get(name) is original)]
    new = broken(original)
    for holder in holders:
        setattr(holder, name, new)

    def undo() -> None:
        for holder in holders:
            setattr(holder, name, original)

    return undo


@noticed_by("test_frozen.py::test_a_command_that_ended_while_its_worker_was_frozen_changes_nothing_afterwards[sqlite]")
def the_fence_is_removed() -> Iterator[Undo]:
    def broken(settle: Callable[..., object]) -> Callable[..., object]:
        def settled(
            self: object, c: Connection, ends: Sequence[AttemptEnd], decide: DecideEnd, *rest: object
        ) -> object:
            rows = queries.jobs_to_settle(c, ids=[end.job_id for end in ends])
            leases = {row.id: row.lease_id for row in rows}
            anybodys = [it._replace(lease=it.lease._replace(id=leases.get(it.job_id) or it.lease.id)) for it in ends]
            own = dict(zip(anybodys, ends, strict=True))
            return settle(self, c, anybodys, lambda job, end: decide(job, own[end]), *rest)

        return settled

    yield replace(SqlWork, "_settle", broken)


@noticed_by("test_frozen.py::test_a_job_that_is_longer_than_the_lease_runs_once[sqlite-4]")
def heartbeats_are_skipped() -> Iterator[Undo]:
    yield replace(Heartbeat, "run", lambda _: lambda self: None)


@noticed_by("test_containment.py::test_a_timeout_ends_the_whole_tree_before_it_is_recorded[sqlite]")
def only_the_leader_is_killed() -> Iterator[Undo]:
    yield replace(os, "killpg", lambda _: os.kill)
    yield replace(tree.Orphans, "kill", lambda _: lambda self, orphan: self.reap())


@noticed_by("test_containment.py::test_a_background_child_that_keeps_the_pipe_does_not_hang_the_job[sqlite]")
def the_end_of_the_output_is_waited_for() -> Iterator[Undo]:
    yield replace(Child, "has_ended", lambda ended: lambda child: not child.pipe.is_open and ended(child))
    yield replace(child, "REAP_TIMEOUT", lambda timeout: 100 * timeout)


@noticed_by(
    "test_power.py::test_an_acknowledged_job_is_synced_before_its_id_is_printed[sqlite]",
    "test_power.py::test_an_outcome_is_synced_before_it_is_logged[sqlite]",
)
def synchronous_is_normal() -> Iterator[Undo]:
    yield replace(connection, "SETTINGS", lambda settings: [it.replace("= FULL", "= NORMAL") for it in settings])


@noticed_by("test_dying.py::test_after_everything_was_killed_the_next_start_clears_up_and_takes_the_jobs_back[sqlite]")
def jobs_are_put_back_before_what_is_left_of_them_is_killed() -> Iterator[Undo]:
    yield replace(marks, "kill_commands_of", lambda kill: lambda worker_id, *_: Timer(1, kill, [worker_id]).start())


@noticed_by("test_frozen.py::test_a_job_that_is_longer_than_the_lease_runs_once[sqlite-4]")
def workers_are_rescued_whose_lease_is_not_over() -> Iterator[Undo]:
    yield replace(FileLocalProcesses, "registered", lambda them: lambda self, *, of=(): () if of else them(self))
    yield replace(LeaseWatch, "left", lambda _: lambda self, worker: timedelta())
    yield replace(
        SqlWork,
        "rescue",
        lambda rescue: lambda *args, **known: rescue(*args, **known | {"proved_dead": True}),
    )


@noticed_by("test_frozen.py::test_a_frozen_worker_that_outlives_its_lease_is_killed_before_its_job_runs_again[sqlite]")
def a_worker_may_outlive_its_lease() -> Iterator[Undo]:
    yield replace(LocalProcess, "is_harmless", lambda _: lambda self, at: True)


@noticed_by("test_signals.py::test_a_command_that_signals_its_worker_does_not_end_it_for_good[sqlite-TERM]")
def a_signal_to_a_worker_ends_it_for_good() -> Iterator[Undo]:
    yield replace(process, "run_worker", lambda run: lambda *args: code if (code := run(*args)) < 128 else 0)


@noticed_by("test_dying.py::test_a_job_that_kills_its_workers_does_not_run_for_ever[sqlite]")
def losses_are_not_counted() -> Iterator[Undo]:
    def broken(settled: Callable[..., Job]) -> Callable[..., Job]:
        return lambda job, *args, alone=False, **known: settled(job._replace(suspect=False), *args, **known)

    yield replace(Job, "settled", broken)


@noticed_by("test_dying.py::test_a_job_that_kills_its_workers_takes_none_of_its_neighbours_with_it[sqlite-1]")
def neighbours_are_blamed() -> Iterator[Undo]:
    yield replace(
        Job, "settled", lambda settled: lambda *args, alone=False, **known: settled(*args, alone=True, **known)
    )


class Survived(Exception):
    """A mutant was not noticed, or the unchanged program did not pass; the message says which and how."""


def main(chosen: Sequence[str]) -> int:
    mutants = [it for it in MUTANTS.values() if not chosen or any(word in it.name for word in chosen)]
    code, report = _run({}, list(dict.fromkeys(test for mutant in mutants for test in mutant.tests)))
    failures = _print("nothing", "all passed" if code == 0 else f"NOT PASSED:\n{report}", is_good=code == 0)
    for mutant in mutants:
        try:
            with mutated(mutant.name) as environ:
                _must_start(environ)
                for test in mutant.tests:
                    invariants = _invariants_broken(environ, test)
                    _print(mutant.name, f"killed by {test.partition('[')[0]} ({invariants})", is_good=True)
        except Survived as error:
            failures += _print(mutant.name, str(error), is_good=False)
    return 1 if failures else 0


@contextmanager
def mutated(name: str) -> Iterator[dict[str, str]]:
    """The variables with which a Python program starts as that mutant."""
    with tempfile.TemporaryDirectory(prefix="queuectl-mutant-") as directory:
        Path(directory, "sitecustomize.py").write_text(SITE.format(root=str(ROOT), name=name))
        yield {"PYTHONPATH": directory}


def _invariants_broken(environ: dict[str, str], test: str) -> str:
    """The invariants by which that test failed. Raises Survived when it passed, or failed for another reason."""
    code, report = _run(environ, [test])
    if code == 0:
        raise Survived(f"SURVIVED {test}")
    if not (broken := sorted(set(BREACH.findall(report)))):
        raise Survived(f"{test} failed, but not by an invariant:\n{report}")
    return ", ".join(broken)


def _run(environ: dict[str, str], tests: Sequence[str]) -> tuple[int, str]:
    """Run tests of a queuectl that has these variables; pytest's exit code and report."""
    paths = [f"tests/faults/{test}" for test in tests]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *paths, "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=short"],
        env=os.environ | {f"QUEUECTL_TEST_{name}": text for name, text in environ.items()},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=MAX_SECONDS * len(paths),
    )
    return done.returncode, done.stdout + done.stderr


def _must_start(environ: dict[str, str]) -> None:
    look = "import sys; sys.exit('tests.faults.mutants' not in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", look], env=os.environ | environ, capture_output=True, check=False
    )
    if done.returncode or done.stderr:
        raise Survived(f"it does not start: {done.stderr.decode()}")


def _print(name: str, verdict: str, *, is_good: bool) -> bool:
    """Write a line of the table; whether it is a bad one."""
    print(f"{'ok  ' if is_good else 'FAIL'} {name:<58} {verdict}", flush=True)  # noqa: T201 - the report
    return not is_good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
