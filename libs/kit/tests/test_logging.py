import asyncio
import io
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.log_file import LogFiles
from kit.logging import MAX_TEXT_CHARS, lines_of, make_logger, redact, route_standard_logging
from kit.settings import LogSettings
from kit.tracing import use_trace


def written(level: str = "INFO") -> tuple[Any, io.StringIO]:
    stream = io.StringIO()
    return make_logger("toy", LogSettings.model_validate({"level": level}), stream=stream), stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_service_level_event_time_and_trace() -> None:
    logger, stream = written()
    with use_trace(None, "push-1") as trace:
        logger.bind(device_id=7).warning("device_slow", wait_ms=12)
    (line,) = lines(stream)
    at = datetime.fromisoformat(line.pop("timestamp"))
    assert at.utcoffset() is not None
    assert abs((at - datetime.now(UTC)).total_seconds()) < 60
    assert line == {
        "service": "toy",
        "level": "warning",
        "event": "device_slow",
        "device_id": 7,
        "wait_ms": 12,
        "trace_id": trace.trace_id,
        "correlation_id": "push-1",
    }


def test_lines_under_the_level_are_not_written() -> None:
    logger, stream = written("WARNING")
    logger.info("quiet")
    logger.error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_two_services_in_one_process_keep_their_own_format() -> None:
    json_stream, text_stream = io.StringIO(), io.StringIO()
    first = make_logger("first", LogSettings(format="json"), stream=json_stream)
    second = make_logger("second", LogSettings(format="console", level="ERROR"), stream=text_stream)
    first.info("one")
    second.info("two")
    second.error("three")
    assert [line["service"] for line in lines(json_stream)] == ["first"]
    assert "three" in text_stream.getvalue()
    assert "two" not in text_stream.getvalue()


def test_a_traceback_is_one_field_of_one_line() -> None:
    logger, stream = written()
    try:
        raise ValueError("amqp://guest:hunter2@mq/ is unavailable")
    except ValueError:
        logger.exception("publish_failed")
    (line,) = lines(stream)
    assert "test_a_traceback_is_one_field_of_one_line" in line["exception"]
    assert "amqp://***@mq/" in line["exception"]
    assert "hunter2" not in line["exception"]


SECRETS = {
    "password": "hunter2",
    "db_password": "hunter2",
    "passwd": "hunter2",
    "Authorization": "Bearer hunter2",
    "service_token": "hunter2",
    "token": "hunter2",
    "api_key": "hunter2",
    "apikey": "hunter2",
    "secret_key": "hunter2",
    "webhook_secret": "hunter2",
    "Set-Cookie": "hunter2",
    "credentials": {"user": "a", "code": "hunter2"},
    "private_key": "hunter2",
    "nested": {"deep": [{"password": "hunter2"}]},
    "url": "postgresql://u:hunter2@db/x",
    "rtsp": "see rtsp://admin:hunter2@10.0.0.1/live",
    "header": "Authorization: Bearer hunter2hunter2",
    "jwt_like": "got eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJodW50ZXIyIn0.hunter2",
    "picture": b"hunter2",
    "buffers": [bytearray(b"hunter2"), memoryview(b"hunter2")],
    "long": "x" * MAX_TEXT_CHARS + "hunter2",
    "too_deep": {"a": {"b": {"c": {"d": {"e": {"f": {"g": "hunter2"}}}}}}},
}


@pytest.mark.parametrize("key", SECRETS)
def test_a_line_contains_no_secret_and_no_binary_data(key: str) -> None:
    logger, stream = written()
    logger.info("x", **{key: SECRETS[key]})
    assert "hunter2" not in stream.getvalue()
    assert key in lines(stream)[0]


@pytest.mark.parametrize(
    "harmless",
    [
        {"token_id": "0193-abc"},
        {"tickets_total": 3},
        {"spot": "12", "plate": "NAD-1234", "shopping": "no pin here"},
        {"size_bytes": 12, "ratio": 0.5, "is_open": True, "nothing": None},
        {"list": [1, "two", None], "map": {"a": 1}},
    ],
)
def test_what_is_not_secret_is_kept_unchanged(harmless: dict[str, Any]) -> None:
    logger, stream = written()
    logger.info("x", **harmless)
    (line,) = lines(stream)
    assert {key: line[key] for key in harmless} == harmless


