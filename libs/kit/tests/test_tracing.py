import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.tracing import (
    current_correlation_id,
    current_trace,
    parse_traceparent,
    set_correlation_id,
    trace_from_request_id,
    use_trace,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def hex_id(digits: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=digits, max_size=digits).filter(
        lambda text: set(text) != {"0"}
    )


@given(hex_id(32), hex_id(16), st.booleans())
def test_a_position_is_read_back_from_its_header(trace_id: str, span_id: str, is_sampled: bool) -> None:
    header = f"00-{trace_id}-{span_id}-{'01' if is_sampled else '00'}"
    position = parse_traceparent(header)
    assert position is not None
    assert (position.trace_id, position.span_id, position.is_sampled) == (trace_id, span_id, is_sampled)
    assert position.traceparent == header


@given(
    st.one_of(st.text(), st.from_regex(r"[0-9a-fA-F]{2}-[0-9a-f]{30,34}-[0-9a-f]{14,18}-[0-9a-f]{2}.{0,5}"))
)
def test_no_header_breaks_the_parser_and_what_it_accepts_is_well_formed(header: str) -> None:
    context = parse_traceparent(header)
    if context is not None:
        assert re.fullmatch(r"[0-9a-f]{32}", context.trace_id)
        assert re.fullmatch(r"[0-9a-f]{16}", context.span_id)


@pytest.mark.parametrize(
    ("header", "is_accepted"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"  00-{TRACE}-{SPAN}-00 ", True),
        (f"cc-{TRACE}-{SPAN}-01-further-fields", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-01-more", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE}-{SPAN}", False),
        (f"00-{TRACE}-{SPAN}-01\n", True),  # stripped, as HTTP allows white space around a value
        (f"cc-{TRACE}-{SPAN}-01-{'x' * 500}", False),
        ("", False),
        (None, False),
    ],
)
def test_the_grammar_of_traceparent(header: str | None, is_accepted: bool) -> None:
    context = parse_traceparent(header)
    assert (context is not None) is is_accepted
    if context is not None:
        assert (context.trace_id, context.span_id) == (TRACE, SPAN)


@pytest.mark.parametrize(
    ("request_id", "trace_id"),
    [
        ("0af76519-16cd-43dd-8448-eb211c80319c", TRACE),
        (TRACE.upper(), TRACE),
        ("order-17", None),
        ("0" * 32, None),
        ("", None),
        (None, None),
    ],
)
def test_a_request_id_becomes_the_trace_id_if_it_can_be_one(
    request_id: str | None, trace_id: str | None
) -> None:
    context = trace_from_request_id(request_id)
    assert (context.trace_id if context else None) == trace_id


def test_a_block_continues_the_trace_it_was_given() -> None:
    assert current_trace() is None
    with use_trace(f"00-{TRACE}-{SPAN}-01", "push-1") as here:
        assert (here.trace_id, current_trace()) == (TRACE, here)
        assert here.span_id != SPAN
        assert current_correlation_id() == "push-1"
        with use_trace(here) as inner:
            assert inner.trace_id == TRACE
            assert inner.span_id != here.span_id
            assert current_correlation_id() == "push-1"
        assert current_trace() == here
    assert current_trace() is None
    assert current_correlation_id() is None


@pytest.mark.parametrize("header", [None, "", "nonsense", f"ff-{TRACE}-{SPAN}-01"])
def test_without_a_valid_header_a_new_trace_begins(header: str | None) -> None:
    with use_trace(header) as first, use_trace(header) as second:
        assert len({first.trace_id, second.trace_id, TRACE}) == 3


def test_a_correlation_id_set_later_holds_until_the_block_ends() -> None:
    with use_trace(None):
        set_correlation_id("push-2")
        assert current_correlation_id() == "push-2"
    assert current_correlation_id() is None


async def test_concurrent_tasks_keep_their_own_trace() -> None:
    async def work() -> tuple[str, str]:
        with use_trace() as mine:
            await asyncio.sleep(0)
            seen = current_trace()
            assert seen is not None
            return mine.trace_id, seen.trace_id

    pairs = await asyncio.gather(*(work() for _ in range(20)))
    assert all(mine == seen for mine, seen in pairs)
    assert len({mine for mine, _ in pairs}) == 20
