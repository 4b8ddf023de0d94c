"""`queuectl enqueue`: one job from JSON or from arguments, or a batch from a file or a pipe."""

import gc
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from itertools import dropwhile, takewhile
from pathlib import Path

import click

from queuectl.application.operate.batches import parents_of
from queuectl.application.operate.enqueue import enqueue_jobs
from queuectl.application.operate.inspect import unmet, unserved
from queuectl.domain.document import FIELDS
from queuectl.domain.duration import format_duration
from queuectl.domain.errors import DatabaseUnavailable, DuplicateJob, InvalidJob, UniqueKeyTaken
from queuectl.domain.job import DEFAULT_QUEUE, Job, JobRequest, On, State
from queuectl.domain.unique import Added, Enqueued, held_by
from queuectl.domain.worker import BUILT_IN, name_of
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.batch import MAX_PROBLEMS, Line, lines_of, requests_of
from queuectl.entrypoints.cli.commands import Command
from queuectl.entrypoints.cli.failures import WrongUsage
from queuectl.presentation.columns import JOB, JobRow, when
from queuectl.presentation.formatting import counted, local_moment
from queuectl.presentation.views import view_of

COMMAND_OPTION = ("-c", "--command")

FIRST_OPTIONS = ("command", "id", "queue", "priority", "delay", "run_at")
"""The fields whose options the help lists first; the others follow in the order of the document."""

SAME_COMMAND = "As --unique, of a text that its command, queue, directory, variables and input make."

MAX_NAMED = 5
"""Jobs of a batch that are named in the sentence about it."""

LONG_BATCH = 2000
"""Jobs that take long enough to store for a person to wonder."""


class EnqueueCommand(Command):
    """Distinguishes the forms: a program and its arguments come after `--`, whatever they look like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set the program aside before click, which would drop the `--`, sees it."""
        if "--" in args:
            index = args.index("--")
            args, ctx.meta["queuectl.program"] = args[:index], args[index + 1 :]
        ctx.meta["queuectl.args"] = tuple(args)
        return super().parse_args(ctx, args)

    def wrong_option(self, ctx: click.Context, error: click.NoSuchOption) -> click.UsageError:
        """An option of a program that should stand after `--`, or one that nobody has."""
        words = _words(ctx)
        if (unquoted := _unquoted(ctx, words)) and not self.meant_by(ctx, error.option_name):
            return command_without_quotes(unquoted, ctx)
        if words and not looks_like_a_document(words[0]):
            return program_without_dashes(words, ctx)
        return super().wrong_option(ctx, error)


def _words(ctx: click.Context) -> Sequence[str]:
    """The arguments from the first on that is no option: a program's, if somebody forgot the `--`."""
    parser = ctx.command.make_parser(ctx)
    parser.allow_interspersed_args = False
    try:
        words = parser.parse_args(list(ctx.meta["queuectl.args"]))[0]["documents"]
    except click.UsageError:
        return []
    return words if isinstance(words, tuple) else []  # click has a mark of its own for none


def _unquoted(ctx: click.Context, words: Sequence[str]) -> Sequence[str]:
    """The words after -c up to an option of ours: a command line, if somebody forgot the quotes; else none."""
    if not set(COMMAND_OPTION).isdisjoint(words):
        return []  # the -c is an option of a program whose -- is missing
    own = {name for param in ctx.command.get_params(ctx) for name in param.opts}
    after = list(dropwhile(lambda arg: arg not in COMMAND_OPTION, ctx.meta["queuectl.args"]))[1:]
    unquoted = list(takewhile(lambda word: word.partition("=")[0] not in own, after))
    return unquoted if len(unquoted) > 1 else []


def looks_like_a_document(word: str) -> bool:
    """Say whether the word is meant to be JSON, @FILE or -, be it a bad one."""
    return word.lstrip()[:1] in ("{", "[", '"') or word.startswith("@") or word == "-"


def program_without_dashes(words: Sequence[str], ctx: click.Context) -> WrongUsage:
    """The usage error for a program whose `--` is missing."""
    command = shlex.join(words)
    return WrongUsage(
        f"'{words[0]}' is neither JSON nor @FILE nor -",
        hint=f"a program comes after --: queuectl enqueue -- {command}; a shell command after -c: "
        f"queuectl enqueue -c {shlex.quote(' '.join(words))}",
        ctx=ctx,
    )


