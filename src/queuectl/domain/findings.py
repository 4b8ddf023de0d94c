"""What `doctor` finds."""

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How well one checked thing stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What `doctor` found of one thing; `hint` is the next step where something is to be done."""

    subject: str
    grade: Grade
    message: str
    hint: str | None = None
