"""The domain's refusals as the kit's errors, which every edge knows how to tell."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ingest.domain.refusal import Kind, Refused
from kit.errors import Conflict, FieldError, Invalid, LookoutError, NotFound, TooLarge, UnsupportedMedia

_ERRORS: dict[Kind, Callable[..., LookoutError]] = {
    Kind.INVALID: Invalid,
    Kind.NOT_FOUND: NotFound,
    Kind.CONFLICT: Conflict,
    Kind.TOO_LARGE: TooLarge,
    Kind.UNSUPPORTED: UnsupportedMedia,
}
_MALFORMED_STATUS = 400


def as_error(refused: Refused) -> LookoutError:
    """The kit's error that says the same."""
    errors = tuple(FieldError(problem.field, problem.reason) for problem in refused.fields)
    if refused.kind is Kind.MALFORMED:
        return Invalid(refused.detail, code=refused.code, errors=errors, status=_MALFORMED_STATUS)
    return _ERRORS[refused.kind](refused.detail, code=refused.code, errors=errors)


@contextmanager
def telling_refusals() -> Iterator[None]:
    """Raise what the domain refuses inside as the kit's error."""
    try:
        yield
    except Refused as refused:
        raise as_error(refused) from refused