def command_without_quotes(words: Sequence[str], ctx: click.Context) -> WrongUsage:
    """The usage error for a command after -c that is not one argument."""
    return WrongUsage(
        f"-c takes one argument, '{words[0]}', and '{words[1]}' is one too many",
        hint=f"quote the command as a whole: queuectl enqueue -c {shlex.quote(' '.join(words))}",
        ctx=ctx,
    )


def _given_once(_ctx: click.Context, _param: click.Parameter, commands: tuple[str, ...]) -> str | None:
    if len(commands) > 1:
        raise click.UsageError("-c is given twice: a job has one command; several jobs are a batch, @FILE or -")
    return next(iter(commands), None)


def _declared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Declare an option for each field of the document."""
    names = [*FIRST_OPTIONS, *(name for name in FIELDS if name not in FIRST_OPTIONS)]
    for name in reversed(names):  # as decorators are applied from below
        field = FIELDS[name]
        flags = COMMAND_OPTION if name == "command" else (field.option or f"--{name.replace('_', '-')}",)
        if name == "unique":
            command = click.option("--unique-command", is_flag=True, help=SAME_COMMAND)(command)
        command = click.option(
            *flags,
            name,
            type=int if field.is_number else None,
            multiple=field.is_many,
            metavar=field.metavar,
            callback=_given_once if name == "command" else None,
            help=field.help,
        )(command)
    return command


ENDS: Mapping[str, tuple[str, On, str]] = {
    "--after-end": ("job", On.END, "Runs after that job has ended, however; repeatable."),
    "--after-failure": ("job", On.FAILURE, "Runs after that job has died; repeatable."),
    "--after-batch": ("batch", On.SUCCESS, "Runs after all jobs of that batch have completed; repeatable."),
    "--after-batch-end": ("batch", On.END, "Runs after that batch has finished, however; repeatable."),
}
"""Options that stand for members of `after`: what they name, and its end."""


def _options_of_ends(command: Callable[..., None]) -> Callable[..., None]:
    for flag, (kind, _, help_) in reversed(list(ENDS.items())):
        command = click.option(flag, multiple=True, metavar="NAME" if kind == "batch" else "ID", help=help_)(command)
    return command


@click.command("enqueue", cls=EnqueueCommand, options_metavar="[OPTIONS]")
@click.argument("documents", metavar="-c COMMAND | -- PROG ARG… | JSON | @FILE | -", nargs=-1)
@_declared_options
@click.option("--on", multiple=True, metavar="HOST", help="The same as --needs host=HOST.")
@_options_of_ends
@pass_app
def enqueue(app: App, /, documents: Sequence[str], **options: object) -> None:
    """Add jobs to the queue.

    One job as a command line for the shell after -c, as a program and its arguments after `--`, which no shell will
    touch, or as a JSON document. A batch comes from @FILE or - (stdin), one document per line: all of it is stored,
    or nothing. An option wins over the field of the same name.

    Examples:
      queuectl enqueue -c 'zcat access.log.gz | wc -l'
      queuectl enqueue --timeout 1h -- rsync -a "My Files/" host:/backup
      queuectl enqueue --priority 9 --delay 30m '{"command": "make backup"}'
      queuectl enqueue @jobs.jsonl
      queuectl enqueue --key db-main --stdin @report.sql -- psql main
      queuectl enqueue --after nightly-backup -- rsync -a /backup host:/backup
      ls *.gz | jq -Rc '{command: ["gunzip", .]}' | queuectl enqueue -

    Fields: {fields}.

    In a pipe it prints the ids, one per line. JSON is an object for one job, and
    an array for a batch, @FILE or -, also where that has one line only.
    """
    fields = _fields(options)
    with _no_collections():
        lines = _lines(app, documents, fields.pop("command", None))
        if "id" in fields and len(lines) > 1:
            raise click.UsageError(f"--id is for one job, and the input has {len(lines):,}")
        requests = requests_of(lines, fields)
        added = _store(app, lines, requests)
        limited = [it.job for it, said in zip(added, requests, strict=True) if _is_limited(it, said)]
        _report(app, added, limited, is_batch=lines[0].number is not None)


enqueue.help = str(enqueue.help).replace(
    "{fields}", ", ".join(f"{name} ({field.remark})" if field.remark else name for name, field in FIELDS.items())
)


def _is_limited(added: Added, said: JobRequest) -> bool:
    """Say whether its time limit is the policy's."""
    return added.how is not Enqueued.EXISTING and bool(added.job.timeout) and "timeout" not in said


