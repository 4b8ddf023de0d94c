"""What a user who was misunderstood may have meant."""

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str], *, likeness: float = 0.5) -> str | None:
    """The known word that is most like this one, if any is enough like it: `likeness` is from 0 (any) to 1 (equal)."""
    import difflib  # which a command that has no mistakes can do without

    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=likeness)), None)
