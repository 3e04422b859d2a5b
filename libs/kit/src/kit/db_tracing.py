"""Spans of SQL statements. Listened for only where tracing is on."""

import re
from typing import Any

from opentelemetry.trace import Span
from sqlalchemy import Engine, event

from kit.tracing import SpanKind, current_span, current_tracing, mark_failed

# OpenTelemetry's instrumentation of SQLAlchemy is not used: it replaces functions of the library for the whole
# process, where each service has its own tracing, and it does not support SQLAlchemy 2.1.

MAX_STATEMENT_CHARS = 2_000
_SPAN = "kit_span"
_TABLE = re.compile(r'\b(?:FROM|INTO|UPDATE)\s+"?(\w+)', re.IGNORECASE)


def trace_statements(engine: Engine, system: str) -> None:
    """Record every statement that runs within a recorded span: its text without parameter values."""

    def before(
        connection: Any, _cursor: Any, statement: str, _parameters: Any, _context: Any, is_many: bool
    ) -> None:
        parent = current_span()
        if not parent.is_recording():
            return
        summary = _summary(statement)
        connection.info[_SPAN] = current_tracing().start_span(
            summary,
            SpanKind.CLIENT,
            parent.get_span_context(),
            {
                "db.system.name": system,
                "db.operation.name": summary.partition(" ")[0],
                "db.query.summary": summary,
                "db.query.text": statement[:MAX_STATEMENT_CHARS],
                **({"db.operation.batch.size": len(_parameters)} if is_many else {}),
            },
        )

    def after(connection: Any, *_: Any) -> None:
        span: Span | None = connection.info.pop(_SPAN, None)
        if span is not None:
            span.end()

    def failed(context: Any) -> None:
        span: Span | None = context.connection.info.pop(_SPAN, None) if context.connection else None
        if span is not None:
            mark_failed(span, context.original_exception)
            span.end()

    event.listen(engine, "before_cursor_execute", before)
    event.listen(engine, "after_cursor_execute", after)
    event.listen(engine, "handle_error", failed)


def _summary(statement: str) -> str:
    words = statement.split(None, 1)
    table = _TABLE.search(statement)
    return " ".join([words[0].upper() if words else "SQL", *([table.group(1)] if table else [])])
