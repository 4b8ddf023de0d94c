"""Each fault has a queue of its own and a probe; a test that does not end with a check of its probe fails."""

from collections.abc import Generator, Iterator

import pytest

from tests.faults.probe import FaultProbe
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

FAILED: pytest.StashKey[bool] = pytest.StashKey()
"""True when a test has failed, which excuses it from checking its probe."""


@pytest.fixture
def probe(cli: Cli, ledger: Ledger, request: pytest.FixtureRequest) -> Iterator[FaultProbe]:  # noqa: F811 - as above
    """The probe of a test's own queue."""
    direct = request.getfixturevalue("postgres_url") if "postgres_url" in request.fixturenames else None
    yield from _checked(FaultProbe(cli, ledger, direct or cli.environ["QUEUECTL_DATABASE_URL"]), request.node)


@pytest.fixture
def probe_at_work(working: Cli, ledger: Ledger, request: pytest.FixtureRequest) -> Iterator[FaultProbe]:  # noqa: F811 - as above
    """A probe of what becomes of a test's own jobs in the queue that tests share."""
    yield from _checked(FaultProbe(working, ledger, working.environ["QUEUECTL_DATABASE_URL"]), request.node)


def _checked(probe: FaultProbe, test: pytest.Item) -> Iterator[FaultProbe]:
    yield probe
    probe.close()
    assert probe.was_checked or test.stash[FAILED], "the invariants were not checked"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or not report.passed
    return report
