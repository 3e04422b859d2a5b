"""Errors of the domain: input that breaks a rule."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class ErrorKind(StrEnum):
    """The handlers map each kind to the kit's error of that status."""

    # It cannot be read as what it should be: no JSON, no base64, a field is missing.
    MALFORMED = "malformed"
    INVALID = "invalid"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """A field and what is wrong with it."""

    field: str
    reason: str


class InvalidValue(ValueError):  # noqa: N818 - as pydantic's validators expect it, a ValueError with a plain reason
    """A value that breaks a rule; the text continues the sentence "the field …", for whoever set the camera up."""


class InputError(Exception):
    """The input breaks a rule. `code` is for programs, `detail` for people, `fields` are the ones at fault."""

    def __init__(self, kind: ErrorKind, code: str, detail: str, fields: Iterable[FieldProblem] = ()) -> None:
        super().__init__(detail)
        self.kind = kind
        self.code = code
        self.detail = detail
        self.fields = tuple(fields)


def field_error(code: str, field: str, reason: str, *, kind: ErrorKind = ErrorKind.INVALID) -> InputError:
    """An error in a single field."""
    return InputError(kind, code, f"{field}: {reason}", (FieldProblem(field, reason),))
