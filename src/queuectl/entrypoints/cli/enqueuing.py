"""What `queuectl enqueue` does: one job from JSON or from arguments, or a batch from a file or a pipe."""

import gc
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import click

from queuectl.domain.errors import DuplicateJob, InvalidJob
from queuectl.domain.job import Job, JobRequest
from queuectl.entrypoints.cli.app import App
from queuectl.entrypoints.cli.batch import MOST_PROBLEMS, Line, lines_of, requests_of
from queuectl.entrypoints.cli.views import View, job_view
from queuectl.entrypoints.cli.wording import counted

LONG_BATCH = 2000
"""Jobs that take long enough to store for a person to wonder."""


def add_jobs(
    app: App,
    documents: Sequence[str],
    program: Sequence[str] | None,
    options: Mapping[str, str | int | None],
    env: Sequence[str],
) -> None:
    """Add the jobs that `documents` or, after `--`, `program` say; `options` and `env` win over their fields."""
    fields = _fields(options, env)
    with _no_collections():
        lines = _lines(app, _one(documents), program)
        if "id" in fields and len(lines) > 1:
            raise click.UsageError(f"--id is for one job, and the input has {len(lines):,}")
        requests = requests_of(lines, fields)
        jobs = _store(app, lines, requests)
        _tell(app, jobs, is_batch=lines[0].number is not None)


@contextmanager
def _no_collections() -> Iterator[None]:
    """No search for garbage in cycles: a batch makes none, and to look for it takes up to a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _one(documents: Sequence[str]) -> str | None:
    if len(documents) > 1:
        extra = documents[1]
        raise click.UsageError(f"'{extra}' is one too many: quote JSON as a whole, and put -- before a program")
    return documents[0] if documents else None


def _lines(app: App, document: str | None, program: Sequence[str] | None) -> Sequence[Line]:
    if program is not None:
        return [_program(document, program)]
    if document is None:
        raise click.UsageError("nothing to enqueue: give a JSON document, @FILE, -, or -- and a program")
    if document == "-":
        if sys.stdin is None:
            raise click.UsageError("stdin is closed: there is nothing to read")
        if sys.stdin.isatty():
            app.note("reading JSON, one job per line, from the terminal; Ctrl-D ends it")
        return lines_of(sys.stdin.buffer.read())
    if document.startswith("@"):
        return lines_of(_content(document[1:]))
    return [Line(None, _in_utf8(document))]


def _program(document: str | None, program: Sequence[str]) -> Line:
    if document is not None:
        raise click.UsageError(f"before -- there is already '{document}': give a document or a program, not both")
    if not program:
        raise click.UsageError("after -- comes the program to run")
    if program[0].startswith("{"):
        raise click.UsageError("after -- comes a program, not JSON: leave the -- out")
    return Line(None, {"command": [_in_utf8(part) for part in program]})


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read the file '{path}': {error.strerror}") from error


def _fields(options: Mapping[str, str | int | None], env: Sequence[str]) -> dict[str, object]:
    """The fields of a document that the options say."""
    fields: dict[str, object] = {name.rstrip("_"): value for name, value in options.items() if value is not None}
    if fields.get("timeout") == "none":
        fields["timeout"] = None
    if "cwd" in fields:
        fields["cwd"] = _absolute(str(fields["cwd"]))
    if env:
        fields["env"] = dict(_variable(each) for each in env)
    return fields


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.UsageError(f"--env takes NAME=VALUE, not '{text}'")
    return _in_utf8(name), _in_utf8(value)


def _store(app: App, lines: Sequence[Line], requests: Sequence[JobRequest]) -> Sequence[Job]:
    queue = app.queue_made_if_absent
    try:
        with _patience(app, len(requests)):
            return queue.enqueue(requests, cwd=_here(requests))
    except DuplicateJob as error:
        if lines[0].number is None:
            raise
        raise _located(error, lines, requests) from error


def _located(error: DuplicateJob, lines: Sequence[Line], requests: Sequence[JobRequest]) -> DuplicateJob | InvalidJob:
    """The same with the lines that give each id. A batch that has an id twice is wrong whatever the queue holds."""
    numbers: dict[str | None, list[str]] = {}
    for line, request in zip(lines, requests, strict=True):
        numbers.setdefault(request.get("id"), []).append(str(line.number))
    taken = DuplicateJob(_listed([f"{each} ({_joined(numbers.get(each, ['?']))})" for each in error.taken]))
    if not error.repeated:
        return taken
    problems = [f"id {each} is given {_times(numbers[each])}: {_joined(numbers[each])}" for each in error.repeated]
    return InvalidJob([*_listed(problems), *([taken.message] if error.taken else [])], hint=error.hint)


def _times(numbers: Sequence[str]) -> str:
    return "twice" if len(numbers) == 2 else f"{len(numbers):,} times"


def _joined(numbers: Sequence[str]) -> str:
    if len(numbers) == 1:
        return f"line {numbers[0]}"
    *first, last = numbers if len(numbers) <= MOST_PROBLEMS else (*numbers[:3], f"{len(numbers) - 3:,} more")
    return f"lines {', '.join(first)} and {last}"


def _listed(texts: Sequence[str]) -> Sequence[str]:
    more = len(texts) - MOST_PROBLEMS
    return [*texts[:MOST_PROBLEMS], f"and {more:,} more"] if more > 0 else texts


def _here(requests: Sequence[JobRequest]) -> str:
    """The directory for jobs that name none."""
    return "/" if all("cwd" in request for request in requests) else _absolute(".")


def _absolute(directory: str) -> str:
    """The directory as seen from anywhere. Raises InvalidJob when the present one is gone."""
    try:
        return _in_utf8(str(Path(directory).absolute()))
    except OSError:
        problem = "cwd must be said: the present directory does not exist any more"
        raise InvalidJob([problem], hint="--cwd / would do for a command that does not care") from None


def _in_utf8(argument: str) -> str:
    """An argument of this program, which Python has read by the locale, as UTF-8; other bytes escaped (PEP 383)."""
    return os.fsencode(argument).decode(errors="surrogateescape")


def _patience(app: App, count: int) -> AbstractContextManager[object]:
    """Something that moves on the terminal while a long batch is stored."""
    if count < LONG_BATCH or not app.out.is_table or not sys.stderr.isatty():
        return nullcontext()
    from queuectl.entrypoints.cli.terminal import spinner

    return spinner(f"enqueueing {counted(count, 'job')}")


def _tell(app: App, jobs: Sequence[Job], *, is_batch: bool) -> None:
    view: View | Iterator[View] = (job_view(job) for job in jobs) if is_batch else job_view(jobs[0])
    ids = [job.id for job in jobs]
    app.out.write(view, plain=None, table=lambda: [_sentence(jobs)], ids=ids)


def _sentence(jobs: Sequence[Job]) -> str:
    if len(jobs) > 1:
        return f"enqueued {counted(len(jobs), 'job')}"
    from queuectl.entrypoints.cli.tables import when

    job = jobs[0]
    return f"enqueued job {job.id} (queue {job.queue}, priority {job.priority}, {when(job, job.created_at)})"
