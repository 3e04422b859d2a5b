import base64
import contextlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import Invalid
from kit.pagination import Page, decode_cursor, encode_cursor

AT = datetime(2026, 3, 14, 8, 30, 0, 123456, UTC)

value = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.uuids(),
    st.datetimes(timezones=st.just(UTC)),
)


@given(st.lists(value, max_size=5))
def test_values_are_read_as_written(values: list[Any]) -> None:
    cursor = encode_cursor(*values)
    assert decode_cursor(cursor, *(type(item) for item in values)) == tuple(values)
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&? ")


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
def test_invalid_input_is_refused_without_a_crash(text: str) -> None:
    with contextlib.suppress(Invalid):
        assert encode_cursor(*decode_cursor(text, datetime, int))


def cursor_of(document: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(document)).decode().rstrip("=")


@pytest.mark.parametrize(
    ("cursor", "kinds"),
    [
        (encode_cursor(1), (str,)),
        (encode_cursor("a"), (int,)),
        (encode_cursor(True), (int,)),
        (encode_cursor(1), (bool,)),
        (encode_cursor(1, 2), (int,)),
        (encode_cursor(1), (int, int)),
        (encode_cursor(AT), (UUID,)),
        (encode_cursor(UUID(int=7)), (datetime,)),
        (cursor_of({"at": "x"}), (datetime,)),
        (cursor_of([{"at": "2026-03-14T08:30:00"}]), (datetime,)),
        (cursor_of([{"at": 5}]), (datetime,)),
        (cursor_of([{"id": ["x"]}]), (UUID,)),
        (cursor_of([2**63]), (int,)),
        (cursor_of(["a\x00b"]), (str,)),
        (cursor_of([True]), (float,)),
        (encode_cursor(1), (bytes,)),
        ("", (int,)),
        ("🚗", (int,)),
    ],
)
def test_a_cursor_of_another_list_is_refused(cursor: str, kinds: tuple[type, ...]) -> None:
    with pytest.raises(Invalid) as caught:
        decode_cursor(cursor, *kinds)
    assert (caught.value.status, caught.value.code) == (422, "invalid_cursor")
    assert caught.value.errors[0].field == "cursor"


def test_none_can_be_stored_in_every_column_type() -> None:
    assert decode_cursor(encode_cursor(None, None), datetime, int) == (None, None)


def test_an_instant_keeps_its_microseconds_in_any_zone() -> None:
    there = AT.astimezone(timezone(timedelta(hours=4)))
    assert decode_cursor(encode_cursor(there), datetime) == (AT,)
    with pytest.raises(ValueError, match="aware"):
        encode_cursor(AT.replace(tzinfo=None))


@pytest.mark.parametrize(("page", "offset"), [(Page(), 0), (Page(1, 20), 0), (Page(3, 20), 40)])
def test_a_page_number_is_an_offset(page: Page, offset: int) -> None:
    assert page.offset == offset
