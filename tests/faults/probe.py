"""The probe of a fault: it enqueues jobs that leave evidence, looks on from outside, and gives it all to the judge."""

import contextlib
import itertools
import json
import os
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import psycopg

from queuectl.domain.job import TERMINAL
from queuectl.drill.judge import Call, History, Invariant, JobRecord, LeftProcess, check, is_orphan
from tests.faults import reading
from tests.integration.driver import PATIENCE, Cli, Result, json_lines, processes_with, wait_until
from tests.integration.ledger import Ledger

LOOK_EVERY, MEASURE_EVERY = 0.2, 5
"""Seconds between two looks at the queue, and looks between two measurements."""
GONE_WITHIN = 2.0
"""Seconds that what is left of a job may take to vanish."""

MEBIBYTE = 1024 * 1024
MEMORY, DESCRIPTORS, LOG = "memory of a process (MiB)", "descriptors of a process", "write-ahead log (MiB)"

_LENGTHS = itertools.count(100_000 + os.getpid() % 10_000 * 100)


def a_length() -> int:
    """Seconds that no other sleep of this test run takes: its command line is how it is found in the process table."""
    return next(_LENGTHS)


def sleeping(lengths: Sequence[int]) -> list[int]:
    """Those sleeps that run, whoever their parents are and whatever their environment is."""
    known = {str(length).encode(): length for length in lengths}
    found = []
    for entry in Path("/proc").iterdir():
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if arguments[:1] == [b"sleep"] and arguments[1] in known:
            found.append(known[arguments[1]])
    return sorted(found)


class Tree:
    """A command with a tree of processes: some in a session of their own, one without its parent, one in the group."""

    def __init__(self) -> None:
        self.lengths = [a_length() for _ in range(4)]
        a, b, c, d = self.lengths
        self.command = f"setsid sh -c 'sleep {a} & sleep {b}' & (sleep {c} &) ; sleep {d}"

    @property
    def alive(self) -> list[int]:
        return sleeping(self.lengths)

    @property
    def is_complete(self) -> bool:
        return self.alive == self.lengths


