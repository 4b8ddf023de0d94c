"""Makes docs/reference.md of the commands: `make reference`.

What the help of a command has no room for stands in `DETAILS`.
"""

import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import click

from queuectl.domain import errors
from queuectl.domain.errors import QueueError
from queuectl.domain.exit_codes import EXIT_CODES, FAILED, USAGE, exit_code_of
from queuectl.domain.policy import SETTINGS
from queuectl.entrypoints.cli.commands import GLOBAL_OPTIONS, Group
from queuectl.entrypoints.cli.help import SEVERAL
from queuectl.entrypoints.cli.program import program
from queuectl.presentation.columns import ATTEMPT, FINDING, JOB, METRICS, SETTING, TOTALS, WORKER, Result
from queuectl.settings import LOCAL

Row = TypeVar("Row")

WIDTH = 120

INTRODUCTION = """
All commands, with all options. `queuectl COMMAND --help` says the same; `queuectl help COMMAND` does too, and
`queuectl help TOPIC` says what concerns all commands. `queuectl` alone says how to begin. A **duration** is a number of
seconds or text such as `250ms`, `90s`, `1h30m`, `2d`.
"""

DETAILS: Mapping[str, str] = {
    "enqueue": """
A file may also hold one document on several lines. `--env` replaces the `env` of the document; in `--cwd` and `@FILE`,
`~` is expanded. `enqueue` says when a job that names no timeout gets the one of the policy, and when no live worker
serves its queue.

The working directory is the present one, by the name that the shell has for it (`PWD`, where that is right): a link
stays a link, so that a job enqueued in `current` runs in what `current` is by then.
""",
    "worker start": """
For people it prints how many run on this machine by then, and the path of their log on stderr. `--concurrency` suits
many short commands: one commit records what ends together. Without `--queue` the workers serve every queue, in one
common order. In the foreground a second Ctrl-C or SIGTERM, or SIGQUIT, stops by force; SIGUSR2 is graceful however
often it comes.
""",
    "worker stop": """
`--force` stops the commands and gives the jobs back to the queue: the attempt is `released` and costs no retry. The
command waits until the processes of the workers have ended too. Called again, it waits again: it never forces without
`--force`.

It needs no database: private files in `spool-dir` name the workers of the same user and the same `spool-dir`. A line
says so when the database does not answer within two seconds. A worker that a signal has frozen is named, and ends when
its lease does; `--force` kills what has not ended `kill-grace` and some seconds later, frozen workers and supervisors
too, with what their commands left.
""",
    "info": """
A table has the last 50 lines of the output. Plain output names the fields of attempts `history.1.outcome`.
""",
    "cancel": """
The rest of a command's processes are killed too, and then `cancel` says which signal it was. A job that fails by itself
before it is stopped is cancelled instead of tried again. When its worker is lost, a job is cancelled as soon as it is
taken back. The attempt's `error` says who asked.
""",
    "config": """
The origin of a value is `default`, `database`, a flag (`--output`), a variable (`QUEUECTL_OUTPUT`) or the path of the
config file.
""",
    "config get": """
Where the database cannot be reached, `get` without KEY gives the local settings, an error on stderr and exit code 6.
""",
    "config set": """
Checks the value as it is checked when it is read, makes a path absolute, and writes the config file: comments and order
stay, a new file is readable by its owner alone, a symbolic link stays one, and of two that write at once neither is
lost (a lock file `.config.toml.lock` lies beside it). `database-url` and `db-path` replace each other. A password in
`database-url` is stored, never shown; `~/.pgpass` or `PGPASSWORD` is a better place for it. When a variable wins over
what was set, a note on stderr says so.
""",
    "metrics": """
Waiting and run times are the median and the 95th percentile of the latest 100,000 attempts. `completed` counts jobs
each time that they completed, `dead` those that are dead still; `failed` counts attempts. A job that is removed is no
longer counted.
""",
    "drill": """
The drill enqueues jobs that write down what they do, runs workers with two commands at a time each, and for the given
time kills a worker or the supervisor (`kill -9`), freezes a worker for longer than its lease (`SIGSTOP`), and stops and
starts all of them, gracefully or by force. Then it waits until every job has ended, and compares the jobs' own ledger
and the process table with what the queue says. It signals only processes that it has started.

The scratch queue is removed also after Ctrl-C; not if the drill itself is killed: then a directory, and on PostgreSQL a
schema, named `queuectl-drill-…` or `queuectl_drill_…` may be left. `--seed` repeats the jobs and faults; which process
a fault finds depends on what runs then. The error names the broken promise, the job and the seed. Behind PgBouncer a
drill is refused: it needs the server's own URL. Processes are seen through `/proc`; without it `orphans` is `null`.
""",
    "doctor": """
Tries a write and rolls it back, and says who holds a lock that is in the way; that takes a few seconds at most. Before
the first job it warns that there is no queue yet.
""",
}
"""By command: what a reader needs beyond the help."""

