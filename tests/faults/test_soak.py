"""A queue under load and faults for as long as one likes: `make soak`. Nothing may be lost, doubled, stuck or grow."""

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import probe as witnessing
from tests.faults.probe import DESCRIPTORS, MEMORY, FaultProbe
from tests.integration.driver import Cli, Workers, kill, wait_until, workers_of
from tests.integration.ledger import Ledger

SETTINGS = {"lease": "10s", "kill-grace": "1s", "backoff-max": "2s", "output-limit": "10000"}
MAX_LOSSES = 3

JOBS_A_SECOND = 8
BODIES = (
    "true",
    "sleep 0.2",
    "sleep 1",
    "sleep 3",
    "exit 3",
    "(sleep 0.5 &); sleep 0.3",
    "setsid sleep 0.5 & sleep 0.2",
    "head -c 50000 /dev/zero",
    "trap '' TERM; sleep 1",
    "kill -TERM $$",
)
"""What the jobs do; those that fail do so again, until their retries are used up."""

CALM = "calm"
"""The queue of the worker that lives all the time: nothing in it kills its worker."""

POISON = "kill -9 $PPID; sleep 5"

GROWTH, SLACK = 1.25, 8.0
"""How much more a worker that lives all the time may have at the end than it had once it was warm; and MiB or
descriptors that say nothing."""


class Soak:
    """The load and the faults, from one seed. What happens when depends on the machine."""

    def __init__(self, cli: Cli, ledger: Ledger, probe: FaultProbe, seed: int) -> None:
        self.cli, self.probe, self.random = cli, probe, random.Random(seed)
        self.ledger = ledger
        self.ids: list[str] = []
        self.poison: list[str] = []
        self.kills = self.cancels = 0
        self.workers = cli.start_workers(4, concurrency=8)
        self.survivors = cli.start_workers(1, concurrency=4, queues=[CALM])

    def add_load(self) -> None:
        """A second's jobs."""
        bodies = self.random.choices(BODIES, k=JOBS_A_SECOND)
        documents = [{"command": self.ledger.command(body), "max_retries": 2, "timeout": "20s"} for body in bodies]
        for document in documents[: JOBS_A_SECOND // 4]:
            document["queue"] = CALM
        self.ids += self.probe.enqueue_all(documents)

    def add_poison(self) -> None:
        self.poison.append(self.probe.enqueue(POISON, max_retries=0))

    def cancel_one(self) -> None:
        if not self.ids:
            return
        job_id = self.random.choice(self.ids[-200:])
        self.probe.note_asked(job_id)
        code = self.cli.run("cancel", "--no-wait", job_id, check=False).code
        assert code in (0, 4)
        self.cancels += code == 0

    def do_harm(self) -> None:
        """Kill a worker, most of the time; or the supervisor, or all; or stop them, gently or by force."""
        self.kills += 1
        match self.random.random():
            case chance if chance < 0.7:
                if alive := workers_of(self.workers.supervisor):
                    kill(self.random.choice(alive))
                return
            case chance if chance < 0.8:
                kill(self.workers.supervisor)
            case chance if chance < 0.85:
                kill(self.workers.supervisor, *workers_of(self.workers.supervisor))
            case chance if chance < 0.95:
                self.stop_workers()
            case _:
                self.stop_workers(force=True)
        self.workers = self.cli.start_workers(4, concurrency=8)

    def stop_workers(self, *, force: bool = False) -> None:
        """By a signal to their supervisor: `worker stop` would stop the survivors too."""
        terminate(self.workers.supervisor, times=2 if force else 1)
        wait_until(lambda: not Path(f"/proc/{self.workers.supervisor}").exists(), 60)


def terminate(supervisor: int, *, times: int) -> None:
    for _ in range(times):
        os.kill(supervisor, signal.SIGTERM)
        time.sleep(0.2)


@pytest.fixture
def minutes(pytestconfig: pytest.Config) -> float:
    return float(pytestconfig.getoption("--soak"))


@pytest.fixture(autouse=True)
def _few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look has every job, of which there are tens of thousands."""
    monkeypatch.setattr(witnessing, "LOOK_EVERY", 15.0)
    monkeypatch.setattr(witnessing, "MEASURE_EVERY", 1)


@pytest.mark.slow
@pytest.mark.fault("F01")
@pytest.mark.timeout(0)
def test_hours_of_work_and_harm_lose_nothing_and_leave_nothing(
    cli: Cli, ledger: Ledger, probe: FaultProbe, minutes: float, record_property: Callable[[str, object], None]
) -> None:
    for key, value in SETTINGS.items():
        cli.run("config", "set", key, value)
    seed = random.randrange(10_000)
    record_property("seed", seed)
    soak = Soak(cli, ledger, probe, seed)
    end = time.monotonic() + 60 * minutes
    warm: tuple[float, float] | None = None
    with at_intervals(soak.add_load, 1.0), at_intervals(soak.cancel_one, 1.5), at_intervals(soak.add_poison, 45.0):
        while time.monotonic() < end:
            time.sleep(soak.random.uniform(2, 8))
            soak.do_harm()
            if warm is None and time.monotonic() > end - 60 * minutes * 3 / 4:
                warm = used_by(soak.survivors)
    probe.healed()
    history = probe.check(within=240, max_losses=MAX_LOSSES, caps={MEMORY: 200, DESCRIPTORS: 200})
    states = [history.jobs[each].state for each in soak.ids]
    told = {state: states.count(state) for state in sorted(set(states))}
    runs = sum(1 for entry in ledger.entries("start"))
    memory, descriptors = used_by(soak.survivors)
    print(
        f"\nseed {seed}: {len(soak.ids)} jobs and {len(soak.poison)} that kill their worker, {runs} runs, {told},",
        f"{soak.kills} faults, {soak.cancels} cancels; a worker that lived: {warm} -> {(memory, descriptors)}",
        f"(MiB, descriptors); peaks {probe.peaks}",
    )
    assert {(history.jobs[each].state, history.jobs[each].losses) for each in soak.poison} <= {("dead", MAX_LOSSES)}
    assert all(history.jobs[each].losses < MAX_LOSSES for each in soak.ids), "a neighbour died of losses"
    assert warm is not None
    assert memory < warm[0] * GROWTH + SLACK
    assert descriptors < warm[1] * GROWTH + SLACK


def used_by(workers: Workers) -> tuple[float, int]:
    """The memory (MiB) and descriptors of a worker's process, now."""
    [pid] = workers.pids
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(resident.split()[1]) / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))


@contextmanager
def at_intervals(act: Callable[[], None], seconds: float) -> Iterator[None]:
    """Have something done again and again while the body runs; what goes wrong with it is raised at the end."""
    over, trouble = threading.Event(), list[BaseException]()

    def work() -> None:
        for _ in itertools.count():
            if over.wait(seconds):
                return
            try:
                act()
            except BaseException as error:  # noqa: BLE001 - raised below
                trouble.append(error)
                return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if trouble:
        raise trouble[0]
