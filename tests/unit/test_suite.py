"""The rules of the tests themselves, which keep whole kinds of flaky tests out."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.log import Log

TESTS = Path(__file__).parents[1]
LOOKS_AT_ONCE = re.compile(r"\blog(_file|_path)?(\(\))?\.(read_text|read_bytes|open\(\)|so_far)|\.so_far\(")
MAY_LOOK = {"integration/driver.py", "integration/log.py", "integration/hosts.py"}


def offences(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if LOOKS_AT_ONCE.search(line)]


def test_no_test_of_processes_looks_into_a_log_at_once() -> None:
    paths = [path for part in ("integration", "faults") for path in (TESTS / part).glob("*.py")]
    found = {
        name: lines
        for path in paths
        if (name := str(path.relative_to(TESTS))) not in MAY_LOOK and (lines := offences(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize("line", ["assert x in workers.log_file.read_text()", "log.read_text()", "cli.log.so_far()"])
def test_a_look_into_a_log_is_noticed(line: str) -> None:
    assert offences(f"first\n    {line}\n") == [line]


@pytest.fixture
def written_later(tmp_path: Path) -> Callable[[str], Log]:
    """Gives a function that makes a log to which a text comes only after a moment."""

    def write(text: str) -> Log:
        path = tmp_path / "log"
        threading.Timer(0.1, lambda: path.write_text(text)).start()
        return Log.at(path)

    return write


def test_a_line_that_comes_late_is_waited_for(written_later: Callable[[str], Log]) -> None:
    log = written_later("said\n")
    log.assert_exactly("said")
    log.assert_as_many(re.compile(r"^sai"), as_of="said")
    log.assert_without("other")
    log.assert_at_most_lines(0, besides=["said"])


def test_a_line_that_comes_too_often_is_noticed(written_later: Callable[[str], Log]) -> None:
    log = written_later("said\nsaid\n")
    with pytest.raises(AssertionError, match="2 times instead of 1: said"):
        log.assert_exactly("said")
    with pytest.raises(AssertionError, match="2 times instead of 0: said"):
        log.assert_without("said")
    with pytest.raises(AssertionError, match=r"\['said', 'said'\]"):
        log.assert_at_most_lines(1, besides=["other"])


def test_a_line_that_never_comes_is_noticed_with_the_log(written_later: Callable[[str], Log]) -> None:
    log = written_later("other\n")
    assert log.wait_for("other")
    with pytest.raises(AssertionError, match=r"not 1 times within 0.1 s: said; the log:\nother"):
        log.wait_for("said", timeout=0.1)
    assert not log.wait_for("said", or_until=lambda: True)