json_like: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_like), st.text("0123456789abcdef", min_size=24, max_size=24))
def test_every_call_writes_a_line_without_the_password(values: dict[str, Any], secret: str) -> None:
    event = redact(None, "info", {**values, "event": "x", "user_password": secret, "in": [{"token": secret}]})
    line = orjson.dumps(event, default=repr)
    assert secret.encode() not in line


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": 1}, 2**80, {1, 2}, object()])
def test_a_line_with_unserializable_values_is_written(value: Any) -> None:
    logger, stream = written()
    logger.info("odd", value=value)
    assert "odd" in stream.getvalue()


def test_a_closed_stream_does_not_reach_the_caller() -> None:
    logger, stream = written()
    stream.close()
    logger.error("nobody_listens")


def test_library_lines_come_in_the_same_format() -> None:
    logger, stream = written()
    root = logging.getLogger()
    before, level = root.handlers, root.level
    try:
        route_standard_logging(logger)
        logging.getLogger("uvicorn.error").warning("odd request from %s", "10.0.0.1")
        logging.getLogger("aio_pika.robust_connection").info("chatter")
        try:
            raise OSError("gone")
        except OSError:
            logging.getLogger("some.library").exception("it broke")
    finally:
        root.handlers = before
        root.setLevel(level)
    first, second = lines(stream)
    assert (first["event"], first["logger"], first["level"]) == (
        "odd request from 10.0.0.1",
        "uvicorn.error",
        "warning",
    )
    assert second["event"] == "it broke"
    assert "OSError: gone" in second["exception"]


CONTROLS = [
    pytest.param(chr(code), id=f"U+{code:04X}")
    for code in (
        *range(0x20),  # C0: NUL, ESC, newline, carriage return
        0x7F,  # DEL
        *range(0x80, 0xA0),  # C1: an 8-bit terminal takes U+009B for ESC [
        0x200E,
        0x200F,
        *range(0x202A, 0x202F),  # bidirectional embeddings and overrides
        *range(0x2066, 0x206A),  # bidirectional isolates
        0x2028,  # line and paragraph separator
        0x2029,
        0xFEFF,
        0xE0001,  # a tag, beyond the basic plane
    )
]


@pytest.mark.parametrize("control", CONTROLS)
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_control_characters_from_outside_are_escaped(log_format: str, control: str) -> None:
    stream = io.StringIO()
    logger = make_logger("toy", LogSettings.model_validate({"format": log_format}), stream=stream)
    text = f"a{control}b"
    logger.warning(text, path=text, spaced=f"{text} c", items=[text], nested={text: text}, **{text: 1})
    try:
        raise ValueError(text)
    except ValueError:
        logger.exception("failed")
    root = logging.getLogger()
    before, level = root.handlers, root.level
    try:
        route_standard_logging(logger)
        logging.getLogger("uvicorn.error").warning("Invalid request %s", text)
    finally:
        root.handlers = before
        root.setLevel(level)
    out = stream.getvalue()
    allowed = {"\n", "\t"} if log_format == "console" else {"\n"}
    assert {char for char in out if not char.isprintable()} <= allowed
    records = [line for line in out.splitlines() if not line.startswith("  ")]
    assert len(records) == 3, "no text began a line of its own"
    if log_format == "json":
        first = orjson.loads(out.split("\n")[0])
        assert first["event"] == first["path"] == first["items"][0] == text, "JSON loses nothing"


def test_a_traceback_keeps_its_lines_and_cannot_forge_one_of_the_log() -> None:
    stream = io.StringIO()
    logger = make_logger("toy", LogSettings(format="console"), stream=stream)
    try:
        raise ValueError("one\x1b[31m\n2026-01-01 [info] signed_in")
    except ValueError:
        logger.exception("failed")
    first, *traceback = stream.getvalue().splitlines()
    assert "failed" in first
    assert traceback[0] == "  Traceback (most recent call last):"
    assert traceback[-2:] == ["  ValueError: one\\u001b[31m", "  2026-01-01 [info] signed_in"]


