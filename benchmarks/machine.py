"""What the figures were measured on."""

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

from queuectl import __version__
from queuectl.adapters.sql.sqlite.connection import sqlite_version


def description(place: Path) -> dict[str, str]:
    """The machine and the versions of what queuectl uses. `place`: where the databases are."""
    sqlite = ".".join(map(str, sqlite_version()))
    return {
        "processor": f"{_field('/proc/cpuinfo', 'model name') or platform.machine()}, {os.cpu_count()} cores",
        "memory": f"{int((_field('/proc/meminfo', 'MemTotal') or '0 kB').split()[0]) / 1_000_000:.1f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "file system of the databases": file_system(place),
        "queuectl": __version__,
        "Python": platform.python_version(),
        "SQLite": f"{sqlite} (the standard library's: {sqlite3.sqlite_version}); WAL, synchronous=FULL",
        "libraries": ", ".join(f"{name} {version(name)}" for name in ("click", "psycopg")),
    }


def processor_times() -> tuple[int, int]:
    """Of the processors' time since boot, what the host of a virtual machine gave to others, and all; in clock ticks.

    The eighth field of /proc/stat is "steal" (proc_stat(5)); the last two are counted in the first two as well.
    """
    times = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return times[7], sum(times)


def file_system(place: Path) -> str:
    """Kind and device of the file system that a directory is on."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    place = place.resolve()
    above = [mount for mount in mounts if place.is_relative_to(mount[1])]
    device, _, kind, options, *_ = max(above, key=lambda mount: len(mount[1]))
    return f"{kind} on {device} ({options.split(',')[0]})"


def _field(path: str, name: str) -> str | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)
