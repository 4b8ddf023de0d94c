"""The parts of one kind of database: a folder beside this file exports `backend`, which makes it from a URL."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from queuectl.adapters.sql.engine.queries import EndAttempt, JobRow
from queuectl.adapters.sql.engine.transactions import Connection, Database
from queuectl.domain.job import Job
from queuectl.domain.limits import Candidate, Start
from queuectl.domain.policy import StoredSettings
from queuectl.domain.ports.host import Clock
from queuectl.domain.ports.storage import Listen, Scratch, Storage
from queuectl.domain.ports.work import Claim, FirstDue


class Taken(NamedTuple):
    """A job that a worker has taken, the stored settings, and whether its attempt is started: one may be there."""

    job: JobRow
    settings: StoredSettings | None
    is_started: bool


class Due(NamedTuple):
    """A candidate of a claim, and what it needs to start."""

    candidate: Candidate
    concurrency: int | None = None
    is_rated: bool = False
    is_stray: bool = False
    """Its queue was given a lane of its own, and it does not stand there yet."""


class Found(NamedTuple):
    """The jobs that a claim finds: those that are taken at once, or else all candidates, in claim order."""

    taken: Sequence[Taken] = ()
    due: Sequence[Due] = ()
    is_all: bool = True
    """There are no more."""


class Claiming(Protocol):
    """The statements of claims, in the database's own way. `stores/claims.py` has their order."""

    def find(
        self,
        c: Connection,
        claim: Claim,
        limit: int,
        *,
        at_once: bool,
        busy_keys: Collection[str],
        full_queues: Collection[str],
    ) -> Found:
        """Lock up to `limit` due jobs in claim order, without those of these keys and queues.

        With `at_once` they may be taken, where none has a key or is in a queue with limits.
        """

    def take(self, c: Connection, claim: Claim, starts: Sequence[Start], at: datetime) -> Sequence[Taken]:
        """Take the chosen, start their attempts, and use the starts of their queues' rates."""

    def first_due(self, c: Connection, *, queues: Collection[str], labels: Collection[str]) -> FirstDue:
        """Ask when the first waiting jobs may start: see `Work.first_due`."""

    def hold_keys(self, c: Connection, keys: Collection[str]) -> None:
        """Have nobody else decide about these keys until the transaction ends.

        Before any job is locked: who has a key's lock may wait for one.
        """

    def hold_keys_of(self, c: Connection, job_ids: Sequence[str]) -> None:
        """The same of the keys that these jobs have."""

    def lane_readers(self, c: Connection) -> Collection[str]:
        """Name the other transactions under way that have read the lanes, and so may store jobs by what they read."""

    def store_settled(self, c: Connection, jobs: Sequence[Job], ends: Sequence[EndAttempt]) -> None:
        """Store ends of attempts, and what they have made of their locked jobs."""


class Backend(NamedTuple):
    """One database of one kind. Nothing is opened before it is used.

    `location` names the database for this machine, without a password: whoever means the same one has the same text.
    `shareable_url` is a URL that leads there, for those who must not have its password. `notify` tells idle workers,
    after a commit, that there may be work for them, and must not raise; `listen` hears of it. `claiming`
    has the statements of claims.
    """

    location: str
    shareable_url: Callable[[], str]
    database: Database
    storage: Storage
    clock: Clock
    notify: Callable[[], None]
    listen: Listen
    scratch: Callable[[], Scratch]
    claiming: Claiming
