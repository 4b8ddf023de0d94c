"""Everything that can go wrong in the queue's own words; one class per decision that a caller can take.

    QueueError
    ├── InvalidJob            the job document has mistakes; all of them are named
    ├── InvalidSetting        a configuration key or value that does not exist or fit
    ├── HostTrouble           this machine, or a limit of this process, does not allow something now
    ├── NotFound              a thing that was asked for is not there
    │   ├── JobNotFound       no job has that id
    │   ├── QueueNotFound     no queue has that name
    │   └── BatchNotFound     no job has named that batch
    ├── Conflict
    │   ├── DuplicateJob      an id that exists already, or is given twice
    │   ├── UniqueKeyTaken    another job holds the unique key
    │   └── WrongState        the job's state does not allow what was asked
    └── DatabaseUnavailable   the queue's database cannot serve now
        ├── DatabaseUnreachable   it is missing, refused, broken or not ours
        │   ├── DatabaseFull      it has no room left
        │   ├── DatabaseReplaced  it is not the one any more that it was
        │   └── ValueRefused      a value is none that it can hold
        ├── DatabaseBusy          it serves others, or is about to serve again: the same may succeed later
        ├── CommitUnknown         the connection broke during the commit: it may or may not have happened
        └── SchemaMismatch        it is older or newer than this program

A message says what happened to which thing, in lower case; `hint` is the next step, where there is one.
"""

from collections.abc import Iterable, Mapping, Sequence


class QueueError(Exception):
    """The base of every error of the queue. `code` is its stable name in JSON output."""

    code = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidJob(QueueError):
    """A job document with one or more mistakes. `problems` has one line for each of them."""

    code = "invalid_job"

    def __init__(self, problems: Sequence[str], *, hint: str | None = None) -> None:
        super().__init__("; ".join(problems), hint=hint)
        self.problems = tuple(problems)


class InvalidSetting(QueueError):
    """A configuration key that does not exist, or a value outside its range."""

    code = "invalid_setting"


class HostTrouble(QueueError):
    """This machine or a limit of this process (descriptors, memory) does not allow something now: later, perhaps."""

    code = "host_trouble"


class NotFound(QueueError):
    """A thing that was asked for is not there."""

    code = "not_found"


class JobNotFound(NotFound):
    """No job has the id that was asked for."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}", hint="`queuectl list` shows the jobs there are")


class QueueNotFound(NotFound):
    """No queue of that name has, or had, any job, setting or worker."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        near = nearest(name, known)
        hint = f"did you mean {near}?" if near else "`queuectl queue list` shows the queues there are"
        super().__init__(f"there is no queue {name}", hint=hint)


class BatchNotFound(NotFound):
    """No job has named the batch that was asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no batch {name}", hint="`queuectl batch list` shows the batches there are")


class Conflict(QueueError):
    """The request is well formed, but the queue's present state forbids it."""

    code = "conflict"


class DuplicateJob(Conflict):
    """Ids that are taken, and ids that the batch itself has more than once; nothing of it was stored."""

    code = "duplicate_id"

    def __init__(self, taken: Sequence[str], *, repeated: Sequence[str] = ()) -> None:
        said = [f"there is already a job {', '.join(taken)}"] if taken else []
        said += [f"an id is given more than once: {', '.join(repeated)}"] if repeated else []
        message = "; ".join(said) or "an id was taken, until a moment ago"  # its job has been removed since
        super().__init__(message, hint="choose another id, or leave it out to get one")
        self.taken, self.repeated = tuple(taken), tuple(repeated)


class UniqueKeyTaken(Conflict):
    """Another job holds the unique key; nothing was changed. `refused` says so by the place of what was asked for."""

    code = "unique_key_taken"

    def __init__(self, refused: Mapping[int, str]) -> None:
        super().__init__("; ".join(refused.values()), hint="`queuectl info` shows that job")
        self.refused = refused


class WrongState(Conflict):
    """The job's state does not allow the transition that was asked for."""

    code = "wrong_state"


class DatabaseUnavailable(QueueError):
    """The database cannot serve now; what was asked did not happen, except as CommitUnknown says."""

    code = "database_unavailable"


class DatabaseUnreachable(DatabaseUnavailable):
    """The database is missing, refused, broken, or not a queue of ours."""

    code = "database_unreachable"


class DatabaseFull(DatabaseUnreachable):
    """There is no room left for what was to be written."""

    code = "database_full"


class DatabaseReplaced(DatabaseUnreachable):
    """The queue is gone: removed or replaced by another, so that nothing that was known of it holds."""


class ValueRefused(DatabaseUnreachable):
    """A value that the database does not take, or that cannot be written for it."""

    code = "value_refused"


class DatabaseBusy(DatabaseUnavailable):
    """The database serves others, or is about to serve again: for longer than we are ready to wait."""

    code = "database_busy"


class CommitUnknown(DatabaseUnavailable):
    """The connection broke while a change was being committed: it may or may not have been made."""

    code = "commit_unknown"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"nobody knows whether the change was made, the connection broke during its commit: {reason}",
            hint="look whether it is there; sent again with the same id, a job is stored once at most",
        )


class SchemaMismatch(DatabaseUnavailable):
    """The database's schema is older or newer than this program."""

    code = "schema_mismatch"


def reason_of(error: OSError) -> str:
    """The system's reason, as it stands within a message: `permission denied`."""
    return (error.strerror or str(error)).lower()


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.5) -> str | None:
    """The known word that is most like this one, if any is enough like it: `likeness` is from 0 (any) to 1 (equal)."""
    import difflib  # a library that only a mistake needs

    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)), None)
