"""How the domain says no: a machine code, a sentence, and the fields that are to blame."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What sort of no; the handlers map each to the kit's error of that status."""

    MALFORMED = "malformed"
    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field and what is wrong with it."""

    field: str
    reason: str


class Unreadable(ValueError):  # noqa: N818 - as Refused
    """One value that cannot be meant; the text says why, in words for the person who set up the camera.

    A `ValueError`, so that pydantic's validators may raise it too.
    """


class Refused(Exception):  # noqa: N818 - it is an answer, and no fault of ours
    """The input breaks a rule."""

    def __init__(self, kind: Kind, code: str, detail: str, fields: Iterable[FieldProblem] = ()) -> None:
        super().__init__(detail)
        self.kind = kind
        self.code = code
        self.detail = detail
        self.fields = tuple(fields)


def refused_field(code: str, field: str, reason: str, *, kind: Kind = Kind.INVALID) -> Refused:
    """A refusal for which one field alone is to blame."""
    return Refused(kind, code, f"{field}: {reason}", (FieldProblem(field, reason),))
