"""The formats that output can have, and its colours."""

from collections.abc import Mapping

FORMATS = ("auto", "table", "plain", "json", "jsonl", "id")
COLORS = ("auto", "always", "never")


def is_coloured(color: str, environ: Mapping[str, str], *, terminal: bool) -> bool:
    """Say whether to colour: by `--color`, NO_COLOR, FORCE_COLOR, TERM=dumb, isatty; in that order."""
    if color != "auto":
        return color == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return environ["FORCE_COLOR"] != "0"
    return terminal and environ.get("TERM") != "dumb"