@contextmanager
def _no_collections() -> Iterator[None]:
    """No search for garbage in cycles: a batch makes none, and to look for it takes up to a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _lines(app: App, documents: Sequence[str], command: object) -> Sequence[Line]:
    """The jobs that are said by the option `command`, by what came after `--`, or by `documents`."""
    program: Sequence[str] | None = click.get_current_context().meta.get("queuectl.program")
    _refuse_mixed_forms(documents, program, command)
    if command is not None:
        return [Line(None, {"command": _in_utf8(str(command))})]
    if program is not None:
        return [_program(app, program)]
    return _documents(app, documents[0])


def _refuse_mixed_forms(documents: Sequence[str], program: Sequence[str] | None, command: object) -> None:
    """Raise UsageError unless the job, or the batch, is said in one way."""
    if documents and not looks_like_a_document(documents[0]):
        ctx = click.get_current_context()
        words = _words(ctx)
        if unquoted := _unquoted(ctx, words):
            raise command_without_quotes(unquoted, ctx)
        raise program_without_dashes(words or documents, ctx)
    forms = [*documents[:1], *(["-c"] if command is not None else []), *(["--"] if program is not None else [])]
    if len(forms) > 1:
        raise click.UsageError(f"'{forms[0]}' and {forms[1]} are two ways to say the job: give one, not both")
    if len(documents) > 1:
        raise click.UsageError(f"'{documents[1]}' is one too many: quote a JSON document as a whole")
    if not forms:
        ways = "-c and a command, -- and a program, a JSON document, @FILE or -"
        raise click.UsageError(f"nothing to enqueue: give {ways}")


def _documents(app: App, document: str) -> Sequence[Line]:
    if document == "-":
        if sys.stdin is None:
            raise click.UsageError("stdin is closed: there is nothing to read")
        if sys.stdin.isatty():
            app.note("reading JSON, one job per line, from the terminal; Ctrl-D ends it")
        return lines_of(sys.stdin.buffer.read())
    if document.startswith("@"):
        return lines_of(_content(document[1:]))
    return [Line(None, _in_utf8(document))]


def _program(app: App, program: Sequence[str]) -> Line:
    if not program:
        raise click.UsageError("after -- comes the program to run")
    if program[0].startswith("{"):
        raise click.UsageError("after -- comes a program, not JSON: leave the -- out")
    if any(character.isspace() for character in program[0]) and not Path(program[0]).exists():
        command = shlex.quote(shlex.join(program) if len(program) > 1 else program[0])
        app.note(
            f"warning: '{program[0]}' as a whole is taken for the name of a program: a shell command is -c {command}"
        )
    return Line(None, {"command": [_in_utf8(part) for part in program]})


def _content(path: str) -> bytes:
    try:
        return Path(_expanded(path)).read_bytes()
    except OSError as error:
        raise click.UsageError(f"cannot read the file '{path}': {error.strerror}") from error


def _fields(options: Mapping[str, object]) -> dict[str, object]:
    """The fields of a document that the options say."""
    fields = {name: value for name, value in options.items() if value is not None and value != ()}
    if hosts := fields.pop("on", ()):
        fields["needs"] = (*_texts(fields.get("needs", ())), *(f"host={host}" for host in _texts(hosts)))
    fields |= {name: _texts(fields[name]) for name in ("needs", "tags") if name in fields}
    if "key" in fields:
        fields["key"] = _in_utf8(str(fields["key"]))
    if "stdin" in fields:
        fields["stdin"] = _input(str(fields["stdin"]))
    is_unique_command = fields.pop("unique_command")
    if is_unique_command and "unique" in fields:
        raise click.UsageError("--unique and --unique-command are two ways to say the key: give one, not both")
    if is_unique_command:
        fields["unique"] = True
    elif "unique" in fields:
        fields["unique"] = _in_utf8(str(fields["unique"]))
    if after := _after(fields):
        fields["after"] = after
    if "cwd" in fields:
        fields["cwd"] = _absolute(str(fields["cwd"]))
    if isinstance(variables := fields.get("env"), tuple):
        fields["env"] = dict(_variable(each) for each in variables)
    return fields


def _texts(values: object) -> list[str]:
    """The values of an option that may be given more than once."""
    return [_in_utf8(str(each)) for each in values] if isinstance(values, tuple | list) else []


def _input(said: str) -> str:
    """The text that `--stdin` says, or that of the file."""
    return _content(said[1:]).decode(errors="surrogateescape") if said.startswith("@") else _in_utf8(said)


def _after(fields: dict[str, object]) -> Sequence[object]:
    """The member of `after` for each option that says one."""
    after: list[object] = []
    if isinstance(ids := fields.pop("after", ()), tuple):
        after += map(_in_utf8, ids)
    for flag, (kind, on, _) in ENDS.items():
        if isinstance(names := fields.pop(flag.removeprefix("--").replace("-", "_"), ()), tuple):
            after += [{kind: _in_utf8(name), "on": on} for name in names]
    return after


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.UsageError(f"--env takes NAME=VALUE, not '{text}'")
    return _in_utf8(name), _in_utf8(value)


def _store(app: App, lines: Sequence[Line], requests: Sequence[JobRequest]) -> Sequence[Added]:
    queue = app.queue_made_if_absent
    try:
        with _spinner(app, len(requests)):
            return enqueue_jobs(queue, requests, cwd=_here(requests))
    except DuplicateJob as error:
        if lines[0].number is None:
            raise
        raise _located(error, lines, requests) from error
    except UniqueKeyTaken as error:
        if lines[0].number is None:
            raise
        said = [f"line {lines[place].number}: {each}" for place, each in error.refused.items()]
        raise UniqueKeyTaken(dict(enumerate(_listed(said)))) from error


def _located(error: DuplicateJob, lines: Sequence[Line], requests: Sequence[JobRequest]) -> DuplicateJob | InvalidJob:
    """The error with the lines that give each id. A batch that has an id twice is wrong whatever the queue holds."""
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
    *first, last = numbers if len(numbers) <= MAX_PROBLEMS else (*numbers[:3], f"{len(numbers) - 3:,} more")
    return f"lines {', '.join(first)} and {last}"


def _listed(texts: Sequence[str]) -> Sequence[str]:
    more = len(texts) - MAX_PROBLEMS
    return [*texts[:MAX_PROBLEMS], f"and {more:,} more"] if more > 0 else texts


def _here(requests: Sequence[JobRequest]) -> str:
    """The directory for jobs that name none."""
    return "/" if all("cwd" in request for request in requests) else _absolute(".")


def _expanded(path: str) -> str:
    """The path with the home directory for its `~`: no shell expands it in `@~/jobs` and `--cwd=~/site`."""
    return os.path.expanduser(path)  # noqa: PTH111  # which leaves what it does not know as it is


def _absolute(directory: str) -> str:
    """The directory as seen from anywhere. Raises InvalidJob when the present one is gone."""
    directory = _expanded(directory)
    try:
        return _in_utf8(directory if directory.startswith("/") else str(_present() / directory))
    except OSError:
        problem = "cwd must be said: the present directory does not exist any more"
        raise InvalidJob([problem], hint="--cwd / would do for a command that does not care") from None


def _in_utf8(argument: str) -> str:
    """An argument of this program, which Python has read by the locale, as UTF-8; other bytes escaped (PEP 383)."""
    return os.fsencode(argument).decode(errors="surrogateescape")


def _present() -> Path:
    """The present directory by the name that the shell has for it, where that is right: links stay links.

    Raises OSError when it is gone.
    """
    physical, logical = Path.cwd(), Path(os.environ.get("PWD") or ".")
    return logical if logical.is_absolute() and logical.is_dir() and logical.samefile(physical) else physical


def _spinner(app: App, count: int) -> AbstractContextManager[object]:
    """A spinner on the terminal while a long batch is stored."""
    if count < LONG_BATCH or not app.out.is_table or not sys.stderr.isatty():
        return nullcontext()
    from queuectl.entrypoints.cli.terminal import spinner  # rich, which only a long batch needs

    return spinner(f"enqueueing {counted(count, 'job')}")


def _report(app: App, added: Sequence[Added], limited: Sequence[Job], *, is_batch: bool) -> None:
    """Say what was stored; `limited` are the jobs whose time limit is the policy's."""
    jobs = [it.job for it in added]
    parents = parents_of(app.queue_made_if_absent, jobs) if any(job.blockers for job in jobs) else {}
    views = (
        {**view_of(JOB, JobRow(it.job, after=parents.get(it.job.id, ()))), "enqueued": str(it.how)} for it in added
    )
    view = views if is_batch else next(views)
    app.out.done(view, said=lambda: [_sentence(added, limited)], ids=[it.job.id for it in added])
    if limited and not app.out.is_table:
        app.note(f"{_some([job.id for job in limited])}: {_limit(limited)}")
    _warn_if_unserved(app, jobs)


