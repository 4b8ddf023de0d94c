r"""Reasons why a program does not start, in plain words: what its file is, and what would mend it.

A system says "no such file or directory" of a script that is there when it is the interpreter that is missing. What is
said here is looked up after the fact, and only where it is sure. Looking opens regular files alone, reads little, and
raises nothing.
"""

import contextlib
import errno
import os
import re
import shlex
import stat
import struct
from pathlib import Path
from typing import NamedTuple

from queuectl.adapters.host.files import escaped, opened, printable

HEAD = 4096
"""Bytes of a file that are looked at: the kernel itself reads 256 of a script (binfmt_script(5))."""

NESTED = 4
"""So many interpreters of interpreters: the kernel follows no more."""

MAX_NAME_LENGTH = 200
"""Characters of a program's name that an error repeats."""

SHELL_CHARACTERS = re.compile(r"""[\s|&;<>()$`*?{}"'\\]""")
"""Of a program's name when it is a whole line for a shell."""

SHELL_WORDS = frozenset({".", "alias", "cd", "eval", "exec", "exit", "export", "for", "if", "set", "source", "ulimit"})
"""Words that a shell knows itself, without a file."""

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")

SHELL_SAYS = re.compile(
    r"\S*sh: (?:line )?(?:\d+: )?(?P<name>[^\n]+?): "
    r"(?:not found|command not found|No such file or directory|cannot execute: required file not found"
    r"|[^:\n]+: bad interpreter: [^\n]*|[Pp]ermission denied|Is a directory)"
)
"""The last line of a shell (dash, bash, BusyBox) that could not start a program."""

ENV_SAYS = re.compile(r"env: [^\n]*(?:\\r|\r)[^\w\s][^\n]*: No such file or directory")
"""The words of env(1) about a script whose first line ends in CR LF: it takes the CR for a part of the name."""

ELF_LAYOUTS = {1: ("I", 28, 42, 4, 16), 2: ("Q", 32, 54, 8, 32)}
"""For files of 32 and of 64 bits (elf(5)): the format of an address; the offsets of e_phoff, and of e_phentsize before
e_phnum; in a program header, those of p_offset and p_filesz."""

PT_INTERP = 3

WINDOWS_LINE_END = "its first line ends in CR LF, a Windows line end"


class Trouble(NamedTuple):
    """The trouble with a file: `missing` is what it cannot do without (or ""); `words` say the rest."""

    missing: str
    words: str


def named(text: str) -> str:
    """A program's name as an error repeats it: on one line, never long, bytes that are no UTF-8 escaped."""
    return escaped(printable(text if len(text) <= MAX_NAME_LENGTH else text[:MAX_NAME_LENGTH] + "…"))


def of_file(name: str, directory: Path) -> Trouble | None:
    """Find what keeps the file from being started in that directory; None when nothing that is sure does."""
    try:
        return _of_file(name, directory, NESTED)
    except (OSError, ValueError, struct.error):
        return None


def of_start(error: OSError, directory: Path) -> Trouble | None:
    """Find what keeps the program that an error of posix_spawn(3) names from being started in that directory."""
    if not isinstance(error.filename, bytes):
        return None
    name = error.filename.decode(errors="surrogateescape")
    if error.errno in (errno.ENOENT, errno.EACCES):
        return of_file(name, directory)
    if error.errno == errno.ENOEXEC:
        with contextlib.suppress(OSError, ValueError):
            return Trouble("", _of_no_program(_head(_path(name, directory)), _quoted(name)))
    return None


def hint_for(name: str, directory: Path, *, is_whole_command: bool) -> str:
    """Suggest what was meant by a program that is not there; "" when nothing suggests itself.

    `is_whole_command`: it was given without arguments.
    """
    if "/" not in name and (there := _lies_in(directory, name)):
        return there
    if VARIABLE.match(name) and not is_whole_command:
        return "; a variable is set with --env NAME=VALUE, before the --"
    if is_whole_command and SHELL_CHARACTERS.search(name):
        what = shlex.quote(printable(name)) if len(name) <= MAX_NAME_LENGTH and name.isprintable() else "TEXT"
        return f"; that is a shell command: enqueue it with -c {what}"
    if name in SHELL_WORDS:
        return "; that is a word of the shell: enqueue the whole command as a text, with -c"
    return ""


def after_shell(output: bytes, directory: Path) -> str:
    """Add to the words of a shell, or of env(1), that could not start a program; "" when nothing is sure."""
    lines = output[-HEAD:].decode(errors="surrogateescape").replace("\r\n", "\n").rstrip().split("\n")
    if ENV_SAYS.search("\n".join(lines[-2:])):
        return f"; the script is for Unix, but {WINDOWS_LINE_END}; mend it with {_mending('FILE')}"
    said = SHELL_SAYS.fullmatch(lines[-1].strip())
    if said is None or "\0" in said["name"]:
        return ""
    name = said["name"]
    if "/" not in name:
        return "" if "denied" in lines[-1] else _lies_in(directory, name)
    trouble = of_file(name, directory)
    if trouble is None:
        return ""
    return f"; {trouble.missing} is missing: {trouble.words}" if trouble.missing else f"; {trouble.words}"


