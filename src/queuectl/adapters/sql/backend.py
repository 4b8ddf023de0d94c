"""What one kind of database brings: a folder beside this file exports `backend`, which makes it from a URL."""

from collections.abc import Callable
from dataclasses import dataclass

from queuectl.adapters.sql.engine.transactions import Database
from queuectl.domain.ports.events import WakeUps
from queuectl.domain.ports.host import Clock
from queuectl.domain.ports.storage import Scratch, Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One database of one kind. Nothing is opened before it is used.

    `location` names the database for this machine, without a password: whoever means the same one has the same text.
    `shareable_url` is a URL that leads there, for those who must not have its password. `notify` tells idle workers,
    after a commit, that there may be work for them, and must not raise; `listen` hears of it.
    """

    location: str
    shareable_url: Callable[[], str]
    database: Database
    storage: Storage
    clock: Clock
    notify: Callable[[], None]
    listen: WakeUps
    scratch: Callable[[], Scratch]