def _sentence(added: Sequence[Added], limited: Sequence[Job]) -> str:
    if len(added) > 1:
        return _sentence_of_many(added, limited)
    [(job, how)] = added
    if how is Enqueued.EXISTING:
        return f"{held_by(job) if job.unique_held else f'job {job.id} is there already'}: nothing was added"
    if how is Enqueued.NEW and job.state is State.CANCELLED:
        return f"enqueued job {job.id}, and cancelled it: it {job.last_error}"
    due = when(job, job.updated_at)
    if job.run_at > job.updated_at:
        due += f", at {local_moment(job.run_at)}"
    limit = f", {_limit(limited)}" if limited else ""
    said = f"(queue {job.queue}, priority {job.priority}, {due}{limit})"
    if how is Enqueued.REPLACED:
        return f"{held_by(job)}: it is now as this one {said}"
    return f"enqueued job {job.id} {said}"


def _sentence_of_many(added: Sequence[Added], limited: Sequence[Job]) -> str:
    ids = {how: list(dict.fromkeys(it.job.id for it in added if it.how is how)) for how in Enqueued}
    said = []
    if new := ids[Enqueued.NEW]:
        limit = f"; {counted(len(limited), 'job')}: {_limit(limited)}" if limited else ""
        said.append(f"enqueued {counted(len(new), 'job')}: {_some(new)}{limit}")
    if replaced := [job_id for job_id in ids[Enqueued.REPLACED] if job_id not in set(new)]:
        said.append(f"replaced {counted(len(replaced), 'job')}, which waited: {_some(replaced)}")
    if existing := sum(it.how is Enqueued.EXISTING for it in added):
        jobs = "1 job was" if existing == 1 else f"{existing:,} jobs were"
        said.append(f"{jobs} not added: others have the same unique key or id")
    return "; ".join(said)


