"""Reasons why a program does not start, in words that a person can act on, and only where they are sure."""

import errno
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queuectl.adapters.processes import program_trouble
from queuectl.adapters.processes.results import ended, explanation_of, may_be_explained, start_failed
from queuectl.domain.attempt import Outcome, Output
from queuectl.domain.job import Command
from queuectl.domain.ports.work import Run
from tests.builders import a_job, a_lease, a_policy


def a_run(command: Command, directory: Path | None) -> Run:
    cwd = None if directory is None else str(directory)
    return Run(job=a_job(command=command, cwd=cwd), lease=a_lease(), policy=a_policy())


def error_of(*command: str, at: Path, number: int = errno.ENOENT, found: str | None = "") -> str:
    """The error of a command that posix_spawn(3) would not start; `found` is where it was, or None: nowhere."""
    filename = None if found is None else os.fsencode(found or command[0])
    error = OSError(number, os.strerror(number), filename)
    result = start_failed(a_run(command, at), error)
    assert result.outcome is Outcome.FAILED
    assert result.exit_code == (127 if number == errno.ENOENT else 126)
    return (result.error or "").removeprefix(f"exit code {result.exit_code} ")


def error_after_shell(said: str, at: Path, *, exit_code: int = 127) -> str:
    """What is added to the words of a shell."""
    run, output = a_run("some command", at), Output(content=said.encode())
    assert may_be_explained(exit_code)
    error = ended(run, exit_code, output, explanation=explanation_of(run, output)).error or ""
    return error.partition(said.strip().rpartition("\n")[2])[2]


def a_script(at: Path, content: bytes, *, mode: int = 0o755, name: str = "s.sh") -> Path:
    path = at / name
    path.write_bytes(content)
    path.chmod(mode)
    return path


