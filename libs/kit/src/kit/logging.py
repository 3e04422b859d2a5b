"""Structured logs of one service instance: JSON lines or console text, with the trace id in every line.

Nothing is configured globally, so several services in one process each keep their own level, name and format.
"""

import json
import logging
import re
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from kit.log_file import LogFile
from kit.settings.blocks import LogSettings
from kit.tracing import current_correlation_id, current_trace

Logger = FilteringBoundLogger

MAX_KEY_CHARS = 200
MAX_TEXT_CHARS = 2_000
MAX_TRACEBACK_CHARS = 20_000
MAX_ITEMS = 50
MAX_DEPTH = 6

_MULTILINE = frozenset({"exception", "stack"})
_REDACTED = "[redacted]"
_DEEP = "<deep>"
_SECRET_KEY = re.compile(
    r"passw(or)?d|passphrase|secret|token(?!_id|s?_total|_count)|authori[sz]ation|api_?key|access_?key"
    r"|private_?key|credential|cookie|set-cookie|\bjwt\b|\bpin\b",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s:@]*:[^/\s]*@", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer|basic|digest)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


_service_at_work: ContextVar[str] = ContextVar("service_at_work", default="")


@contextmanager
def lines_of(service: str) -> Iterator[None]:
    """The code in the block, and every task begun in it, is that of `service`: lines that a library or a shared part
    logs meanwhile carry its name. The lines of a service's own logger do so anyway.
    """
    token = _service_at_work.set(service)
    try:
        yield
    finally:
        _service_at_work.reset(token)


def make_logger(
    service: str,
    settings: LogSettings,
    *,
    stream: TextIO | None = None,
    file: LogFile | None = None,
    is_of_process: bool = False,
) -> Logger:
    """A logger of that service. It writes to `stream`; default: to `sys.stdout` as it is at each line; and to `file`.

    `is_of_process`: for what all services of a process share, and for libraries: lines carry the name of the service
    for which they are written (`lines_of`), and `service` only where that is none.
    """
    renderer: Callable[[WrappedLogger, str, EventDict], str]
    if settings.format == "json":
        renderer = _render_json
    else:
        out = stream or sys.stdout
        renderer = structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    logger = structlog.wrap_logger(
        _LineWriter(stream),
        processors=[
            *([_name_service_at_work] if is_of_process else []),
            _add_trace,
            structlog.processors.add_log_level,
            _add_timestamp,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            redact,
            *([] if file is None else [_copy_to(file)]),
            *([] if settings.format == "json" else [_escape_texts]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.level)),
        context_class=dict,
        cache_logger_on_first_use=False,
        service=service,
    )
    return cast("Logger", logger)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Remove what no log may contain: secrets (by key and by pattern), bytes, overlong texts."""
    return cast("EventDict", _clean_mapping(event, 0))


def route_standard_logging(logger: Logger, *, level: int = logging.INFO) -> None:
    """Send what libraries log through the standard module (uvicorn, aio_pika, sqlalchemy) to `logger`.

    This is process-wide, so the process's entry point calls it once, and no service does.
    """
    root = logging.getLogger()
    root.handlers = [_Forward(logger)]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
    logging.getLogger(
        "uvicorn.access"
    ).disabled = True  # the middleware writes the access line, with the trace
    # Every span that is dropped would be a line; kit.tracing_export logs one a minute instead.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    # At INFO or DEBUG these log every frame, every pooled connection and every chunk of a PNG.
    for name in ("aiormq", "aio_pika", "sqlalchemy.engine", "alembic", "httpx", "urllib3", "PIL"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


class _LineWriter:
    """Writes whole lines. A closed pipe must not fail a service, so write errors are ignored."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def msg(self, message: str) -> None:
        stream = self._stream or sys.stdout
        try:
            with self._lock:
                stream.write(message + "\n")
                stream.flush()
        except (OSError, ValueError):
            return

    log = debug = info = warn = warning = error = err = fatal = failure = critical = exception = msg


class _Forward(logging.Handler):
    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._logger.log(
                record.levelno,
                record.getMessage(),
                logger=record.name,
                **({"exc_info": record.exc_info} if record.exc_info else {}),
            )
        except Exception:  # noqa: BLE001 - as the standard handlers do: logging never fails its caller
            self.handleError(record)


