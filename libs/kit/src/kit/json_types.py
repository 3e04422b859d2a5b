"""Types for values in requests, where pydantic by itself takes a text for a number, or a number for a time."""

import re
from typing import Annotated, Any

from pydantic import AwareDatetime, BeforeValidator, Field

_BEGINS_WITH_DATE = re.compile(r"\s*\d{4}-\d\d-\d\d", re.ASCII)


def _refuse_text(value: Any) -> Any:
    if isinstance(value, str | bytes | bool):
        # pydantic reports a ValueError, and lets a TypeError through.
        raise ValueError("must be a number, not a text or truth value")  # noqa: TRY004
    return value


def _refuse_number(value: Any) -> Any:
    if isinstance(value, str) and not _BEGINS_WITH_DATE.match(value):
        raise ValueError("must be a time with an offset, as 2024-01-31T23:59:59Z")
    return value


JSON_NUMBER = BeforeValidator(_refuse_text)
"""Put it behind the limits of an `int` or `float` in a body. 1.0 is an integer, as in JSON Schema."""

JsonBool = Annotated[bool, Field(strict=True)]
"""`true` or `false` in a body."""

Instant = Annotated[AwareDatetime, BeforeValidator(_refuse_number)]
"""A time in ISO 8601 with an offset; no number, which pydantic takes for seconds or milliseconds since 1970."""
