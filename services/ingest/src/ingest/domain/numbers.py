"""Numbers as cameras write them: JSON numbers, or the same in a string, with blanks around."""

import math
import re

from ingest.domain.errors import InvalidValue

# A fraction of zeros is what firmware that only knows floats prints for a whole number.
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}(?:\.0{1,9})?")
# No exponent: no camera means "1e9" for a spot or a pixel.
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?")


def whole_number(value: object, *, low: int, high: int) -> int:
    """A whole number within `low` and `high`, both included.

    Raises:
        InvalidValue: with the reason, in words for the camera's installer.
    """
    number = _read_whole(value)
    if not low <= number <= high:
        raise InvalidValue(f"must lie between {low} and {high}")
    return number


def _read_whole(value: object) -> int:
    if isinstance(value, bool):
        raise InvalidValue("must be a whole number, not true or false")
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        if not value.is_integer():
            raise InvalidValue("must be a whole number")
        return int(value)
    if isinstance(value, str):
        text = value.strip(" \t\r\n")
        if _WHOLE.fullmatch(text):
            return int(text.partition(".")[0])
    raise InvalidValue("must be a whole number")


def decimal_number(value: object, *, low: float, high: float) -> float:
    """A finite number within `low` and `high`, both included.

    Raises:
        InvalidValue: with the reason.
    """
    if isinstance(value, bool):
        raise InvalidValue("must be a number, not true or false")
    if isinstance(value, str):
        text = value.strip(" \t\r\n")
        if not _DECIMAL.fullmatch(text):
            raise InvalidValue("must be a number")
        number = float(text)
    elif isinstance(value, int | float):
        # Comparing before float(): an int of 400 digits does not fit into one.
        if isinstance(value, int) and not low <= value <= high:
            raise InvalidValue(f"must lie between {low:g} and {high:g}")
        number = float(value)
    else:
        raise InvalidValue("must be a number")
    if not math.isfinite(number):
        raise InvalidValue("must be a finite number")
    if not low <= number <= high:
        raise InvalidValue(f"must lie between {low:g} and {high:g}")
    return number