def an_elf(loader: bytes) -> bytes:
    """The beginning of a program of 64 bits that wants that loader."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    note = struct.pack("<IIQQQQQQ", 4, 4, 0, 0, 0, 0, 0, 8)
    interpreter = struct.pack("<IIQQQQQQ", 3, 4, 176, 0, 0, len(loader) + 1, 0, 1)
    return head + note + interpreter + loader + b"\0"


class TestWhatIsMissing:
    @pytest.mark.parametrize("line", [b"#!/bin/nosuch", b"#! \t/bin/nosuch -e\r\n", b"#!/bin/nosuch\n"])
    def test_an_interpreter_is_named(self, tmp_path: Path, line: bytes) -> None:
        a_script(tmp_path, line)
        assert error_of("./s.sh", at=tmp_path) == "(the interpreter of ./s.sh is missing): /bin/nosuch"

    @pytest.mark.parametrize("line", [b"#!/bin/sh\r\necho\r\n", b"#!  /bin/nosuch\r\n"])
    def test_a_windows_line_end_is_told_with_what_mends_it(self, tmp_path: Path, line: bytes) -> None:
        a_script(tmp_path, line, name="my script")
        assert error_of("./my script", at=tmp_path) == (
            "(the interpreter of ./my script is missing): its first line ends in CR LF, a Windows line end; "
            r"mend it with sed -i 's/\r$//' './my script'"
        )

    def test_an_interpreters_own_interpreter_is_named(self, tmp_path: Path) -> None:
        inner = a_script(tmp_path, b"#!/bin/nosuch\n", name="inner")
        a_script(tmp_path, b"#!" + bytes(inner) + b"\n")
        assert error_of("./s.sh", at=tmp_path) == f"(the interpreter of {inner} is missing): /bin/nosuch"

    def test_scripts_that_interpret_each_other_are_no_endless_search(self, tmp_path: Path) -> None:
        a_script(tmp_path, b"#!" + bytes(tmp_path / "s.sh") + b"\n")
        assert error_of("./s.sh", at=tmp_path) == "(command not found): ./s.sh"

    def test_a_programs_loader_is_named(self, tmp_path: Path) -> None:
        a_script(tmp_path, an_elf(b"/lib/ld-nosuch.so.1"), name="tool")
        assert error_of("./tool", at=tmp_path) == (
            "(the loader of ./tool is missing): /lib/ld-nosuch.so.1; is the program for another system?"
        )

    def test_a_link_to_nothing_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "tool").symlink_to("gone")
        assert error_of("./tool", at=tmp_path) == (
            "(command not found): ./tool; it is a link to gone, which does not exist"
        )

    def test_a_program_that_was_found_in_path_is_looked_at_there(self, tmp_path: Path) -> None:
        path = a_script(tmp_path, b"#!/bin/nosuch\n")
        assert error_of("s.sh", at=Path("/"), found=str(path)) == f"(the interpreter of {path} is missing): /bin/nosuch"

    def test_a_name_that_is_no_utf_8_is_escaped(self, tmp_path: Path) -> None:
        a_script(tmp_path, b"#!/bin/nosuch\xe9\n", name="\udce9")
        assert error_of("./\udce9", at=tmp_path) == r"(the interpreter of ./\xe9 is missing): /bin/nosuch\xe9"


class TestWhatCannotBeExecuted:
    def test_a_directory(self, tmp_path: Path) -> None:
        assert error_of(str(tmp_path), at=tmp_path, number=errno.EACCES) == (
            f"(cannot be executed): {tmp_path}: permission denied; it is a directory"
        )

    def test_a_file_without_the_permission(self, tmp_path: Path) -> None:
        a_script(tmp_path, b"#!/bin/sh\n", mode=0o644)
        assert error_of("./s.sh", at=tmp_path, number=errno.EACCES) == (
            "(cannot be executed): ./s.sh: permission denied; mend it with chmod +x ./s.sh"
        )

    def test_a_script_whose_interpreter_has_it_not(self, tmp_path: Path) -> None:
        inner = a_script(tmp_path, b"", mode=0o644, name="inner")
        a_script(tmp_path, b"#!" + bytes(inner) + b"\n")
        assert error_of("./s.sh", at=tmp_path, number=errno.EACCES).endswith(
            f"; its interpreter {inner} cannot be executed: mend it with chmod +x {inner}"
        )

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b"", "it is no program: it is empty"),
            (b"echo hi\n", "it is no program: it has no #! line; a shell script is run with sh ./s.sh"),
            (b"#!\n", "it is no program: its #! line names no interpreter, or is too long"),
            (b"\xef\xbb\xbf#!/bin/sh\n", "it is no program: a byte order mark (BOM) stands before its #!; "),
            (b"\x7fELF", "it is a program for another kind of machine"),
        ],
    )
    def test_a_file_that_is_no_program(self, tmp_path: Path, content: bytes, words: str) -> None:
        a_script(tmp_path, content)
        assert f": ./s.sh: exec format error; {words}" in error_of("./s.sh", at=tmp_path, number=errno.ENOEXEC)

    def test_what_cannot_be_looked_into_is_told_as_the_system_does(self, tmp_path: Path) -> None:
        assert error_of("./gone", at=tmp_path, number=errno.EACCES) == (
            "(cannot be executed): ./gone: permission denied"
        )

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe", 0o755)
        for number in (errno.EACCES, errno.ENOEXEC, errno.ENOENT):
            assert "./pipe" in error_of("./pipe", at=tmp_path, number=number)


class TestWhatWasMeant:
    def test_a_program_in_the_jobs_directory_is_called_by_its_path(self, tmp_path: Path) -> None:
        a_script(tmp_path, b"#!/bin/sh\n")
        assert error_of("s.sh", "-v", at=tmp_path, found=None) == (
            "(command not found): s.sh; it lies in the job's directory: call it ./s.sh"
        )

    def test_one_that_is_not_executable_is_to_be_made_so(self, tmp_path: Path) -> None:
        a_script(tmp_path, b"#!/bin/sh\n", mode=0o644)
        assert error_of("s.sh", at=tmp_path, found=None).endswith(": chmod +x ./s.sh, and call it so")

    def test_a_line_for_a_shell_is_one(self, tmp_path: Path) -> None:
        assert error_of("echo hi | wc -c", at=tmp_path, found=None) == (
            "(command not found): echo hi | wc -c; that is a shell command: enqueue it with -c 'echo hi | wc -c'"
        )
        for line in ("A=1 make", "true;false", "$HOME/x", "ls>x", "a\nb", "echo '" + "x" * 1000 + "'"):
            assert "; that is a shell command: enqueue it with -c " in error_of(line, at=tmp_path, found=None)

    def test_one_that_is_too_long_for_a_file_name_too(self, tmp_path: Path) -> None:
        line = "echo " + "x" * 10_000
        error = error_of(line, at=tmp_path, number=errno.ENAMETOOLONG, found=line)
        assert error.endswith("that is a shell command: enqueue it with -c TEXT")
        assert len(error) < 400

    def test_a_variable_before_a_program_and_a_word_of_the_shell(self, tmp_path: Path) -> None:
        assert "--env NAME=VALUE" in error_of("A=1", "make", at=tmp_path, found=None)
        assert "with -c" in error_of("cd", "/tmp", at=tmp_path, found=None)

    def test_another_program_that_is_not_there_is_just_that(self, tmp_path: Path) -> None:
        for program in ("pyhton", "/usr/bin/nosuch", "a" * 255):
            error = error_of(program, "two words", at=tmp_path, found=None)
            assert error.startswith("(command not found): ")
            assert ";" not in error


class TestAfterAShell:
    @pytest.mark.parametrize("said", ["/bin/sh: 1: s.sh: not found", "bash: line 1: s.sh: command not found"])
    def test_a_program_in_the_jobs_directory(self, tmp_path: Path, said: str) -> None:
        assert error_after_shell(said, tmp_path) == ""
        a_script(tmp_path, b"#!/bin/sh\n")
        assert error_after_shell(f"before\n{said}\n", tmp_path) == "; it lies in the job's directory: call it ./s.sh"

    @pytest.mark.parametrize(
        "said",
        [
            "/bin/sh: 1: ./s.sh: not found",
            "bash: line 1: ./s.sh: cannot execute: required file not found",
            "bash: ./s.sh: /bin/nosuch: bad interpreter: No such file or directory",
            "sh: ./s.sh: not found",
        ],
    )
    def test_an_interpreter_that_is_missing(self, tmp_path: Path, said: str) -> None:
        assert error_after_shell(said, tmp_path) == ""
        a_script(tmp_path, b"#!/bin/nosuch\n")
        assert error_after_shell(said, tmp_path) == "; the interpreter of ./s.sh is missing: /bin/nosuch"

    def test_a_file_without_the_permission_and_a_directory(self, tmp_path: Path) -> None:
        a_script(tmp_path, b"", mode=0o644)
        (tmp_path / "d").mkdir()
        said = "/bin/sh: 1: ./{}: Permission denied"
        assert error_after_shell(said.format("s.sh"), tmp_path, exit_code=126) == "; mend it with chmod +x ./s.sh"
        assert error_after_shell(said.format("d"), tmp_path, exit_code=126) == "; it is a directory"

    @pytest.mark.parametrize(
        "said",
        ["/usr/bin/env: \u2018sh\\r\u2019: No such file or directory", "env: 'sh\\r': No such file or directory"],
    )
    def test_a_windows_line_end_of_which_env_tells(self, tmp_path: Path, said: str) -> None:
        more = "/usr/bin/env: use -[v]S to pass options in shebang lines"
        for output in (said, f"{said}\n{more}"):
            assert "a Windows line end; mend it with sed -i" in error_after_shell(output, tmp_path)

    def test_other_words_and_other_exit_codes_are_left_alone(self, tmp_path: Path) -> None:
        a_script(tmp_path, b"")
        for said in ("s.sh: not found", "sh: 1: s.sh: not found, but later it was", "sh: 1: s.sh is not found"):
            assert error_after_shell(said, tmp_path) == ""
        assert ended(a_run("x", tmp_path), 1, Output(content=b"sh: 1: s.sh: not found")).error == (
            "exit code 1: sh: 1: s.sh: not found"
        )


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda rest: an_elf(b"/x")[:100] + rest))
def test_whatever_a_file_holds_it_is_told_and_never_raised(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    directory = tmp_path_factory.mktemp("odd")
    a_script(directory, content)
    for number in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
        assert "\n" not in error_of("./s.sh", at=directory, number=number)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.binary())
def test_whatever_is_called_or_said_is_told_and_never_raised(program: str, said: bytes) -> None:
    program = program.replace("\0", "")
    if program:
        assert "\n" not in error_of(program, at=Path("/"), found=None)
    program_trouble.after_shell(b"sh: 1: " + said + b": not found", Path("/"))