class FaultProbe:
    """Judges the jobs that were enqueued through it, and no others: `check` at the end of a test.

    `url` is where the database can be read: directly, whatever stands between it and `cli`.
    """

    def __init__(self, cli: Cli, ledger: Ledger, url: str) -> None:
        self.cli = cli
        self.ledger = ledger
        self.url = url
        self.calls: list[Call] = []
        self.damaged: list[str] = []
        """Findings of a test that must never be in a database."""
        self.was_checked = False
        self._unwitnessed: set[str] = set()
        self._asked: set[str] = set()
        self._sleeps: dict[str, list[int]] = {}
        self._healed_at: float | None = None
        self._observer = Observer(cli, url)

    def close(self) -> None:
        """Look no more."""
        self._observer.close()

    def enqueue(self, body: str = "true", **fields: object) -> str:
        """Enqueue a job that notes its start and its end in the ledger."""
        [job_id] = self.enqueue_all([{"command": self.ledger.command(body), **fields}])
        return job_id

    def enqueue_endless(self, **fields: object) -> str:
        """Enqueue a job whose first run never ends, and whose later ones end at once; all are in the ledger."""
        [job_id] = self.enqueue_all([{"command": self.ledger.endless(), **fields}])
        return job_id

    def enqueue_some(self, count: int, body: str = "true", **fields: object) -> list[str]:
        """The same as `enqueue`, many times in one batch."""
        return self.enqueue_all([{"command": self.ledger.command(body), **fields}] * count)

    def enqueue_all(self, documents: Sequence[Mapping[str, object]]) -> list[str]:
        """Enqueue a batch as it is."""
        result = self.cli.run("enqueue", "-", stdin=json_lines(documents))
        ids = result.stdout.split()
        assert len(ids) == len(documents)
        self.note_call(ids, result)
        return ids

    def enqueue_silent(self, command: str | Sequence[str], **fields: object) -> str:
        """Enqueue a job that leaves no trace in the ledger."""
        job_id = self.cli.enqueue(command, **fields)
        self.calls.append(Call(ids=[job_id], printed=[job_id], code=0))
        self._unwitnessed.add(job_id)
        return job_id

    def enqueue_tree(self, **fields: object) -> tuple[str, Tree]:
        """Enqueue a tree of processes that never ends; the job and its tree, once that is complete."""
        tree = Tree()
        job_id = self.enqueue_silent(tree.command, **fields)
        self.watch_tree(job_id, tree)
        return job_id, tree

    def watch_tree(self, job_id: str, tree: Tree) -> None:
        """Have a job's tree, which may bear no mark, count among the processes that must not outlive it."""
        self._sleeps[job_id] = tree.lengths

    def note_asked(self, *ids: str) -> None:
        """Note that an operator has had these cancelled or run again."""
        self._asked.update(ids)

    def note_call(self, ids: Sequence[str], result: Result) -> None:
        """Take a call of `enqueue` into account that was to store these jobs."""
        whole = [line.strip() for line in result.stdout.splitlines(keepends=True) if line.endswith("\n")]
        code = result.code if result.code >= 0 else None
        self.calls.append(Call(ids=ids, printed=whole, code=code, errors=result.errors))

    def try_enqueue(
        self, *args: str, ids: Sequence[str], stdin: str = "", env: Mapping[str, str] | None = None
    ) -> Result:
        """Call `enqueue`, which may fail, to store these jobs."""
        result = self.cli.run("enqueue", *args, stdin=stdin, check=False, env=env)
        self.note_call(ids, result)
        return result

    def document(self, job_id: str, body: str = "true", **fields: object) -> str:
        """A job of that id that writes into the ledger, as JSON."""
        return json.dumps({"id": job_id, "command": self.ledger.command(body), **fields})

    def healed(self) -> None:
        """Note that what was done to the queue has just ended: from now on it must make progress."""
        self._healed_at = time.monotonic()

    def rows(self) -> reading.Rows:
        """Its jobs and their attempts now."""
        rows = reading.read_rows(self.url)
        own = {job_id for call in self.calls for job_id in call.ids}
        return reading.Rows(
            {job_id: job for job_id, job in rows.jobs.items() if job_id in own},
            [row for row in rows.attempts if row.job in own],
        )

    def outcomes(self, job_id: str) -> list[str | None]:
        """The outcomes of a job's attempts."""
        return [row.outcome for row in self.rows().attempts if row.job == job_id]

    @property
    def peaks(self) -> Mapping[str, float]:
        """The most that was seen of what is measured."""
        return self._observer.peaks

    def check(
        self,
        *,
        within: float | None = PATIENCE,
        waiting: Sequence[str] = (),
        caps: Mapping[str, float] | None = None,
        faultless: bool = False,
        max_losses: int = 3,
    ) -> History:
        """Wait until all jobs but those `waiting` have ended, and fail unless every invariant holds.

        `within`: seconds from the last fault (`healed`, or else now) that this may take.
        """
        self.was_checked = True
        begun = time.monotonic() if self._healed_at is None else self._healed_at
        took = self._wait_for_ends(begun + (within or 0), set(waiting)) - begun
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not check(self._history(), [Invariant.NO_ORPHANS]), GONE_WITHIN, every=0.05)
        self.close()
        history = replace(
            self._history(),
            waiting=waiting,
            caps=caps or {},
            faultless=faultless,
            max_losses=max_losses,
            took=took,
            bound=within,
            damage=[*self.damaged, *reading.damage(self.url)],
        )
        fail_unless_all_hold(history)
        return history

    def _wait_for_ends(self, until: float, waiting: set[str]) -> float:
        while True:
            jobs = self.rows().jobs
            if all(job.state in TERMINAL or job.id in waiting for job in jobs.values()) or time.monotonic() > until:
                return time.monotonic()
            time.sleep(0.05)

    def _history(self) -> History:
        # What was no orphan just before is none: its job may have ended between the two looks.
        before, found, rows = self.rows(), self._processes(), self.rows()
        looks = [{job_id: seen[job_id] for job_id in seen if job_id in rows.jobs} for seen in self._observer.looks]
        return History(
            calls=self.calls,
            ledger=[entry for entry in self.ledger.evidence() if entry.job in rows.jobs],
            unwitnessed=self._unwitnessed,
            jobs=rows.jobs,
            attempts=rows.attempts,
            looks=looks,
            processes=[each for each in found if each.job in rows.jobs and is_orphan(each, before.jobs)],
            peaks=self.peaks,
            asked=dict.fromkeys(self._asked),
        )

    def _processes(self) -> list[LeftProcess]:
        marked = []
        for pid, environ, command in processes_with(f"HOME={self.cli.home}"):
            variables = dict(variable.partition(b"=")[::2] for variable in environ)
            if job_id := variables.get(b"QUEUECTL_JOB_ID", b"").decode():
                attempt = int(variables.get(b"QUEUECTL_ATTEMPT", b"0"))
                marked.append(LeftProcess(pid, job_id, attempt, command))
        unmarked = [
            LeftProcess(0, job_id, None, f"sleep {length}")
            for job_id, lengths in self._sleeps.items()
            for length in sleeping(lengths)
        ]
        return marked + unmarked


def fail_unless_all_hold(history: History) -> None:
    """Fail with every breach of every invariant: each on a line that begins with the invariant's number."""
    violations = check(history)
    assert not violations, "\n".join(["broken:", *map(str, violations)])


class Observer:
    """Looks at a queue again and again, in a thread of its own, and measures its processes."""

    def __init__(self, cli: Cli, url: str) -> None:
        self.looks: list[Mapping[str, JobRecord]] = []
        self.peaks: dict[str, float] = {}
        self._cli = cli
        self._url = url
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="observer", daemon=True)
        self._watching.start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()
        self._watching.join()

    def _watch(self) -> None:
        for number in itertools.count():
            if self._over.wait(LOOK_EVERY):
                return
            with contextlib.suppress(psycopg.Error, sqlite3.Error):  # as long as the fault lasts
                self.looks.append(reading.look(self._url))
            if number % MEASURE_EVERY == 0:
                self._measure()

    def _measure(self) -> None:
        for pid in self._cli.own_processes():
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                highest = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
                self._note(MEMORY, int(highest.split()[1]) * 1024 / MEBIBYTE)
                self._note(DESCRIPTORS, len(os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208 - one call
        if self._url.startswith("sqlite"):
            with contextlib.suppress(OSError):
                self._note(LOG, Path(reading.path_of(self._url) + "-wal").stat().st_size / MEBIBYTE)

    def _note(self, name: str, value: float) -> None:
        self.peaks[name] = max(value, self.peaks.get(name, 0))
