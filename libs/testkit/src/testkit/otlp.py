"""A collector of OpenTelemetry spans: a real OTLP server over gRPC that stores what it receives."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as contract
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as stubs
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it was exported. Ids are lower-case hexadecimal digits; the parent's is empty for a root."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_span_id: str
    start_ns: int
    end_ns: int
    is_error: bool
    attributes: dict[str, Any]


class OtlpCollector(stubs.TraceServiceServicer):
    """Stores the spans that are exported to `endpoint`."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._lock = Lock()
        self._spans: list[ReceivedSpan] = []

    def Export(self, request: contract.ExportTraceServiceRequest, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """Store the spans."""
        received = [
            _received(str(_values(group.resource.attributes).get("service.name", "")), span)
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
        with self._lock:
            self._spans += received
        return contract.ExportTraceServiceResponse()

    def spans(self) -> list[ReceivedSpan]:
        """The spans received so far, in the order of arrival."""
        with self._lock:
            return list(self._spans)


@contextmanager
def otlp_collector() -> Iterator[OtlpCollector]:
    """A collector on a free port of the loopback interface."""
    server = grpc.server(ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")
    collector = OtlpCollector(f"http://127.0.0.1:{port}")
    stubs.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call] # generated
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()


def _received(service: str, span: Span) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        attributes=_values(span.attributes),
    )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    return getattr(pair.value, kind) if kind is not None else None