def _name_service_at_work(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    at_work = _service_at_work.get()
    if at_work:
        event["service"] = at_work
    return event


def _copy_to(file: LogFile) -> Callable[[WrappedLogger, str, EventDict], EventDict]:
    def copy(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        file.write(_render_json(logger, method, event))
        return event

    return copy


def _add_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    trace = current_trace()
    if trace is not None:
        event.setdefault("trace_id", trace.trace_id)
    correlation_id = current_correlation_id()
    if correlation_id is not None:
        event.setdefault("correlation_id", correlation_id)
    return event


def _add_timestamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = datetime.now(UTC).isoformat(timespec="microseconds")
    return event


def _render_json(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> str:
    return escape_controls(orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode())


def _escape_texts(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """For a terminal. Texts inside of lists and mappings are escaped by the renderer, which takes their `repr`."""
    return {escape_controls(key): _escape_value(key, value) for key, value in event.items()}


def _escape_value(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if (
        key in _MULTILINE
    ):  # indented, so that a line in the text of an exception cannot pass for one of the log
        return textwrap.indent(escape_controls(value, keep="\n\t"), "  ")
    return escape_controls(value)


def escape_controls(text: str, *, keep: str = "") -> str:
    """Write every character that is not printable by its number, as JSON does, except those in `keep`.

    A text from outside could otherwise end the line and forge the next one, or send commands to a terminal: control
    characters (C0, DEL, C1), line separators, bidirectional overrides. In JSON the result means the same text.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return "\\u007f" if char == "\x7f" else json.dumps(char)[1:-1]  # JSON leaves DEL as it is


def _clean_mapping(values: Mapping[Any, Any], depth: int) -> dict[str, Any] | str:
    if depth >= MAX_DEPTH:
        return _DEEP
    clean: dict[str, Any] = {}
    for position, (key, value) in enumerate(values.items()):
        name, is_secret = _clean_key(str(key)[:MAX_KEY_CHARS])
        if position >= MAX_ITEMS:
            clean["…"] = f"{len(values) - MAX_ITEMS} more"
            break
        limit = MAX_TRACEBACK_CHARS if depth == 0 and name in _MULTILINE else MAX_TEXT_CHARS
        clean[name] = _REDACTED if is_secret else _clean(value, depth + 1, limit)
    return clean


@lru_cache(maxsize=4096)
def _clean_key(key: str) -> tuple[str, bool]:
    return _clean_text(key, MAX_KEY_CHARS), _SECRET_KEY.search(key) is not None


def _clean(value: Any, depth: int, limit: int = MAX_TEXT_CHARS) -> Any:
    if isinstance(value, str):
        return _clean_text(value, limit)
    # Past 64 bits orjson writes no number.
    if value is None or isinstance(value, float) or (isinstance(value, int) and -(2**63) <= value < 2**64):
        return value
    if isinstance(value, Mapping):
        return _clean_mapping(value, depth)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, Sequence | set | frozenset):
        return _clean_items(list(value), depth)
    return _clean_text(str(value), limit)


def _clean_items(items: list[Any], depth: int) -> Any:
    if depth >= MAX_DEPTH:
        return _DEEP
    tail = [f"… {len(items) - MAX_ITEMS} more"] if len(items) > MAX_ITEMS else []
    return [_clean(item, depth + 1) for item in items[:MAX_ITEMS]] + tail


def _clean_text(text: str, limit: int) -> str:
    # Cut first, so that the patterns never run over megabytes.
    cut = text if len(text) <= limit else f"{text[:limit]}… (+{len(text) - limit} characters)"
    # Substring tests are much cheaper than the patterns, and most texts are short and match none.
    if "://" in cut:
        cut = _URL_PASSWORD.sub(r"\1***@", cut)
    if " " in cut or "\t" in cut:
        cut = _BEARER.sub(rf"\1 {_REDACTED}", cut)
    if "eyJ" in cut:
        cut = _JWT.sub(_REDACTED, cut)
    if not cut.isascii():
        # A lone surrogate cannot be written as UTF-8, neither by orjson nor by the stream.
        cut = cut.encode("utf-8", "backslashreplace").decode("utf-8")
    return cut
