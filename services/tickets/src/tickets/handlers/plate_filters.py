"""What people type to find plates, in the form in which plates are stored."""

from kit.errors import FieldError, Invalid
from tickets.domain.plates import plate_pattern


def pattern(field: str, text: str | None) -> str | None:
    """A plate or a part of one, as plates are stored. None stays None.

    Raises:
        Invalid: nothing is left of it that a plate could contain.
    """
    if text is None:
        return None
    try:
        return plate_pattern(text)
    except ValueError as error:
        reason = f"{error}: leave the parameter out to get all"
        raise Invalid(
            "The search is empty.", code="empty_pattern", errors=(FieldError(field, reason),)
        ) from error


def city(text: str | None) -> str | None:
    """As cities are stored; None, which is no condition, if it is empty."""
    return (text or "").strip().upper() or None