def test_lines_of_what_services_share_carry_the_name_of_the_one_at_work() -> None:
    stream = io.StringIO()
    shared = make_logger("process", LogSettings(), stream=stream, is_of_process=True)
    own = make_logger("first", LogSettings(), stream=stream)
    shared.info("0")
    with lines_of("first"):
        shared.info("1")
        with lines_of("second"):  # as where one service calls the app of another in the process
            shared.info("2")
            own.info("3")
        shared.info("4")
    shared.info("5")
    assert [line["service"] for line in lines(stream)] == [
        "process",
        "first",
        "second",
        "first",
        "first",
        "process",
    ]


async def test_a_task_keeps_the_service_in_which_it_began() -> None:
    stream, may_go = io.StringIO(), asyncio.Event()
    shared = make_logger("process", LogSettings(), stream=stream, is_of_process=True)

    async def work() -> None:
        await may_go.wait()
        shared.info("done")

    tasks = []
    for service in ("first", "second"):
        with lines_of(service):
            tasks.append(asyncio.create_task(work()))
    with lines_of("third"):
        may_go.set()
        await asyncio.gather(*tasks)
    assert sorted(line["service"] for line in lines(stream)) == ["first", "second"]


def file_settings(path: Path, **changes: Any) -> LogSettings:
    return LogSettings.model_validate({"file": path, "format": "console", **changes})


@pytest.fixture
def files() -> Iterator[LogFiles]:
    opened = LogFiles()
    yield opened
    opened.close()


def test_a_file_gets_every_line_as_json_and_only_its_owner_reads_it(files: LogFiles, tmp_path: Path) -> None:
    stream, path = io.StringIO(), tmp_path / "logs" / "toy.log"
    settings = file_settings(path)
    for name in ("first", "second"):
        make_logger(name, settings, stream=stream, file=files.of(settings)).info("made", token="hunter2")
    written = [orjson.loads(line) for line in path.read_text().splitlines()]
    assert [(line["service"], line["event"], line["token"]) for line in written] == [
        ("first", "made", "[redacted]"),
        ("second", "made", "[redacted]"),
    ]
    assert len(stream.getvalue().splitlines()) == 2
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("max_files", [2, 3])
def test_a_full_file_is_replaced_and_the_oldest_deleted(
    files: LogFiles, tmp_path: Path, max_files: int
) -> None:
    path = tmp_path / "toy.log"
    settings = file_settings(path, max_file_bytes=1000, max_files=max_files)
    logger = make_logger("toy", settings, stream=io.StringIO(), file=files.of(settings))
    for number in range(100):
        logger.info("line", number=number)
    kept = sorted(tmp_path.iterdir(), reverse=True)
    assert [one.name for one in kept] == [f"toy.log.{n}" for n in range(max_files - 1, 0, -1)] + ["toy.log"]
    assert all(0 < one.stat().st_size <= 1000 for one in kept)
    numbers = [orjson.loads(line)["number"] for one in kept for line in one.read_text().splitlines()]
    assert numbers == list(range(numbers[0], 100)), "none is missing"
    assert numbers[0] > 0
    assert all(one.stat().st_mode & 0o077 == 0 for one in kept)


def test_no_file_is_written_where_none_is_to_be_kept(files: LogFiles, tmp_path: Path) -> None:
    assert files.of(file_settings(tmp_path / "toy.log", max_files=0)) is None
    assert files.of(LogSettings()) is None


def test_a_file_that_cannot_be_written_does_not_reach_the_caller(
    files: LogFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "toy.log", tmp_path / "folder"):
        stream, settings = io.StringIO(), file_settings(path)
        make_logger("toy", settings, stream=stream, file=files.of(settings)).info("made")
        assert "made" in stream.getvalue()
    assert capsys.readouterr().err == ""