def _some(ids: Sequence[str]) -> str:
    """The ids, the middle of many left out."""
    return ", ".join(ids) if len(ids) <= MAX_NAMED else f"{ids[0]} to {ids[-1]}"


def _limit(limited: Sequence[Job]) -> str:
    """The time limit that jobs have which say none."""
    timeout = limited[0].timeout
    return f"timeout {format_duration(timeout)}, from default-timeout" if timeout else ""


def _warn_if_unserved(app: App, jobs: Sequence[Job]) -> None:
    """Say so when no live worker takes jobs of their queues."""
    with suppress(DatabaseUnavailable):  # the jobs are stored
        for queue in unserved(app.queue_made_if_absent, {job.queue for job in jobs}):
            only = "" if queue == DEFAULT_QUEUE else f" --queue {queue}"
            app.note(f"no live worker serves queue {queue}: `queuectl worker start{only}` starts one")
        for queue, needs in unmet(app.queue_made_if_absent, {(job.queue, tuple(job.needs)) for job in jobs}):
            app.note(f"no live worker of queue {queue} has {' and '.join(needs)}: {_where(needs)}")


def _where(needs: Sequence[str]) -> str:
    """The way to a worker with these labels."""
    options = "".join(f" --label {label}" for label in needs if name_of(label) not in BUILT_IN)
    there = " on such a machine" if any(name_of(label) in BUILT_IN for label in needs) else ""
    return f"`queuectl worker start{options}`{there} starts one"
