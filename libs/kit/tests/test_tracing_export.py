"""Spans as a collector gets them."""

import io
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kit.logging import make_logger
from kit.settings import LogSettings, TracingSettings
from kit.tracing import (
    NO_TRACING,
    Tracing,
    current_span,
    current_trace,
    open_tracing,
    record_span,
    span,
    use_trace,
)
from testkit.otlp import OtlpCollector, ReceivedSpan, otlp_collector
from testkit.processes import free_port

pytestmark = pytest.mark.integration

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.fixture
def collector() -> Iterator[OtlpCollector]:
    with otlp_collector() as running:
        yield running


@asynccontextmanager
async def exporting(endpoint: str, log: io.StringIO | None = None, **settings: Any) -> AsyncIterator[Tracing]:
    logger = make_logger("toy", LogSettings(), stream=log or io.StringIO())
    tracing = open_tracing("toy", "1.2", TracingSettings(otlp_endpoint=endpoint, **settings), logger)
    try:
        yield tracing
    finally:
        await tracing.stop()


def named(collector: OtlpCollector) -> dict[str, ReceivedSpan]:
    return {span.name: span for span in collector.spans()}


async def test_steps_are_children_of_the_work_and_the_work_a_child_of_its_caller(
    collector: OtlpCollector,
) -> None:
    async with exporting(collector.endpoint) as tracing:
        with use_trace(f"00-{TRACE}-{SPAN}-01", name="work", tracing=tracing) as here:
            with span("step") as step:
                step.set_attribute("rows", 3)
                record_span("earlier step", 0.25, ended_ago_s=0.5)
            assert here.trace_id == TRACE
    spans = named(collector)
    assert {span.trace_id for span in spans.values()} == {TRACE}
    assert {span.service for span in spans.values()} == {"toy"}
    assert spans["work"].parent_span_id == SPAN
    assert spans["step"].parent_span_id == spans["work"].span_id
    assert spans["step"].attributes == {"rows": 3}
    earlier = spans["earlier step"]
    assert earlier.parent_span_id == spans["step"].span_id
    assert earlier.end_ns - earlier.start_ns == 250_000_000


async def test_a_span_has_the_type_of_an_error_and_not_its_text(collector: OtlpCollector) -> None:
    async with exporting(collector.endpoint) as tracing:
        with pytest.raises(ValueError, match="D 71026"), use_trace(name="work", tracing=tracing):
            raise ValueError("D 71026")
    (failed,) = collector.spans()
    assert failed.is_error
    assert failed.attributes == {"error.type": "ValueError"}
    assert "71026" not in str(failed)


async def test_unrecorded_work_has_a_trace_id() -> None:
    assert not NO_TRACING.is_on
    with use_trace(name="work", tracing=NO_TRACING) as here, span("step") as step:
        assert not step.is_recording()
        assert current_trace() == here
        assert len(here.trace_id) == 32


async def test_the_trace_id_alone_decides_what_is_recorded(collector: OtlpCollector) -> None:
    """Every service with the same ratio decides alike, and a caller's flag does not count."""
    ids = [f"{number:032x}" for number in (1, 2**55 - 1, 2**55 + 1, 2**56 - 1, 2**120 + 5)]
    async with exporting(collector.endpoint, sample_ratio=0.5) as tracing:
        for trace_id in ids:
            for flags in ("00", "01"):
                with use_trace(f"00-{trace_id}-{SPAN}-{flags}", name="work", tracing=tracing) as here:
                    assert here.is_sampled is current_span().is_recording()
    recorded = [span.trace_id for span in collector.spans()]
    assert recorded == [trace_id for trace_id in (ids[0], ids[1], ids[4]) for _ in range(2)]


async def test_a_collector_that_is_down_costs_one_log_line_and_no_error() -> None:
    log = io.StringIO()
    async with exporting(
        f"http://127.0.0.1:{free_port()}", log, queue_spans=4, export_interval_s=0.01, export_timeout_s=0.1
    ) as tracing:
        for _ in range(50):
            with use_trace(name="work", tracing=tracing):
                pass
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert len(lines) == 1
    assert lines[0]["event"] == "cannot export spans: check the OTLP collector"
    assert lines[0]["level"] == "warning"


async def test_services_in_one_process_record_under_their_own_names(collector: OtlpCollector) -> None:
    logger = make_logger("toy", LogSettings(), stream=io.StringIO())
    settings = TracingSettings(otlp_endpoint=collector.endpoint)
    outer, inner = (open_tracing(name, "1", settings, logger) for name in ("outer", "inner"))
    with use_trace(name="calls", tracing=outer) as call:
        with use_trace(call, name="serves", tracing=inner), span("step"):
            pass
        with span("after"):
            pass
    await outer.stop()
    await inner.stop()
    assert {span.name: span.service for span in collector.spans()} == {
        "calls": "outer",
        "after": "outer",
        "serves": "inner",
        "step": "inner",
    }


@pytest.mark.parametrize("endpoint", ["collector:4317", "http://", "ftp://collector"])
def test_an_endpoint_is_an_http_address(endpoint: str) -> None:
    with pytest.raises(ValueError, match="http://host:port"):
        TracingSettings(otlp_endpoint=endpoint)
