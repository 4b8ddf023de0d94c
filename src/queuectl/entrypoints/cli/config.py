"""`queuectl config`: the queue's policy, which all hosts share, and the local settings of one user."""

from collections.abc import Sequence
from pathlib import Path

import click

from queuectl.application.operate.configure import set_setting, stored_settings, unset_setting
from queuectl.domain.errors import DatabaseUnavailable, InvalidSetting, QueueError
from queuectl.domain.policy import SETTINGS
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command, Group, QueueName
from queuectl.entrypoints.cli.config_file import change
from queuectl.entrypoints.cli.failures import WrongUsage
from queuectl.presentation.columns import SETTING, SettingRow
from queuectl.presentation.formatting import escaped
from queuectl.presentation.tables import Grid, settings_parts
from queuectl.presentation.views import plain_lines, setting_row, view_of
from queuectl.settings import (
    CONFIG,
    DEFAULT,
    LOCAL,
    InForce,
    Settings,
    config_file,
    has_password,
    in_force,
    storable,
    unknown_key,
)


class KeysCommand(Command):
    """A command whose help ends with all keys."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        """The keys of both kinds, each with what it may be."""
        for title, keys in (
            ("Keys of the queue, kept in its database for all workers and hosts", SETTINGS),
            (f"Keys of this user, kept in {config_file()}", LOCAL),
        ):
            with formatter.section(title):
                formatter.write_dl([(key, setting.range) for key, setting in keys.items()])
        formatter.write_paragraph()
        formatter.write_text("`queuectl config show` has their values and what they mean.")


class ConfigGroup(Group):
    """The group, which knows a key where somebody has left out `set` or `get`."""

    def wrong_command(self, ctx: click.Context, name: str) -> click.UsageError:
        """The usage error for a command that the group does not have."""
        key = name.partition("=")[0].replace("_", "-")
        if key not in SETTINGS and key not in LOCAL:
            return super().wrong_command(ctx, name)
        command = f"config set {key} VALUE"
        hint = f"`queuectl {command}` changes it, `queuectl config get {key}` prints it"
        return WrongUsage(f"no such command '{name}': did you mean '{command}'?", hint=hint, ctx=ctx)


@click.group("config", cls=ConfigGroup)
def config() -> None:
    """The settings: of the queue, which all workers on all hosts follow (retries, backoff, timeouts), and of this
    user on this machine (where the queue is, how output looks).

    Examples:
      queuectl config show
      queuectl config set max-retries 5
      queuectl config set db-path ~/jobs.db
    """


def _begun(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Sequence[str]:
    """The keys that begin so, for completion in a shell."""
    return [key for key in (*SETTINGS, *LOCAL) if key.startswith(incomplete)]


_queue_option = click.option(
    "--queue",
    metavar="QUEUE",
    type=QueueName(),
    callback=lambda _ctx, _param, name: name or "",
    help="Of this queue: its own settings win over those of all.",
)


@config.command("get")
@click.argument("key", required=False, shell_complete=_begun)
@_queue_option
@pass_app
def get(app: App, key: str | None, queue: str) -> int:
    """Print the value in force of KEY, or of all keys.

    Examples:
      queuectl config get max-retries
      queuectl config get max-retries --queue api
      queuectl config get db-path
      queuectl config get --output json
    """
    if key is None:
        return _get_all(app, queue)
    _ = app.out
    row = _row(app, key, queue)
    app.out.write(view_of(SETTING, row), plain=[[row.value]], table=lambda: [_text(row.value)])
    return 0


def _get_all(app: App, queue: str) -> int:
    policy, trouble = _policy(app, queue)
    values = {row.key: row.value for row in [*(policy or ()), *_local(app)]}
    grid = Grid(columns=["KEY", "VALUE"], rows=[(key, _text(value)) for key, value in values.items()])
    app.out.write(values, plain=values.items(), table=lambda: [grid], ids=values)
    return app.reporter.queue_error(trouble) if trouble else 0


@config.command("show", short_help="Show all settings, where each is from, and what it means.")
@_queue_option
@pass_app
def show(app: App, queue: str) -> int:
    """Show all settings: value, default, where the value is from, and what it means.

    The local settings are shown also where the database cannot be reached or
    does not exist; the exit code is 6 then.

    Examples:
      queuectl config show
      queuectl config show --queue api
      queuectl config show --output json

    Columns of the plain output: key, value, default, from, meaning.
    """
    policy, trouble = _policy(app, queue)
    local = [*_local(app), _config_file()]
    views = [None if rows is None else [view_of(SETTING, row) for row in rows] for rows in (policy, local)]
    app.out.write(
        dict(zip(("policy", "local"), views, strict=True)),
        plain=plain_lines(SETTING, [*(policy or ()), *local]),
        table=lambda: settings_parts(policy or (), local),
    )
    return app.reporter.queue_error(trouble) if trouble else 0


@config.command("set", cls=KeysCommand, context_settings={"ignore_unknown_options": True})
@click.argument("key", shell_complete=_begun)
@click.argument("value")
@_queue_option
@pass_app
def set_(app: App, key: str, value: str, queue: str) -> None:
    """Set KEY to VALUE. A key of the queue holds for all workers and hosts: workers take it up with their next job,
    but for the lease, which a worker takes at its start. With --queue it holds for the jobs of that queue alone. A
    key of this user goes into the config file, and opens no database; flags and variables win over it.

    Examples:
      queuectl config set max-retries 5
      queuectl config set default-timeout none
      queuectl config set --queue api max-retries 10
      queuectl config set db-path ~/jobs.db
    """
    if _is_local(key):
        _refuse_queue(key, queue)
        return _set_local(app, key, value)
    set_setting(app.queue, key, value, queue)
    return _report(app, _row(app, key, queue))


@config.command("unset", short_help="Put KEY back to its default.")
@click.argument("key", shell_complete=_begun)
@_queue_option
@pass_app
def unset(app: App, key: str, queue: str) -> None:
    """Put KEY back to its default: a key of the queue for all workers and hosts, one of this user in the config file.
    With --queue, what holds for all queues holds for that one again.

    Examples:
      queuectl config unset max-retries
      queuectl config unset --queue api max-retries
      queuectl config unset db-path
    """
    if _is_local(key):
        _refuse_queue(key, queue)
        change(config_file(), key, None)
        return _report(app, _row_after(app, key, "unset"))
    unset_setting(app.queue, key, queue)
    return _report(app, _row(app, key, queue))


def _refuse_queue(key: str, queue: str) -> None:
    if queue:
        raise InvalidSetting(
            f"{key} is a setting of this user, not of a queue", hint=f"`queuectl config set {key} VALUE`"
        )


def _is_local(key: str) -> bool:
    """Say whether it is a key of this user, not of the queue. Raises InvalidSetting when it is neither."""
    if key not in LOCAL and key not in SETTINGS:
        raise unknown_key("there is no setting", key, [*SETTINGS, *LOCAL])
    return key in LOCAL


def _row(app: App, key: str, queue: str) -> SettingRow:
    if _is_local(key):
        _refuse_queue(key, queue)
        return _local_row(key, in_force(**app.flags)[key])
    return setting_row(key, stored_settings(app.queue), queue)


def _policy(app: App, queue: str) -> tuple[Sequence[SettingRow] | None, DatabaseUnavailable | None]:
    """The settings of the queue, or what keeps them from being read."""
    try:
        stored = stored_settings(app.queue)
    except DatabaseUnavailable as error:
        error.message = f"the settings of the queue cannot be read: {error.message}"
        return None, error
    return [setting_row(key, stored, queue) for key in SETTINGS], None


def _report(app: App, row: SettingRow) -> None:
    origin = {DEFAULT: ", the default", "database": ""}.get(row.origin, f", from {_text(row.origin)}")
    said = [f"{row.key} is now {_text(row.value)}{origin}"]
    app.out.done(view_of(SETTING, row), plain=[[row.key, row.value]], said=lambda: said)


def _set_local(app: App, key: str, value: str) -> None:
    path, text = config_file(), storable(key, value)
    try:
        shown = _display_url(text) if key == "database-url" else text
    except DatabaseUnavailable as error:
        raise InvalidSetting(error.message, hint=error.hint) from None
    for other in change(path, key, text):
        app.note(f"note: {other} is removed from {_text(path)}: {key} replaces it")
    if key == "database-url" and has_password(text):
        app.note("hint: ~/.pgpass or PGPASSWORD is a better place for the password")
    found = _row_after(app, key, "set")
    is_in_force = found.origin == str(path)
    if not is_in_force:
        value = f"={_text(found.value)}" if found.origin == LOCAL[key].variable else ""
        app.note(f"note: {found.origin}{value} wins over it")
    said = f"{key} {'is now' if is_in_force else 'is set to'} {_text(shown)}, in {_text(path)}"
    view = view_of(SETTING, _local_row(key, InForce(text, str(path))))
    app.out.done(view, plain=[[key, shown]], said=lambda: [said])


def _row_after(app: App, key: str, done: str) -> SettingRow:
    """The setting in force for the next call, which has no flags, now that the file is changed."""
    try:
        _ = app.out
        return _local_row(key, in_force()[key])
    except QueueError as error:
        error.message = f"{key} is {done}, but {error.message}"
        raise


def _local(app: App) -> Sequence[SettingRow]:
    return [_local_row(key, found) for key, found in in_force(**app.flags).items()]


def _local_row(key: str, found: InForce) -> SettingRow:
    """One local setting, with the text in force, as a user may see it: no password in the URL."""
    chosen, text = LOCAL[key], found.text
    if key == "database-url":
        try:
            text = _display_url(text or "")
        except DatabaseUnavailable:
            text = None  # what cannot be parsed may be anything, a password too
    meaning = "; ".join(filter(None, (chosen.meaning, ", ".join(chosen.winners))))
    return SettingRow(key, text, chosen.default(), found.origin, chosen.range, meaning)


def _display_url(url: str) -> str:
    from queuectl.container import Container  # which the other keys do without: all adapters

    return str(Container(settings=Settings(database_url=url, log_dir=Path())).storage().name)


def _config_file() -> SettingRow:
    path, default = config_file(), config_file({})
    return SettingRow(
        key="config file",
        value=str(path),
        default=str(default),
        origin=DEFAULT if path == default else CONFIG,
        range="a path",
        meaning=f"the file of these settings; {CONFIG}{'' if path.exists() else '; there is none, and none is needed'}",
    )


def _text(value: object) -> str:
    return "" if value is None else escaped(str(value))