JSON_RULES = """
Times are RFC 3339 in UTC with microseconds, durations are seconds. Every key is always there; keys are only ever added.
A command that is about one thing gives an object always: `enqueue` of one job, `info`, `status`, `metrics`, `config`,
`init`, `doctor`, `drill`, `transfer`, `worker start`, `worker stop`. One that takes many gives an array always, also of
one or of none: `enqueue @FILE` and `-`, `list`, `cancel`, `retry`, `dlq`, `worker status`.
"""


def _keys(result: Result[Row]) -> str:
    return ", ".join(f"`{column.key}`" for column in result.columns if not column.for_people) + "."


DOCUMENTS: Sequence[tuple[str, str, str]] = (
    (
        "A job (`enqueue`, `list`, `cancel`, `retry`, `dlq list`, `dlq retry`, `info`)",
        _keys(JOB),
        """
`attempts` counts the runs started, `failures` those that count against `max_retries`, `losses` those whose worker was
lost when they ran alone. `worker_lost`: it runs, and its worker is lost. `cancel_requested_at` and
`cancel_requested_by` say when an operator asked to cancel it, and who: also while it still runs. `suspect`: it runs
apart from other jobs, because its worker was lost and it has not ended by itself since. Bytes of output that are not
UTF-8 are replaced.
""",
    ),
    (
        "An attempt (`history` of `info`)",
        _keys(ATTEMPT),
        """
`late` is what a worker reported after the job had been taken from it.
""",
    ),
    (
        "A worker (`workers` of `status`, `worker status`)",
        _keys(WORKER),
        """
A worker is `lost` when its lease is over, or when it ran on this machine and its process has ended; its `state` is what
it said last. Tables and plain output show `lost` in the place of that. `status` has beside `workers` the keys `jobs`, a
number for each state, and `at`.
""",
    ),
    (
        "`metrics`",
        _keys(METRICS),
        """
`wait` and `run` have `p50` and `p95`, `retries` has `completed_after_retry` and `most_attempts`, `attempts` a number
for each outcome. With `--detailed` there are also `workers` and `queues`.
""",
    ),
    ("What a worker or a queue did (`metrics --detailed`)", _keys(TOTALS), ""),
    (
        "A setting (`config get KEY`, `set`, `unset`)",
        _keys(SETTING),
        """
`config show` has `policy` and `local`, a list of settings each; `policy` is `null` where the database cannot be
reached. The `value` of `db-path` is `null` when the queue is on PostgreSQL.
""",
    ),
    ("A finding (`findings` of `doctor`, beside `ok`)", _keys(FINDING), ""),
    (
        "Other results",
        "",
        """
**`worker start`**: `supervisor_pid`, `log`, `workers` (`pid`, `id`), `running` (the workers of this machine by then).
**`worker stop`**: `stopped` (false when `--timeout` ran out), `forced`, `workers` (`pid`, `id`, `jobs` when it began),
`taken_back` (ids of the jobs of workers that had died), `elsewhere` (workers on other machines); `jobs` and `elsewhere`
are null when the database does not answer. **`dlq remove`**: objects with the `id`. **`init`**: `database`, `changed`,
`message`. **`transfer`**: `from`, `to`, `jobs`, `tables` (`table`, `rows`, `checksum`).

**`drill`**: `seed`, `for`, `workers`, `jobs`, `attempts`, `runs` (starts in the ledger), `lost`, `overlaps`, `orphans`,
`unexplained`, `slowest_rescue` (from the fault to the moment when the last job was taken back), `faults` (a number for
each kind), `broken` (`promise`, `job`, `message`), `kept` (the directory, with `--keep`).
""",
    ),
)
"""The JSON documents: what they describe, their columns, and what the keys do not say themselves."""


