"""The database's password, where others could find it."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.integration.driver import Cli

pytestmark = pytest.mark.fault("F95")


@pytest.mark.parametrize("foreground", [False, True])
def test_no_process_of_workers_shows_the_password(postgres_url: str, newcomer: Cli, foreground: bool) -> None:
    parts = urlsplit(postgres_url)
    password = parts.password or "sekret"
    url = parts._replace(netloc=f"{parts.username}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
    newcomer.environ |= {"QUEUECTL_DATABASE_URL": url, "PGPASSWORD": password}
    if foreground:
        newcomer.start_in_foreground(2)
    else:
        newcomer.start_workers(2)
    ended = newcomer.wait_for(newcomer.enqueue("tr '\\0' '\\n' < /proc/$PPID/environ"))
    assert "QUEUECTL_LOG_DIR=" in ended["output"]
    assert f"{password}@" not in ended["output"]
    assert "PGPASSWORD" not in ended["output"]
    pids = newcomer.own_processes()
    assert len(pids) == 3
    for pid in pids:
        for shown in ("environ", "cmdline"):
            text = Path(f"/proc/{pid}/{shown}").read_text()
            assert f":{password}@" not in text
            assert "PGPASSWORD" not in text
