"""Claims that race each other; apart from the tests, so that another process starts quickly with it."""

from itertools import count
from multiprocessing.synchronize import Barrier
from pathlib import Path

from queuectl.domain.ports.work import Claim, Work
from tests.builders import NOON, a_lease

start: Barrier


def claim_all(work: Work, number: int) -> list[str]:
    """Claims three jobs at a time until there is none; `number` tells the racers' leases apart."""
    claimed: list[str] = []
    for turn in count():
        taken = work.claim(Claim(a_lease(1000 * number + turn), queues=(), limit=3, at=NOON))
        if not taken:
            break
        claimed += [run.job.id for run in taken]
    return claimed


def meet_at(barrier: Barrier) -> None:
    """Prepares a process: `claim_all_at` waits there for the others."""
    global start
    start = barrier


def claim_all_at(url: str, log_dir: Path, number: int) -> list[str]:
    """The same for a process of its own."""
    from queuectl.container import Container
    from queuectl.settings import Settings

    container = Container(settings=Settings(database_url=url, log_dir=log_dir))
    try:
        container.storage().open()
        start.wait()
        return claim_all(container.work(), number)
    finally:
        container.storage().close()
