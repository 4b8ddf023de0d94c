"""A whole queue as rows, for copying it to another database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some jobs of a queue with all their attempts, as rows to be stored elsewhere; `last` is the last job's place."""

    jobs: Sequence[Mapping[str, object]]
    attempts: Sequence[Mapping[str, object]]
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """How many rows a table has, and the SHA-256 of all their values in order, in hex."""

    rows: int
    checksum: str
