"""The parts of one kind of database: a folder beside this file exports `backend`, which makes it from a URL."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from queuectl.adapters.sql.engine.queries import ClaimJobsRow, EndAttempt
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.domain.job import Job
from queuectl.domain.ports.host import Clock
from queuectl.domain.ports.storage import Listen, Scratch, Storage
from queuectl.domain.worker import Lease


class Claim(Protocol):
    """Claims in the database's own way."""

    def __call__(
        self, c: Connection, lease: Lease, *, queues: Collection[str], limit: int, at: datetime, suspects: bool | None
    ) -> Sequence[ClaimJobsRow]:
        """Take up to `limit` due jobs, the first in claim order, and start their attempts: see `Work.claim`.

        With each come the stored settings, and whether its attempt is started: one of its number may be there.
        """


StoreSettled = Callable[[Connection, Sequence[Job], Sequence[EndAttempt]], object]


class Backend(NamedTuple):
    """One database of one kind. Nothing is opened before it is used.

    `location` names the database for this machine, without a password: whoever means the same one has the same text.
    `shareable_url` is a URL that leads there, for those who must not have its password. `notify` tells idle workers,
    after a commit, that there may be work for them, and must not raise; `listen` hears of it. `claim` and
    `store_settled`, which stores ends of attempts and what has become of their locked jobs, do so in the database's own
    way.
    """

    location: str
    shareable_url: Callable[[], str]
    database: Database
    storage: Storage
    clock: Clock
    notify: Callable[[], None]
    listen: Listen
    scratch: Callable[[], Scratch]
    claim: Claim
    store_settled: StoreSettled
