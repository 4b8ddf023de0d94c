"""`queuectl queue`: what waits in each queue, limits and settings of one, pauses; jobs moved to another."""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import click

from queuectl.application.operate.cancel import is_watched_by_others
from queuectl.application.operate.queues import (
    QueueNow,
    find_queue,
    forget_queue,
    look_at,
    move_jobs,
    pause_queue,
    queues_of,
    resume_queue,
    running_in,
    set_queue,
    unset_queue,
)
from queuectl.domain.errors import nearest
from queuectl.domain.job import CLAIMABLE, State
from queuectl.domain.policy import SETTINGS
from queuectl.domain.queues import EVERY, LIMITS, QueueSettings
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command, Duration, Group, QueueName
from queuectl.presentation.columns import QUEUE, until_words
from queuectl.presentation.formatting import counted
from queuectl.presentation.tables import queue_parts, queues_grid
from queuectl.presentation.views import flat, plain_lines, view_of

PAUSE_BETWEEN_LOOKS = 0.5
"""Seconds between two looks whether something still runs."""

WAITING_STATES = [str(state) for state in State if state in CLAIMABLE]


class KeysCommand(Command):
    """A command whose help ends with the keys of a queue."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        """The keys that a queue has, each with what it may be."""
        policy = {key: it for key, it in SETTINGS.items() if not it.for_all}
        for title, keys in (("Limits", LIMITS), ("Keys of the policy, which win over those of all queues", policy)):
            with formatter.section(title):
                formatter.write_dl([(key, f"{it.range}: {it.meaning}") for key, it in keys.items()])


@click.group("queue", cls=Group)
def queue() -> None:
    """The queues: what waits in each, how many of its jobs run at a time, and since when it is paused.

    A queue needs no creation: it is there with its first job, setting or worker.

    Examples:
      queuectl queue list
      queuectl queue set api rate=100/1m concurrency=8
      queuectl queue pause api --for 30m
    """


@queue.command("list", short_help="List the queues, and why nothing starts in them.")
@pass_app
def list_queues(app: App) -> None:
    """List the queues: what waits and runs in each, and why nothing starts.

    Examples:
      queuectl queue list
      queuectl queue list --output json | jq '.[] | select(.paused).queue'

    Columns of the plain output: queue, waiting, due, running, concurrency, rate, state.
    """
    queues = queues_of(app.queue)
    table = [queues_grid(queues)] if queues else ["there is no queue yet: `queuectl enqueue` adds a job"]
    app.out.write(
        [view_of(QUEUE, it) for it in queues],
        plain=plain_lines(QUEUE, queues),
        table=lambda: table,
        ids=[it.name for it in queues],
    )


@queue.command("show", short_help="Show one queue: limits, settings, pause, jobs.")
@click.argument("name", metavar="QUEUE", type=QueueName())
@pass_app
def show(app: App, name: str) -> None:
    """Show one queue: its limits and settings, its pause, what waits and runs, and how many workers serve it.

    Examples:
      queuectl queue show api
      queuectl queue show api --output json | jq .next_start_at

    Plain output has a name and a value on each line.
    """
    found = find_queue(app.queue, name)
    view = view_of(QUEUE, found)
    app.out.write(view, plain=flat(view), table=lambda: queue_parts(found), ids=[name])


@queue.command("set", cls=KeysCommand, short_help="Limit a queue, or give it settings of its own.")
@click.argument("name", metavar="QUEUE", type=QueueName())
@click.argument("said", metavar="KEY=VALUE…", nargs=-1, required=True)
@pass_app
def set_(app: App, name: str, said: Sequence[str]) -> None:
    """Limit a queue: the jobs of it that run at a time, and that start in a span of time, on all hosts together. Or
    have it follow its own policy. All of it holds at once; jobs that run go on.

    Examples:
      queuectl queue set gpu concurrency=2
      queuectl queue set api rate=100/1m concurrency=8 max-retries=5
      queuectl queue set gpu reserved=true
    """
    changed = set_queue(app.queue, name, _pairs(said))
    now = look_at(app.queue, name)
    _tell_if_unknown(app, now)
    _report_settings(app, now, changed)


@queue.command("unset", cls=KeysCommand, short_help="Remove limits of a queue, or settings of its own.")
@click.argument("name", metavar="QUEUE", type=QueueName())
@click.argument("keys", metavar="KEY…", nargs=-1, required=True)
@pass_app
def unset(app: App, name: str, keys: Sequence[str]) -> None:
    """Remove limits of a queue, and settings of its own: those of all queues hold for it again.

    Examples:
      queuectl queue unset api rate
      queuectl queue unset api max-retries default-timeout
    """
    changed = unset_queue(app.queue, name, dict.fromkeys(keys))
    _report_settings(app, look_at(app.queue, name), changed)


def _of_queue_or_all(command: Callable[..., object]) -> Callable[..., object]:
    command = click.option("--all", "all_", is_flag=True, help="All queues, also those that are not there yet.")(
        command
    )
    return click.argument("name", metavar="[QUEUE]", required=False, type=QueueName())(command)


@queue.command("pause", short_help="Have no job of a queue, or of all, start.")
@_of_queue_or_all
@click.option("--for", "span", type=Duration(), metavar="DURATION", help="It ends by itself after so long.")
@click.option("--until", metavar="TIME", help="It ends at that moment: ISO 8601; without an offset, local time.")
@click.option("--reason", metavar="TEXT", help="Why, for those who look.")
@click.option("--wait", is_flag=True, help="Return when none of its jobs runs any more.")
@pass_app
def pause(
    app: App, name: str | None, all_: bool, span: timedelta | None, until: str | None, reason: str | None, wait: bool
) -> None:
    """Have no job of a queue start, on any host, until it is resumed or the pause ends by itself. Jobs that run go on,
    and new ones are taken and wait. A queue may be paused before its first job. One that is paused already keeps the
    moment since when; the rest is as said now. `queuectl pause` is the same.

    Examples:
      queuectl queue pause api --for 30m --reason "API maintenance"
      queuectl pause --all --wait
    """
    chosen = _chosen(name, all_)
    end = _end(app, span, until)
    _report_paused(app, pause_queue(app.queue, chosen, until=end, reason=reason), wait=wait)


@queue.command("drain", short_help="Pause a queue, and wait until nothing runs.")
@click.argument("name", metavar="QUEUE", type=QueueName())
@pass_app
def drain(app: App, name: str) -> None:
    """Pause a queue, and wait until none of its jobs runs: the same as `queue pause QUEUE --wait`.

    Examples:
      queuectl queue drain api
    """
    _report_paused(app, pause_queue(app.queue, name), wait=True)


@queue.command("resume", short_help="Open a queue again, or all.")
@_of_queue_or_all
@pass_app
def resume(app: App, name: str | None, all_: bool) -> None:
    """Open a queue that is paused: its jobs start at once. With --all the pause of all ends, and queues that were
    paused by their names stay so. `queuectl resume` is the same.

    Examples:
      queuectl queue resume api
      queuectl resume --all
    """
    chosen = _chosen(name, all_)
    was_paused = resume_queue(app.queue, chosen)
    queues, what = _those_of(app, chosen), _words(chosen)
    were = "were" if chosen == EVERY else "was"
    said = f"resumed {what}: {_waiting(queues)}" if was_paused else f"{what} {were} not paused"
    _done(app, chosen, queues, said)
    for each in queues:
        if each.pause is not None:
            name = each.name if each.settings.is_paused(each.at) else "--all"
            app.note(f"note: queue {each.name} is still paused: `queuectl resume {name}`")


@queue.command("move", short_help="Move the waiting jobs to another queue.")
@click.argument("name", metavar="QUEUE", type=QueueName())
@click.option("--to", required=True, metavar="QUEUE", type=QueueName(), help="The queue that they come to.")
@click.option("--state", type=click.Choice(WAITING_STATES), help="Only those in this state.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@pass_app
def move(app: App, name: str, to: str, state: str | None, yes: bool) -> None:
    """Move the jobs that wait in a queue to another one, whose limits hold for them from then on. Those that run stay.

    Examples:
      queuectl queue move api --to api-slow
      queuectl queue move api --to api-slow --state failed --yes
    """
    if name == to:
        raise click.UsageError(f"the jobs are in queue {name} already")
    states = [State(state)] if state else sorted(CLAIMABLE)
    found = find_queue(app.queue, name)
    count = sum(found.jobs(each) for each in states)
    if not yes:
        _confirm(f"Move {counted(count, 'job')} from queue {name} to queue {to}?", is_needed=count > 0)
    moved = move_jobs(app.queue, name, to, states)
    now = look_at(app.queue, to)
    said = f"moved {counted(moved, 'job')} from queue {name} to queue {to}: {_waiting([now])} there"
    app.out.done({"moved": moved, "from": name, "to": to}, plain=[[moved]], said=lambda: [said], ids=[to])
    if moved and now.pause is not None:
        app.note(f"note: queue {to} is paused: `queuectl queue resume {to}`")


@queue.command("forget", short_help="Remove all settings of a queue that is empty.")
@click.argument("name", metavar="QUEUE", type=QueueName())
@pass_app
def forget(app: App, name: str) -> None:
    """Remove the limits, settings and pause of a queue in which nothing waits or runs. Jobs that have ended stay.

    Examples:
      queuectl queue forget old-reports
    """
    forget_queue(app.queue, name)
    said = f"forgot queue {name}: it has no limits, settings or pause any more"
    app.out.done({"queue": name}, plain=[[name]], said=lambda: [said], ids=[name])


def _pairs(said: Sequence[str]) -> Mapping[str, str]:
    pairs = [each.partition("=") for each in said]
    if wrong := [key for key, sign, _ in pairs if not sign]:
        raise click.UsageError(f"'{wrong[0]}' has no value: say KEY=VALUE, such as concurrency=2")
    return {key: value for key, _, value in pairs}


def _chosen(name: str | None, all_: bool) -> str:
    if (name is not None) is all_:
        raise click.UsageError("give the name of a queue, or --all")
    return name or EVERY


def _end(app: App, span: timedelta | None, until: str | None) -> datetime | None:
    """The moment at which the pause ends by itself, if it does."""
    if span is not None and until is not None:
        raise click.UsageError("--for and --until exclude each other")
    now = app.queue.clock()
    if until is None:
        return now + span if span else None
    from queuectl.domain.document import parse_moment  # the job document, which the other commands do without
    from queuectl.entrypoints.cli.batch import LOCAL_TIME  # the same

    try:
        end = parse_moment(until, LOCAL_TIME)
    except ValueError as error:
        raise click.UsageError(f"--until {error}") from None
    if end <= now:
        raise click.UsageError(f"--until must be a moment to come, not {until}")
    return end


def _those_of(app: App, chosen: str) -> Sequence[QueueNow]:
    return queues_of(app.queue) if chosen == EVERY else [look_at(app.queue, chosen)]


def _words(chosen: str) -> str:
    return "all queues" if chosen == EVERY else f"queue {chosen}"


def _waiting(queues: Sequence[QueueNow]) -> str:
    count = sum(it.waiting for it in queues)
    return f"{counted(count, 'job')} {'waits' if count == 1 else 'wait'}"


def _report_paused(app: App, settings: QueueSettings, *, wait: bool) -> None:
    """Say that it is paused, and what waits and runs; with `wait` when nothing runs any more."""
    chosen, until = settings.name, settings.pause.until if settings.pause else None
    said = f"paused {_words(chosen)}" + (f" until {until_words(until, app.queue.clock())}" if until else "")
    if chosen != EVERY:
        _tell_if_unknown(app, look_at(app.queue, chosen))
    if wait:
        _wait_until_none_runs(app, chosen)
    queues = _those_of(app, chosen)
    said += f": {_waiting(queues)}, "
    if running := sum(it.running for it in queues):
        word, them = ("runs", "it") if running == 1 else ("run", "them")
        name = "--all" if chosen == EVERY else chosen
        said += f"{running:,} {word} on (`queuectl pause {name} --wait` waits for {them})"
    else:
        said += "none runs"
    _done(app, chosen, queues, said)


def _wait_until_none_runs(app: App, chosen: str) -> None:
    """Wait for the ends of its jobs; where no other worker would take them back from a lost one, this command does."""
    try:
        while running := running_in(app.queue, chosen):
            app.pause(PAUSE_BETWEEN_LOOKS)
            if not is_watched_by_others(app.queue, running[0]):
                app.rescue()
    except KeyboardInterrupt:
        app.note(f"no longer waiting; {_words(chosen)} {'stay' if chosen == EVERY else 'stays'} paused")
        raise


def _tell_if_unknown(app: App, now: QueueNow) -> None:
    """Say so of a queue that has no job: its name may be a mistake."""
    if now.backlog:
        return
    others = [it.name for it in queues_of(app.queue) if it.name != now.name and it.backlog]
    near = nearest(now.name, others, likeness=0.7)
    if near:
        app.note(f"note: no job waits or runs in queue {now.name}; there is a queue {near}")


def _report_settings(app: App, now: QueueNow, changed: Mapping[str, tuple[str, str]]) -> None:
    said = ", ".join(
        f"{key} {text}" + (f" (was: {before})" if before != text else "") for key, (text, before) in changed.items()
    )
    if "concurrency" in changed:
        said += f"; {now.running:,} {'runs' if now.running == 1 else 'run'} now"
    _done(app, now.name, [now], f"queue {now.name}: {said}")


def _done(app: App, chosen: str, queues: Sequence[QueueNow], said: str) -> None:
    views = [view_of(QUEUE, it) for it in queues]
    app.out.done(
        views if chosen == EVERY else views[0],
        plain=plain_lines(QUEUE, queues),
        said=lambda: [said],
        ids=[it.name for it in queues],
    )


def _confirm(question: str, *, is_needed: bool) -> None:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("this moves jobs: without a terminal to ask on, give --yes too")
    if is_needed:
        click.confirm(question, abort=True, err=True)
