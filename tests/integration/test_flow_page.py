"""The recipes of docs/flow.md, as they stand there."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.driver import QUEUECTL, Cli, wait_until
from tests.integration.log import PATIENCE

PAGE = Path(__file__).parents[2] / "docs" / "flow.md"

PROGRAMS = ("train", "mail", "backup", "vacuum", "sync", "build", "check", "deploy", "call", "encode")
"""The commands of the recipes."""

RECIPES = {
    title: re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for title, text in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
}


@pytest.mark.parametrize("title", [title for title, blocks in RECIPES.items() if blocks])
def test_a_recipe_works_as_written(cli: Cli, title: str) -> None:
    for name in PROGRAMS:
        program = cli.directory / name
        program.write_text("#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
    env = {**cli.environ, "PATH": f"{Path(QUEUECTL).parent}:{cli.environ['PATH']}"}
    for block in RECIPES[title]:
        done = subprocess.run(
            ["sh", "-eu", "-c", block],
            cwd=cli.directory,
            env=env,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        assert (done.returncode, "error" in done.stderr) == (0, False), f"{block}\n{done.stdout}{done.stderr}"
    cli.run("worker", "start", "--label", "gpu", "--concurrency", "4")
    cli.run("worker", "start", "--queue", "gpu")
    wait_until(lambda: all(job["state"] in ("completed", "cancelled") for job in cli.jobs().values()))


def test_every_question_of_the_page_has_its_recipe() -> None:
    assert len([title for title, blocks in RECIPES.items() if blocks]) >= 9
