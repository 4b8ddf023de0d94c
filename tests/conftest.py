"""Settings that hold for every test."""

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.requirements", "tests.postgres.plugin"]

# Examples that touch a database vary in time with the machine; a slow one is not a wrong one.
settings.register_profile("queuectl", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("queuectl")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault", help="run only the tests that inject this fault of docs/reliability.md")
    parser.addoption(
        "--soak", type=float, default=1.0, metavar="MINUTES", help="how long the soak works on each database"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(300))
    if fault := config.getoption("--fault"):
        chosen = [item for item in items if any(fault in mark.args for mark in item.iter_markers("fault"))]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(number): injects that fault of docs/reliability.md")
    config.addinivalue_line("markers", "slow: takes long; left out by `make test`, run by `make faults`")
