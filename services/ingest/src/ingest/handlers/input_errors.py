"""The domain's input errors as the kit's errors, which every edge maps to its protocol."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ingest.domain.errors import ErrorKind, InputError
from kit.errors import FieldError, Invalid, LookoutError, TooLarge

_ERRORS: dict[ErrorKind, Callable[..., LookoutError]] = {
    ErrorKind.INVALID: Invalid,
    ErrorKind.TOO_LARGE: TooLarge,
}
_MALFORMED_STATUS = 400


def to_lookout_error(error: InputError) -> LookoutError:
    """The kit's error with the same code, detail and fields."""
    errors = tuple(FieldError(problem.field, problem.reason) for problem in error.fields)
    if error.kind is ErrorKind.MALFORMED:
        return Invalid(error.detail, code=error.code, errors=errors, status=_MALFORMED_STATUS)
    return _ERRORS[error.kind](error.detail, code=error.code, errors=errors)


@contextmanager
def mapped_input_errors() -> Iterator[None]:
    """Raise every `InputError` of the block as the kit's error."""
    try:
        yield
    except InputError as error:
        raise to_lookout_error(error) from error