def _of_file(name: str, directory: Path, depth: int) -> Trouble | None:
    path = _path(name, directory)
    try:
        status = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            return Trouble("", f"it is a link to {named(str(path.readlink()))}, which does not exist")
        return None
    if stat.S_ISDIR(status.st_mode):
        return Trouble("", "it is a directory")
    if not stat.S_ISREG(status.st_mode):
        return Trouble("", "it is no regular file")
    if not os.access(path, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        if os.statvfs(path).f_flag & os.ST_NOEXEC:
            return Trouble("", "its file system is mounted noexec")
        return None if status.st_mode & 0o111 else Trouble("", f"mend it with chmod +x {_quoted(name)}")
    head = _head(path)
    if head.startswith(b"#!"):
        return _of_script(head, name, directory, depth)
    loader = _loader(path, head)
    if loader is None or _path(loader, Path("/")).exists():
        return None
    return Trouble(f"the loader of {named(name)}", f"{named(loader)}; is the program for another system?")


def _of_script(head: bytes, name: str, directory: Path, depth: int) -> Trouble | None:
    line = head[2:].split(b"\n", 1)[0]
    words = line.replace(b"\t", b" ").decode(errors="surrogateescape").split(" ")
    interpreter = next((word for word in words if word), "")
    if not interpreter.rstrip("\r"):
        return None
    if _path(interpreter, directory).exists():
        trouble = _of_file(interpreter, directory, depth - 1) if depth else None
        if trouble is None or trouble.missing:
            return trouble
        return Trouble("", f"its interpreter {named(interpreter)} cannot be executed: {trouble.words}")
    what = f"the interpreter of {named(name)}"
    if interpreter.endswith("\r"):
        return Trouble(what, f"{WINDOWS_LINE_END}; mend it with {_mending(_quoted(name))}")
    return Trouble(what, named(interpreter))


def _of_no_program(head: bytes, quoted: str) -> str:
    """The kernel knows no way to start a file that begins so (ENOEXEC)."""
    if not head:
        return "it is no program: it is empty"
    if head.startswith(b"\x7fELF"):
        return "it is a program for another kind of machine"
    if head.startswith(b"\xef\xbb\xbf#!"):
        mending = f"sed -i '1s/^...//' {quoted}"
        return f"it is no program: a byte order mark (BOM) stands before its #!; mend it with {mending}"
    if head.startswith(b"#!"):
        return "it is no program: its #! line names no interpreter, or is too long"
    return f"it is no program: it has no #! line; a shell script is run with sh {quoted}"


def _loader(path: Path, head: bytes) -> str | None:
    """The dynamic loader that an ELF file names (elf(5), PT_INTERP)."""
    if not head.startswith(b"\x7fELF") or len(head) < 64 or head[4] not in ELF_LAYOUTS or head[5] not in (1, 2):
        return None
    order = "<" if head[5] == 1 else ">"
    address, headers_at, sizes_at, offset_at, length_at = ELF_LAYOUTS[head[4]]
    (first,) = struct.unpack_from(order + address, head, headers_at)
    size, count = struct.unpack_from(order + "HH", head, sizes_at)
    for header in range(first, first + min(count, 64) * size, size or 1):
        if struct.unpack_from(order + "I", head, header) == (PT_INTERP,):
            (offset,) = struct.unpack_from(order + address, head, header + offset_at)
            (length,) = struct.unpack_from(order + address, head, header + length_at)
            return _head(path, at=offset)[:length].split(b"\0", 1)[0].decode(errors="surrogateescape")
    return None


def _head(path: Path, *, at: int = 0) -> bytes:
    """Some bytes of a regular file. Raises OSError, ValueError: what is no such file might never answer."""
    with opened(path, os.O_RDONLY) as descriptor:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("no regular file")
        return os.pread(descriptor, HEAD, at)


def _lies_in(directory: Path, name: str) -> str:
    """Say how to call a program that lies in the job's directory, where nobody looks for it."""
    try:
        path = _path(name, directory)
        if not stat.S_ISREG(path.stat().st_mode):
            return ""
    except (OSError, ValueError):
        return ""
    quoted = shlex.quote(f"./{named(name)}")
    if os.access(path, os.X_OK):
        return f"; it lies in the job's directory: call it {quoted}"
    return f"; it lies in the job's directory: chmod +x {quoted}, and call it so"


def _path(name: str, directory: Path) -> Path:
    """The file of that name, as the system calls it: the locale of this process need not be UTF-8."""
    return directory / os.fsdecode(name.encode(errors="surrogateescape"))


def _quoted(name: str) -> str:
    return shlex.quote(named(name))


def _mending(quoted: str) -> str:
    return rf"sed -i 's/\r$//' {quoted}"
