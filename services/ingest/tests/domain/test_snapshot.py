import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.domain.errors import InputError
from ingest.domain.snapshot import decode_snapshot
from testkit.pictures import noise, solid

DATA = noise(20_000)
CODED = base64.b64encode(DATA).decode()
LIMIT = 1_000_000


def in_lines(text: Any, end: Any) -> Any:
    return end.join(text[at : at + 76] for at in range(0, len(text), 76))


@pytest.mark.parametrize(
    "text",
    [
        CODED,
        f"data:image/jpeg;base64,{CODED}",
        f"DATA:image/jpeg;charset=utf-8;BASE64,{CODED}",
        f"data:;base64,{CODED}",
        f"  data:image/jpeg;base64, {CODED}\n",
        in_lines(CODED, "\n"),
        in_lines(CODED, "\r\n"),
        in_lines(CODED, " \t"),
        base64.urlsafe_b64encode(DATA).decode(),
        base64.urlsafe_b64encode(DATA).decode().rstrip("="),
        CODED.rstrip("="),
    ],
)
def test_the_ways_in_which_firmware_writes_base64(text: Any) -> None:
    assert decode_snapshot(text, max_bytes=LIMIT) == DATA


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_padding_may_be_left_out(cut: Any) -> None:
    data = solid()[: 300 + cut]
    assert decode_snapshot(base64.b64encode(data).decode().rstrip("="), max_bytes=LIMIT) == data


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "snapshot_missing"), ("   \n", "snapshot_missing"), ("data:image/jpeg;base64,",
        "snapshot_missing"),
        ("!!!!", "bad_base64"), ("abc$", "bad_base64"), (CODED[:-3] + "*", "bad_base64"), ("abcde",
        "bad_base64"),
        ("ab=cdef=", "bad_base64"), ("=abc", "bad_base64"), ("abc=d", "bad_base64"), ("äöü", "bad_base64"),
        ("data:image/jpeg,rawbytes", "bad_base64"), ("http://camera/1.jpg", "bad_base64"), ("====",
        "bad_base64"),
        (CODED + "====", "bad_base64"), ("\ud800", "bad_base64"), ("ab\x00c", "bad_base64"),
    ],
)  # fmt: skip
def test_what_is_no_base64_is_rejected(text: Any, code: Any) -> None:
    with pytest.raises(InputError) as raised:
        decode_snapshot(text, max_bytes=LIMIT)
    assert raised.value.code == code
    assert [problem.field for problem in raised.value.fields] == ["snapshot"]


@pytest.mark.parametrize("size", [3000, 3001, 3002])
def test_the_limit_is_exact(size: Any) -> None:
    text = base64.b64encode(bytes(size)).decode()
    assert len(decode_snapshot(text, max_bytes=size)) == size
    with pytest.raises(InputError) as raised:
        decode_snapshot(text, max_bytes=size - 1)
    assert raised.value.code == "picture_too_large_bytes"


@given(st.binary(min_size=1))
def test_what_was_coded_is_decoded(data: Any) -> None:
    assert decode_snapshot(base64.b64encode(data).decode(), max_bytes=LIMIT) == data


@given(st.text())
def test_any_text_is_bytes_or_an_error(text: Any) -> None:
    code = None
    try:
        assert len(decode_snapshot(text, max_bytes=50)) <= 50
    except InputError as error:
        code = error.code
    assert code in {None, "snapshot_missing", "bad_base64", "picture_too_large_bytes"}
