"""The domain's refusals as the kit's errors, which every edge knows how to tell."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ingest.domain.errors import ErrorKind, InputError
from kit.errors import Conflict, FieldError, Invalid, LookoutError, NotFound, TooLarge, UnsupportedMedia

_ERRORS: dict[ErrorKind, Callable[..., LookoutError]] = {
    ErrorKind.INVALID: Invalid,
    ErrorKind.NOT_FOUND: NotFound,
    ErrorKind.CONFLICT: Conflict,
    ErrorKind.TOO_LARGE: TooLarge,
    ErrorKind.UNSUPPORTED: UnsupportedMedia,
}
_MALFORMED_STATUS = 400


def to_lookout_error(refused: InputError) -> LookoutError:
    """The kit's error that says the same."""
    errors = tuple(FieldError(problem.field, problem.reason) for problem in refused.fields)
    if refused.kind is ErrorKind.MALFORMED:
        return Invalid(refused.detail, code=refused.code, errors=errors, status=_MALFORMED_STATUS)
    return _ERRORS[refused.kind](refused.detail, code=refused.code, errors=errors)


@contextmanager
def mapped_input_errors() -> Iterator[None]:
    """Raise what the domain refuses inside as the kit's error."""
    try:
        yield
    except InputError as refused:
        raise to_lookout_error(refused) from refused
