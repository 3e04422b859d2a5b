"""Whatever is sent, the answer is a 2xx or a problem that names what is wrong: never a 500, never silence."""

import asyncio
import base64
import json
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.domain.parking_push import FIELDS
from testkit.pictures import bomb, parking_push, solid, truncated

from .conftest import Ingest

odd_numbers = st.sampled_from([0, -1, 1.5, "1e9", "NaN", " 1 ", 10**40, -0.0, 1e308, "9" * 50, True, None])
odd_texts = st.sampled_from(
    ["", "\x00", "\ud800", "NAD95", "nad 95", "'; DROP TABLE spots; --", "x" * 300, "١٢"]
)
odd_times = st.sampled_from(
    [0, 1773477000, 10**18, "0001-01-01 00:00:00", "9999-12-31 23:59:59", "2026-03-29 02:30:00"]
)
odd_pictures = st.sampled_from([solid(), bomb(), truncated(), b"\xff\xd8\xff\xd9", b"x", b""]).map(
    lambda data: base64.b64encode(data).decode()
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
values = odd_numbers | odd_texts | odd_times | odd_pictures | json_values
changed_reports = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), values, max_size=4).map(
    lambda change: parking_push() | change
)
bodies = changed_reports | json_values
headers = st.fixed_dictionaries(
    {},
    optional={
        "Prefer": st.sampled_from(["wait=0", "wait=x", "respond-async", ",;=", 'wait="0']),
        "Content-Type": st.sampled_from(["", "text/html", "multipart/form-data; boundary=x"]),
        "traceparent": st.sampled_from(["", "00-xyz", "00-" + "0" * 32 + "-" + "0" * 16 + "-00"]),
    },
)


async def test_any_push_gets_a_documented_answer(ingest: Ingest) -> None:
    await ingest.make_camera(spots=0)
    url = f"{ingest.runner.url('ingest')}/api/v1/post"

    def try_many() -> None:
        with httpx.Client(timeout=30) as client:

            @settings(max_examples=150)
            @given(bodies, headers)
            def one(body: Any, extra: Any) -> None:
                answer = client.post(url, content=json.dumps(body).encode(), headers=extra)
                if answer.status_code in {200, 202}:
                    assert answer.json()["status"] == "accepted"
                    return
                assert 400 <= answer.status_code < 500, answer.text
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["code"] not in {"internal", ""}

            one()

    await asyncio.to_thread(try_many)
