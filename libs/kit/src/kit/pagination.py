"""Pages of lists: by keyset cursor, and by page number, as the documented older API has it."""

import base64
import binascii
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import orjson
from fastapi import Depends, Query
from pydantic import BaseModel, Field
from starlette.requests import Request

from kit.errors import FieldError, Invalid

T = TypeVar("T")
CursorValue = str | int | float | bool | datetime | UUID | None

MAX_CURSOR_CHARS = 2_000
# Every client reads integers up to this one exactly: those of JSON are doubles in many (RFC 8259, section 6).
MAX_ID = 2**53 - 1
# Keeps the offset within the range that databases accept.
MAX_PAGE = 10_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list the caller asks for. `page` is ignored where there is a `cursor`."""

    page: int = 1
    page_size: int = 50
    cursor: str | None = None

    @property
    def offset(self) -> int:
        """Rows to skip where pages are asked for by number."""
        return (self.page - 1) * self.page_size


class PageOf(BaseModel, Generic[T]):
    """One page. `total` is absent where counting is too expensive."""

    items: list[T]
    page: int = Field(description="number of this page, from 1")
    page_size: int = Field(description="largest number of items in a page")
    total: int | None = Field(None, description="items in the whole list")
    next_cursor: str | None = Field(
        None, description="pass it as `cursor` to get the next page; null on the last"
    )


def page_params(
    request: Request,
    page: Annotated[int, Query(ge=1, le=MAX_PAGE, description="number of the page, from 1")] = 1,
    page_size: Annotated[
        int | None, Query(ge=1, description="items in a page, up to the limit of this server")
    ] = None,
    cursor: Annotated[
        str | None, Query(max_length=MAX_CURSOR_CHARS, description="`next_cursor` of the previous page")
    ] = None,
) -> Page:
    """FastAPI dependency: the page that a request asks for. The limits are in the HTTP settings.

    Raises:
        Invalid: `page_size` is over the limit.
    """
    most: int = request.app.state.page_size_max
    size = page_size if page_size is not None else min(request.app.state.page_size_default, most)
    if size > most:
        raise Invalid(
            f"A page holds at most {most} items.",
            errors=(FieldError("page_size", f"must be at most {most}"),),
        )
    return Page(page, size, cursor or None)


PageParams = Annotated[Page, Depends(page_params)]


def encode_cursor(*values: CursorValue) -> str:
    """An opaque text that holds the sort values of a page's last row."""
    return base64.urlsafe_b64encode(orjson.dumps([_pack(value) for value in values])).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """The values given to `encode_cursor`; each is of the type given, or None.

    Raises:
        Invalid: it was not made by `encode_cursor` from values of these types.
    """
    try:
        packed = orjson.loads(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        )
        if not isinstance(packed, list) or len(packed) != len(kinds):
            raise ValueError("wrong number of values")
        return tuple(_unpack(value, kind) for value, kind in zip(packed, kinds, strict=True))
    except (ValueError, TypeError, OverflowError, binascii.Error):
        raise Invalid(
            "The cursor was not issued by this list.",
            code="invalid_cursor",
            errors=(FieldError("cursor", "use next_cursor unchanged and with the same sorting"),),
        ) from None


def _pack(value: CursorValue) -> Any:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a cursor takes aware datetimes only")
        return {"at": value.astimezone(UTC).isoformat()}
    if isinstance(value, UUID):
        return {"id": str(value)}
    return value


def _unpack(value: Any, kind: type) -> Any:
    if value is None:
        return None
    unpack = _UNPACK.get(kind)
    if unpack is None:
        raise TypeError(f"a cursor does not hold {kind.__name__}")
    return unpack(value)


def _marked(value: Any, mark: str) -> str:
    text = value.get(mark) if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise TypeError("a value of another type")
    return text


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(_marked(value, "at"))
    if moment.tzinfo is None:
        raise ValueError("naive")
    return moment


def _integer(value: Any) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("not a 64-bit integer")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a finite number")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError("not a text")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


_UNPACK: dict[type, Callable[[Any], Any]] = {
    datetime: _moment,
    UUID: lambda value: UUID(_marked(value, "id")),
    int: _integer,
    float: _number,
    str: _text,
    bool: _truth,
}
