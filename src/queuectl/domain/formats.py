"""How output can look: the formats there are, and when it has colours."""

from collections.abc import Mapping

FORMATS = ("auto", "table", "plain", "json", "jsonl", "id")
COLORS = ("auto", "always", "never")


def is_coloured(color: str, environ: Mapping[str, str], *, terminal: bool) -> bool:
    """Whether to colour: by `--color`, NO_COLOR, FORCE_COLOR, TERM=dumb, isatty; in that order."""
    if color != "auto":
        return color == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return environ["FORCE_COLOR"] != "0"
    return terminal and environ.get("TERM") != "dumb"
