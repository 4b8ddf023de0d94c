"""Each fault has a queue of its own and a witness; a test that does not hear its witness fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.witness import Witness
from tests.integration.conftest import (  # noqa: F401 - fixtures and hooks of this directory too
    cli,
    database_url,
    held_up,
    ledger,
    new_database,
    newcomer,
    pytest_configure,
    pytest_generate_tests,
    working,
)
from tests.integration.driver import Cli
from tests.integration.ledger import Ledger


@pytest.fixture
def witness(cli: Cli, ledger: Ledger, request: pytest.FixtureRequest) -> Iterator[Witness]:  # noqa: F811 - as above
    """The witness of a test's own queue."""
    direct = request.getfixturevalue("postgres_url") if "postgres_url" in request.fixturenames else None
    yield from _heard(Witness(cli, ledger, direct or cli.environ["QUEUECTL_DATABASE_URL"]))


@pytest.fixture
def witness_at_work(working: Cli, ledger: Ledger) -> Iterator[Witness]:  # noqa: F811 - as above
    """A witness of what becomes of a test's own jobs in the queue that tests share."""
    yield from _heard(Witness(working, ledger, working.environ["QUEUECTL_DATABASE_URL"]))


def _heard(witness: Witness) -> Iterator[Witness]:
    yield witness
    witness.close()
    assert witness.was_checked, "the invariants were not checked"


@pytest.fixture
def go(tmp_path: Path) -> Path:
    """A file for which commands wait: `until_told(go)`."""
    return tmp_path / "go"
