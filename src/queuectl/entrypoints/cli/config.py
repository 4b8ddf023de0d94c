"""`queuectl config`: the queue's policy, which lives in the database so that all hosts agree."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Group

if TYPE_CHECKING:
    from queuectl.entrypoints.cli.views import View


@click.group("config", cls=Group)
def config() -> None:
    """The settings of the queue: retries, backoff, timeouts. All workers on all hosts follow them.

    Examples:
      queuectl config show
      queuectl config set max-retries 5
    """


@config.command("get")
@click.argument("key", required=False)
@pass_app
def get(app: App, key: str | None) -> None:
    """Print the value of KEY, or of all keys.

    Examples:
      queuectl config get max-retries
      queuectl config get --output json
    """
    from queuectl.domain.policy import SETTINGS, setting
    from queuectl.entrypoints.cli.tables import Grid
    from queuectl.entrypoints.cli.views import setting_view

    stored = app.queue.settings()
    if key is not None:
        setting(key)
        view = setting_view(key, stored)
        app.out.write(view, plain=[[view["value"]]], table=lambda: [str(view["value"])])
        return
    values = {key: stored.get(key, SETTINGS[key].default) for key in SETTINGS}
    grid = Grid(columns=["KEY", "VALUE"], rows=list(values.items()))
    app.out.write(values, plain=values.items(), table=lambda: [grid], ids=values)


@config.command("show")
@pass_app
def show(app: App) -> None:
    """Show all settings: value, default, where the value is from, and what it means; and those of this machine.

    Examples:
      queuectl config show
      queuectl config show --output json

    Columns of the plain output: key, value, default, from, meaning.
    """
    from queuectl.domain.policy import SETTINGS
    from queuectl.entrypoints.cli.tables import Grid, settings_grid
    from queuectl.entrypoints.cli.views import setting_view

    stored = app.queue.settings()
    policy = [setting_view(key, stored) for key in SETTINGS]
    local = _local(app)
    plain = [[view[key] for key in ("key", "value", "default", "from", "meaning")] for view in policy]
    plain += [[view["key"], view["value"], None, "local", view["meaning"]] for view in local]
    grid = Grid(columns=["LOCAL", "", ""], rows=[[str(cell) for cell in view.values()] for view in local], wrap=True)
    app.out.write({"policy": policy, "local": local}, plain=plain, table=lambda: [settings_grid(policy), "", grid])


@config.command("set", context_settings={"ignore_unknown_options": True})
@click.argument("key")
@click.argument("value")
@pass_app
def set_(app: App, key: str, value: str) -> None:
    """Set KEY to VALUE, for all workers and hosts. Workers take it up with
    their next job, but for the lease, which a worker takes at its start.

    Examples:
      queuectl config set max-retries 5
      queuectl config set default-timeout 1h30m
      queuectl config set default-timeout none
    """
    app.queue.set(key, value)
    _tell(app, key)


@config.command("unset")
@click.argument("key")
@pass_app
def unset(app: App, key: str) -> None:
    """Put KEY back to its default.

    Example:
      queuectl config unset max-retries
    """
    app.queue.unset(key)
    _tell(app, key)


def _tell(app: App, key: str) -> None:
    from queuectl.entrypoints.cli.views import setting_view

    view = setting_view(key, app.queue.settings())
    origin = ", the default" if view["from"] == "default" else ""
    app.out.done(view, plain=[[key, view["value"]]], said=lambda: [f"{key} is now {view['value']}{origin}"])


def _local(app: App) -> "Sequence[View]":
    from queuectl.domain.duration import format_duration
    from queuectl.settings import config_file

    settings = app.settings
    path = config_file()
    rows = (
        ("database-url", app.storage.name, "--database-url, QUEUECTL_DATABASE_URL"),
        ("busy-timeout", format_duration(settings.busy_timeout), "QUEUECTL_BUSY_TIMEOUT"),
        ("output", settings.output, "--output, QUEUECTL_OUTPUT"),
        ("color", settings.color, "--color, QUEUECTL_COLOR, NO_COLOR, FORCE_COLOR"),
        ("log-dir", settings.log_dir, "QUEUECTL_LOG_DIR"),
        ("spool-dir", settings.spool_dir, "QUEUECTL_SPOOL_DIR"),
        (
            "config file",
            path,
            "QUEUECTL_CONFIG" + ("" if path.exists() else "; there is no such file, and none is needed"),
        ),
    )
    return [{"key": key, "value": str(value), "meaning": meaning} for key, value, meaning in rows]
