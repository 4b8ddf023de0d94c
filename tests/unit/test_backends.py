"""A kind of database is one folder and one line: a toy proves it, in a copy of the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import queuectl

SOURCE = Path(queuectl.__file__).parent

TOY = '''"""A toy: an SQLite file, by a scheme of its own."""

from datetime import timedelta

from queuectl.domain.ports.work import Claim
from queuectl.adapters.sql import sqlite
from queuectl.adapters.sql.backend import Backend


def backend(url: str, *, patience: timedelta) -> Backend:
    """The file of that URL."""
    made = sqlite.backend(url.replace("toy", "sqlite", 1), patience=patience)
    return made._replace(location=f"toy {made.location}", shareable_url=lambda: url)
'''
"""The folder's only file."""

LIFE_OF_A_JOB = """if True:
    import sys
    from datetime import timedelta
    import queuectl
    from queuectl.application.operate.enqueue import enqueue_jobs
    from queuectl.application.operate.inspect import find_job
    from queuectl.container import Container
    from queuectl.domain.ports.work import Claim
    from queuectl.domain.worker import Lease
    from queuectl.settings import load_settings
    from tests.builders import a_worker

    container = Container(settings=load_settings(database_url=sys.argv[1]))
    container.storage().open(create=True)
    [job] = enqueue_jobs(container.queue(), [{"command": "true"}], cwd="/")
    container.workers().register(a_worker("w-1", started_at=container.clock()()))
    lease = Lease(id="1" * 32, worker="w-1")
    runs = container.work().claim(Claim(lease, queues=(), limit=2, at=container.clock()() + timedelta(seconds=1)))
    assert [run.job.id for run in runs] == [job.id]
    found = find_job(container.queue(), job.id)
    container.storage().close()
    print(queuectl.__file__, container.backend().location, found.state, sep="\\n")
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package with the toy in it."""
    package = tmp_path / "copy" / "queuectl"
    shutil.copytree(SOURCE, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "adapters" / "sql" / "toy").mkdir()
    (package / "adapters" / "sql" / "toy" / "__init__.py").write_text(TOY)
    settings = package / "settings.py"
    with_the_toy = settings.read_text().replace("\nSCHEMES = {", '\nSCHEMES = {"toy": "toy", ')
    assert with_the_toy != settings.read_text()
    settings.write_text(with_the_toy)
    return package


def test_a_kind_of_database_is_a_folder_and_a_line(package: Path, tmp_path: Path) -> None:
    url = f"toy:///{tmp_path / 'queue.db'}"
    environ = {**os.environ, "XDG_CONFIG_HOME": "/nowhere", "PYTHONPATH": str(package.parent)}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", LIFE_OF_A_JOB, url]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        str(package / "__init__.py"),
        f"toy {tmp_path / 'queue.db'}",
        "processing",
    ], done.stderr
