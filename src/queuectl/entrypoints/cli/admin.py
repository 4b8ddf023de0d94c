"""`queuectl init` and `doctor`: the database and this installation."""

import platform
from collections.abc import Sequence

import click

from queuectl import __version__
from queuectl.application.operate.inspect import status_of, unserved_due
from queuectl.domain.errors import DatabaseUnavailable, InvalidSetting
from queuectl.domain.exit_codes import DONE, FAILED
from queuectl.domain.ports.storage import Finding, Grade
from queuectl.entrypoints.cli.app import App, pass_app
from queuectl.entrypoints.cli.commands import Command
from queuectl.presentation.columns import FINDING
from queuectl.presentation.formatting import counted
from queuectl.presentation.tables import findings_grid
from queuectl.presentation.views import findings_view, lost_sentence, plain_lines
from queuectl.settings import config_file


@click.command("init", cls=Command)
@pass_app
def init(app: App) -> None:
    """Create the queue's database, or bring it up to date after an upgrade; nothing happens if it is already.

    A SQLite file needs no init: the first enqueue or worker start makes it.
    PostgreSQL does, and so does either after an upgrade.

    Examples:
      queuectl init
      queuectl init --database-url postgresql://queue@db.example/queue
    """
    out, storage = app.out, app.storage
    done = storage.initialise()
    message = done or f"{storage.name} is up to date; there was nothing to do"
    view = {"database": storage.name, "changed": done is not None, "message": message}
    out.done(view, plain=[[message]], said=lambda: [message])


@click.command("doctor", cls=Command)
@pass_app
def doctor(app: App) -> int:
    """Check the database and this installation. The exit code is 1 if something is broken.

    Examples:
      queuectl doctor
      queuectl doctor --output json | jq '.findings[] | select(.grade != "ok")'

    Columns of the plain output: grade (ok, warn, fail), subject, message, hint.
    """
    findings = [*_local_findings(app), app.container.examine_containment(), *_directory_findings(app)]
    findings += app.storage.examine()
    if not any(finding.grade is Grade.FAIL or _is_no_queue(finding) for finding in findings):
        findings += _worker_findings(app)
    view = findings_view(findings)
    app.out.write(view, plain=plain_lines(FINDING, findings), table=lambda: [findings_grid(findings)])
    return DONE if view["ok"] else FAILED


def _is_no_queue(finding: Finding) -> bool:
    """Say whether it is about a queue that does not exist yet, and so has no workers to look for."""
    return finding.subject == "database" and finding.grade is Grade.WARN


def _directory_findings(app: App) -> Sequence[Finding]:
    try:
        return list(app.container.examine_directories())
    except InvalidSetting as error:  # HOME is unknown, and so is where they are
        return [Finding(subject="directories", grade=Grade.FAIL, message=error.message, hint=error.hint)]


def _worker_findings(app: App) -> Sequence[Finding]:
    """Findings about who does the work. A queue that nobody works on is not broken: its workers may start tonight."""
    try:
        status, unserved = status_of(app.queue), unserved_due(app.queue)
    except DatabaseUnavailable as error:
        return [Finding(subject="workers", grade=Grade.FAIL, message=error.message, hint=error.hint)]
    findings = [
        Finding(subject="workers", grade=Grade.WARN, message=lost_sentence(lost)) for lost in status.lost.values()
    ]
    for queue, count in unserved.items():
        message = (
            f"{counted(count, 'job')} of queue {queue} {'is' if count == 1 else 'are'} due, and no worker serves it"
        )
        hint = f"`queuectl worker start --queue {queue}` starts one"
        findings.append(Finding(subject="workers", grade=Grade.WARN, message=message, hint=hint))
    running = counted(len(status.workers) - len(status.lost), "worker")
    return findings or [Finding(subject="workers", grade=Grade.OK, message=f"{running}, and no due job waits in vain")]


def _local_findings(app: App) -> Sequence[Finding]:
    path = config_file()
    found = f"read from {path}" if path.exists() else f"none, and none is needed; it would be {path}"
    about = {
        "queuectl": f"{__version__} on Python {platform.python_version()}, {platform.system()} {platform.release()}",
        "config file": found,
        "database URL": app.storage.name,
    }
    return [Finding(subject=subject, grade=Grade.OK, message=message) for subject, message in about.items()]