def reference() -> str:
    """The page, in Markdown."""
    # A command keeps the names of the help option from the first context that it meets.
    ctx = click.Context(program, info_name="queuectl", **program.context_settings)
    sections = [
        "# Reference",
        "<!-- Made of the commands by `make reference`: change those. -->",
        INTRODUCTION,
        *_global_options(ctx),
        "## Commands",
        *_commands(ctx),
        *_settings(),
        *_json(),
        *_exit_codes(),
    ]
    return "\n\n".join(section.strip("\n") for section in sections if section) + "\n"


def _global_options(ctx: click.Context) -> Iterator[str]:
    yield "## Global options"
    yield "Every command takes these options, before or after its name. A flag wins over a variable."
    yield _options(ctx, GLOBAL_OPTIONS)
    yield _filled(program.epilog or "")


def _commands(ctx: click.Context) -> Iterator[str]:
    """A section for each command of a group, and for those of the groups in it; an alias is named, not repeated."""
    group, names = ctx.command, dict[int, list[str]]()
    if not isinstance(group, Group):
        return
    commands = {name: command for name in group.list_commands(ctx) if (command := group.get_command(ctx, name))}
    for name, command in commands.items():
        names.setdefault(id(command), []).append(name)
    for name, *aliases in names.values():
        below = click.Context(commands[name], info_name=name, parent=ctx)
        yield from _command(below, [f"{ctx.command_path} {alias}" for alias in aliases])
        yield from _commands(below)


def _command(ctx: click.Context, aliases: Sequence[str]) -> Iterator[str]:
    command = ctx.command
    yield f"### {ctx.command_path}"
    yield f"```\n{' '.join([ctx.command_path, *command.collect_usage_pieces(ctx)])}\n```"
    if aliases:
        yield f"Also: {', '.join(f'`{alias}`' for alias in aliases)}."
    yield from _paragraphs(inspect.cleandoc(command.help or ""))
    yield _options(ctx, [param for param in command.params if isinstance(param, click.Option)])
    yield DETAILS.get(ctx.command_path.partition(" ")[2], "")


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs, filled; those with indented lines are examples."""
    for paragraph in text.split("\n\n"):
        first, _, rest = paragraph.partition("\n")
        if rest.startswith("  "):
            yield f"{first}\n\n```sh\n{textwrap.dedent(rest)}\n```"
        else:
            yield _filled(paragraph)


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def _options(ctx: click.Context, options: Sequence[click.Parameter]) -> str:
    records = [record for option in options if (record := option.get_help_record(ctx))]
    return _table(("option", "means"), [(f"`{flags}`", " ".join(means.split())) for flags, means in records])


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, or nothing where it has no rows."""
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def _settings() -> Iterator[str]:
    yield "## Settings"
    yield "Settings of the queue, kept in its database for all workers and hosts:"
    rows = [(f"`{key}`", f"`{it.default}`", it.range, it.meaning) for key, it in SETTINGS.items()]
    yield _table(("key", "default", "range", "means"), rows)
    yield "Local settings, of this user on this machine. A flag wins over a variable, a variable over the config file:"
    local = [
        (f"`{key}`", ", ".join(f"`{name}`" for name in it.winners), it.range, it.meaning) for key, it in LOCAL.items()
    ]
    yield _table(("key", "flag, variable", "range", "means"), local)
    yield "`QUEUECTL_CONFIG` names another config file."


def _json() -> Iterator[str]:
    yield "## JSON"
    yield JSON_RULES
    for title, keys, words in DOCUMENTS:
        yield f"### {title}"
        yield _filled(keys)
        yield words


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes"
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, QueueError)]
    codes: dict[int, dict[str, None]] = {USAGE: {"usage": None}, FAILED: {"failed": None}}
    for kind in kinds:
        codes.setdefault(exit_code_of(kind), {})[kind.code] = None
    rows = [
        (str(row.code), " ".join(row.meaning.split()), ", ".join(f"`{code}`" for code in codes.get(row.code, ())))
        for row in EXIT_CODES
    ]
    yield _table(("exit code", "means", "code in JSON"), rows)
    yield _filled(SEVERAL)
    yield _filled(
        'An error is an object on stderr: `{"error": {"code": …, "message": …, "hint": …}}`, for a bad document also '
        "`problems`, a list. After `commit_unknown` the change may or may not have been made: the connection broke "
        "during the commit. After the other errors nothing was changed."
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())
