"""The system calls of queuectl, seen and interfered with by strace."""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.requirements import TRACING, require

SYNCS = "fsync,fdatasync"

CALL = re.compile(r"^(?P<thread>\d+) +(?P<name>\w+)\((?P<descriptor>\d+)<(?P<path>[^>]*)>(?P<rest>.*)$")
RESUMED = re.compile(r"^(?P<thread>\d+) +<\.\.\. (?P<name>\w+) resumed>")


def strace(*options: str) -> list[str]:
    """The command line before a program that is to be traced with all its threads and children."""
    require("strace")
    return ["strace", *TRACING, *options]


def killing(number: int) -> list[str]:
    """The command line before a program that is killed when a thread of it makes its sync of that number."""
    return strace("-o", "/dev/null", f"--trace={SYNCS}", f"--inject={SYNCS}:signal=KILL:when={number}")


@dataclass(frozen=True, slots=True)
class SystemCall:
    """One system call of one thread on one file; `data` is the text that it wrote, as far as that was traced."""

    thread: int
    name: str
    path: str
    data: str


class Trace:
    """The writes and syncs of a program and its children, file by file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.command = strace(
            "--seccomp-bpf",  # many times faster; with it, no signal is injected (strace 6.1)
            *("-o", str(path), "--decode-fds=path", "--string-limit=5000", f"--trace=write,pwrite64,ftruncate,{SYNCS}"),
        )

    def calls(self) -> list[SystemCall]:
        """All calls so far, in order; one that waited counts from its beginning, a sync from its end."""
        return list(self._calls())

    def _calls(self) -> Iterator[SystemCall]:
        unfinished: dict[int, SystemCall] = {}
        for line in self._path.read_text(errors="replace").splitlines():
            if found := CALL.match(line):
                call = SystemCall(int(found["thread"]), found["name"], found["path"], found["rest"])
                if "sync" in call.name and "<unfinished" in call.data:
                    unfinished[call.thread] = call
                else:
                    yield call
            elif (found := RESUMED.match(line)) and int(found["thread"]) in unfinished:
                yield unfinished.pop(int(found["thread"]))

    def unsynced_at(self, said: str, database: str) -> list[tuple[str, set[str]]]:
        """For each text that was written which matches `said`: the files of the database that nobody had synced yet.

        By whichever thread: what one has recorded, another may say.
        """
        unsynced: set[str] = set()
        found = []
        for call in self.calls():
            if call.path.startswith(database) and not call.path.endswith("-shm"):
                if "sync" in call.name:
                    unsynced.discard(call.path)
                else:
                    unsynced.add(call.path)
            elif call.name == "write":
                found += [(text[0], set(unsynced)) for text in re.finditer(said, call.data)]
        return found

    def syncs(self, path: str) -> int:
        """The number of times that the file was synced."""
        return sum("sync" in call.name and call.path == path for call in self.calls())


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End a traced program, and strace with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def started(command: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> "subprocess.Popen[bytes]":
    """A program in a session of its own, which writes to a log."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd, start_new_session=True
        )
