"""The log's lines, and that nothing that happens to them ends a worker."""

import io
import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from queuectl.adapters.observers import log
from queuectl.adapters.observers.log_stream import unblocked
from queuectl.domain.attempt import AttemptEnd
from queuectl.domain.events import JobSettled, JobStarted
from queuectl.domain.job import State
from tests.builders import NOON, SECOND, a_job_that_is, a_lease, a_result

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) .+\n")

STARTED = JobStarted(job=a_job_that_is(State.PROCESSING, job_id="job-1"))


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("queuectl")
    before, level = logger.handlers[:], logger.level
    log.take_over_logging()
    yield logger
    logger.handlers[:] = before
    logger.setLevel(level)


END = AttemptEnd("job-1", 1, a_lease(), NOON, a_result())


def test_an_event_is_a_line_with_its_time_and_level(capsys: pytest.CaptureFixture[str]) -> None:
    log.log_event(STARTED)
    log.log_event(JobSettled(job=a_job_that_is(State.COMPLETED, job_id="job-1"), end=END, ran=SECOND))
    lines = capsys.readouterr().err.splitlines(keepends=True)
    assert all(LINE.fullmatch(line) for line in lines)
    assert [line.split(" ", 1)[1] for line in lines] == [
        "INFO job job-1 attempt 1 started\n",
        "INFO job job-1 attempt 1 succeeded after 1.000 s\n",
    ]


def test_what_others_tell_logging_becomes_a_line(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logger.warning("the spool in %s is full", "/srv")
    line = capsys.readouterr().err
    assert LINE.fullmatch(line)
    assert line.endswith("WARNING the spool in /srv is full\n")


def test_a_message_that_cannot_be_put_together_does_not_reach_who_logs_it(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    [ours] = [handler for handler in logger.handlers if type(handler).__module__ == log.__name__]
    ours.handle(logging.makeLogRecord({"msg": "%d jobs", "args": ("no number",)}))  # pytest's own would raise
    assert "no number" in capsys.readouterr().err


def test_lines_of_many_threads_stay_whole(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file, redirect_stderr(unblocked(file)) as stream:
        threads = [threading.Thread(target=lambda: [log.log_event(STARTED) for _ in range(500)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stream.flush()
    lines = (tmp_path / "log").read_text().splitlines(keepends=True)
    assert len(lines) == 4000
    assert all(LINE.fullmatch(line) for line in lines)


def test_a_full_disk_ends_nobody() -> None:
    with open("/dev/full", "w") as full, redirect_stderr(full):  # noqa: PTH123 - a device
        log.log_event(STARTED)
        with pytest.raises(OSError, match="No space left"):
            full.close()  # what it could not write is still there: the disk was full indeed


@pytest.mark.parametrize("no_stream", [None, "closed"])
def test_without_a_stderr_nobody_ends_either(no_stream: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed if no_stream else None)
    log.log_event(STARTED)
