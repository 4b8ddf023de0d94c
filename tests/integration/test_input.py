"""What a command reads from its standard input: all of it, a part or nothing."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.adapters.processes import input as inputs
from queuectl.adapters.processes.input import NoInput, opened_input
from tests.integration.driver import Cli

LONG = "0123456789abcde\n" * 4096
"""As long as it may be: more than a pipe takes at once where its user has many."""


def output_of(cli: Cli, command: str | list[str], **fields: object) -> str:
    job = cli.wait_for(cli.enqueue(command, **fields))
    assert job["state"] == "completed", job["last_error"]
    output: str = job["output"]
    return output


@pytest.mark.parametrize("text", ["", "one line", "naïve 日本語\n\x01\r\n"])
def test_a_command_reads_what_was_asked_for_and_no_more(working: Cli, text: str) -> None:
    assert output_of(working, ["cat"], stdin=text) == text


def test_without_any_there_is_nothing_to_read(working: Cli) -> None:
    assert output_of(working, "readlink /proc/self/fd/0; cat") == "/dev/null\n"


def test_the_longest_arrives_whole(working: Cli) -> None:
    assert output_of(working, "wc -c; wc -c < /dev/stdin", stdin=LONG).split() == ["65536", "65536"]


@pytest.mark.parametrize(
    "command", ["true", "head -c 5 > /dev/null", "exec < /dev/null; true", "read line; sleep 0.1", "exec 0<&-; true"]
)
def test_a_command_that_does_not_read_it_all_ends_as_any_other(working: Cli, command: str) -> None:
    ended = [working.wait_for(job_id) for job_id in [working.enqueue(command, stdin=LONG) for _ in range(8)]]
    assert {(job["state"], job["exit_code"], job["last_error"]) for job in ended} == {("completed", 0, None)}


def test_each_attempt_reads_it_from_the_beginning(working: Cli) -> None:
    job_id = working.enqueue('head -c 4; [ "$QUEUECTL_ATTEMPT" = 3 ]', stdin="text")
    assert [attempt["output"] for attempt in working.wait_for(job_id)["history"]] == ["text"] * 3


def test_what_a_job_writes_into_its_own_reaches_no_other(working: Cli) -> None:
    command = "cat; echo spoilt 1>&0 || :"
    jobs = [working.enqueue(command, stdin=f"{number}") for number in range(4)]
    assert [working.wait_for(job_id)["output"] for job_id in jobs] == ["0", "1", "2", "3"]


def test_a_command_gets_no_descriptor_but_its_three(working: Cli) -> None:
    listed = output_of(working, ["sh", "-c", "ls /proc/$$/fd"], stdin="text")
    assert listed.split() == ["0", "1", "2"]


def test_the_worker_keeps_none_of_it(cli: Cli) -> None:
    workers = cli.start_workers(concurrency=4)
    [pid] = workers.pids
    documents = [{"command": [it], "stdin": LONG, "max_retries": 0} for it in ("true", "cat", "/no/such/program") * 5]
    for job_id in cli.enqueue_all(documents):
        cli.wait_for(job_id)
    kept = [it.readlink().name for it in Path(f"/proc/{pid}/fd").iterdir()]
    assert [name for name in kept if "stdin" in name] == []


def test_it_is_hidden_until_it_is_asked_for(working: Cli) -> None:
    job_id = working.enqueue("true", stdin="secret")
    assert "secret" not in working.run("info", job_id).stdout
    assert working.json("info", job_id, "--show-env")["stdin"] == "secret"


def test_a_files_text_and_the_options_of_a_job(working: Cli) -> None:
    (working.directory / "in.txt").write_text("from a file\n")
    job_id = working.run("enqueue", "--stdin", "@in.txt", "--", "cat").stdout.strip()
    assert working.wait_for(job_id)["output"] == "from a file\n"


class TestWhereTheSystemHasNoFilesInMemory:
    @pytest.fixture(params=[None, OSError(38, "Function not implemented"), PermissionError(1, "not permitted")])
    def _no_memfd(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param is None:
            monkeypatch.delattr(os, "memfd_create")
        else:
            monkeypatch.setattr(os, "memfd_create", _raise(request.param))

    @pytest.mark.usefixtures("_no_memfd")
    def test_a_temporary_file_without_a_name_does(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        with opened_input(LONG) as descriptor:
            assert os.read(descriptor, 100_000).decode() == LONG
            assert not os.get_inheritable(descriptor)
            assert list(tmp_path.iterdir()) == []

    @pytest.mark.usefixtures("_no_memfd")
    def test_where_there_is_no_directory_for_one_the_worker_is_to_blame(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
        with pytest.raises(NoInput), opened_input("text"):
            pass


def test_a_full_disk_is_the_workers_trouble_and_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(inputs, "_fill", _raise(OSError(28, "No space left on device")))
    with pytest.raises(NoInput, match="No space left"), opened_input("text"):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def _raise(error: OSError) -> Callable[..., int]:
    def fail(*_args: object) -> int:
        raise error

    return fail
