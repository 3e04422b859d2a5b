"""How the domain says no: a machine code, a sentence, and the fields that are to blame."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class ErrorKind(StrEnum):
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


class InvalidValue(ValueError):  # noqa: N818 - as InputError
    """One value that cannot be meant; the text says why, in words for the person who set up the camera.

    A `ValueError`, so that pydantic's validators may raise it too.
    """


class InputError(Exception):
    """The input breaks a rule."""

    def __init__(self, kind: ErrorKind, code: str, detail: str, fields: Iterable[FieldProblem] = ()) -> None:
        super().__init__(detail)
        self.kind = kind
        self.code = code
        self.detail = detail
        self.fields = tuple(fields)


def field_error(code: str, field: str, reason: str, *, kind: ErrorKind = ErrorKind.INVALID) -> InputError:
    """A refusal for which one field alone is to blame."""
    return InputError(kind, code, f"{field}: {reason}", (FieldProblem(field, reason),))
