"""A queue of its own for a drill, beside the user's SQLite file: on the same disk."""

from pathlib import Path
from urllib.parse import quote


class SqliteScratch:
    """`Scratch` as a file in the drill's own directory."""

    def __init__(self, path: Path) -> None:
        """`path` is the user's own database file, whether it exists or not."""
        self.name = ""
        self.directory: Path | None = next(each for each in path.absolute().parents if each.is_dir())

    def make(self, directory: Path) -> str:
        """The URL of a database in that directory; the first use creates it."""
        self.name = f"sqlite:///{quote(str(directory / 'queue.db'))}"
        return self.name

    def remove(self) -> None:
        """Nothing: the file goes with the directory."""
