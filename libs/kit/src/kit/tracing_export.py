"""Recording spans and exporting them to an OpenTelemetry collector (OTLP over gRPC).

Imported only where tracing is on: the SDK and the exporter cost memory and start time.
"""

import threading
import time
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from kit.logging import Logger
from kit.settings.blocks import TracingSettings
from kit.tracing import Tracing

WARNING_INTERVAL_S = 60.0
CLOSE_S = 2.0
"""How long the last export may take: a collector that is down must not delay the end of the service."""
MAX_ATTRIBUTE_CHARS = 2_000
EXPORT_BATCH_SPANS = 512

# The part of a trace id that is random in UUIDs of every version too (W3C Trace Context level 2, "random flag").
_RANDOM_BITS = 56


def open_exporting(service: str, version: str, settings: TracingSettings, logger: Logger) -> Tracing:
    """The tracing of one service instance that exports to `settings.otlp_endpoint`."""
    exporter = _Exporter(
        OTLPSpanExporter(
            endpoint=settings.otlp_endpoint,
            insecure=settings.otlp_endpoint.startswith("http://"),
            timeout=settings.export_timeout_s,
        ),
        logger,
    )
    provider = TracerProvider(
        sampler=TraceIdSampler(settings.sample_ratio),
        resource=Resource(
            {"service.namespace": "lookout", "service.name": service, "service.version": version}
        ),
        shutdown_on_exit=False,  # the service stops it
        span_limits=SpanLimits(max_span_attribute_length=MAX_ATTRIBUTE_CHARS),
    )
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter,
            max_queue_size=settings.queue_spans,
            schedule_delay_millis=settings.export_interval_s * 1000,
            max_export_batch_size=min(EXPORT_BATCH_SPANS, settings.queue_spans),
        )
    )

    def close() -> None:
        limit = threading.Timer(CLOSE_S, exporter.shutdown)
        limit.start()
        provider.shutdown()
        limit.cancel()

    return Tracing(provider.get_tracer("kit", version), close)


class TraceIdSampler(Sampler):
    """The trace id alone decides: services with the same ratio record complete traces, whatever callers ask for."""

    def __init__(self, ratio: float) -> None:
        self._limit = round(ratio * 2**_RANDOM_BITS)
        self._ratio = ratio

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """See `Sampler.should_sample`."""
        is_sampled = trace_id % 2**_RANDOM_BITS < self._limit
        # The SDK takes the span's attributes from the result.
        return SamplingResult(Decision.RECORD_AND_SAMPLE if is_sampled else Decision.DROP, attributes)

    def get_description(self) -> str:
        """See `Sampler.get_description`."""
        return f"TraceIdSampler({self._ratio})"


class _Exporter(SpanExporter):
    """Says so, once a minute at most, when spans are lost. The exporter's own log lines are switched off."""

    def __init__(self, inner: OTLPSpanExporter, logger: Logger) -> None:
        self._inner = inner
        self._logger = logger
        self._lock = threading.Lock()
        self._lost = 0
        self._warned_at = -WARNING_INTERVAL_S
        self._is_closed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._warn(len(spans))
        return result

    def shutdown(self) -> None:
        """Close the connection, which ends retries too."""
        with self._lock:
            is_first, self._is_closed = not self._is_closed, True
        if is_first:
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)

    def _warn(self, lost: int) -> None:
        with self._lock:
            self._lost += lost
            if time.monotonic() - self._warned_at < WARNING_INTERVAL_S:
                return
            self._warned_at = time.monotonic()
            lost, self._lost = self._lost, 0
        self._logger.warning("cannot export spans: check the OTLP collector", lost_spans=lost)
