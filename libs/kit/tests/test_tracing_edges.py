"""The spans that HTTP, gRPC, the database and the bus record by themselves."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import httpx
import pytest
from fastapi import FastAPI
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from kit.bus.event import Event
from kit.bus.spans import processing, record_sent
from kit.db import Database
from kit.errors import NotFound
from kit.grpc import GrpcListener, Rpc, channel
from kit.health import Health
from kit.http_edge import Edge
from kit.ids import uuid7
from kit.logging import Logger, make_logger
from kit.metrics import Metrics
from kit.problems import install
from kit.settings import DatabaseSettings, GrpcSettings, LogSettings, TracingSettings
from kit.size_limits import BodyLimit
from kit.tracing import Tracing, open_tracing, use_trace
from testkit.otlp import OtlpCollector, ReceivedSpan, otlp_collector

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
GRPC = GrpcSettings(host="127.0.0.1", port=0, token=SecretStr("hunter2"))

Recorded = Callable[[], Awaitable[list[ReceivedSpan]]]


@pytest.fixture
def collector() -> Iterator[OtlpCollector]:
    with otlp_collector() as running:
        yield running


@pytest.fixture
def logger() -> Logger:
    return make_logger("toy", LogSettings(), stream=io.StringIO())


@pytest.fixture
async def tracing(collector: OtlpCollector, logger: Logger) -> AsyncIterator[Tracing]:
    opened = open_tracing("toy", "1", TracingSettings(otlp_endpoint=collector.endpoint), logger)
    yield opened
    await opened.stop()


@pytest.fixture
def recorded(collector: OtlpCollector, tracing: Tracing) -> Recorded:
    """Exports, and returns what has been recorded; nothing is recorded afterwards."""

    async def spans() -> list[ReceivedSpan]:
        await tracing.stop()
        return collector.spans()

    return spans


def http_client(tracing: Tracing, logger: Logger) -> httpx.AsyncClient:
    app = FastAPI()
    install(app)

    @app.get("/spots/{spot_id}")
    async def spot(spot_id: int) -> int:
        if spot_id == 404:
            raise NotFound("no such spot")
        if spot_id == 500:
            raise KeyError("secret")
        return spot_id

    @app.get("/health/live")
    async def live() -> str:
        return "live"

    metrics, health = Metrics("toy"), Health()
    edge = Edge(
        app,
        service="toy",
        logger=logger,
        metrics=metrics,
        health=health,
        body_limit=BodyLimit(100, ""),
        tracing=tracing,
    )
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(edge, raise_app_exceptions=False), base_url="http://toy"
    )


async def test_a_request_is_a_server_span_named_by_its_route(
    tracing: Tracing, recorded: Recorded, logger: Logger
) -> None:
    async with http_client(tracing, logger) as client:
        for path in ("/spots/17?plate=D71026", "/spots/404", "/spots/500", "/nowhere", "/health/live"):
            await client.get(path, headers={"traceparent": TRACEPARENT})
    spans = await recorded()
    seen = [(span.name, span.attributes["http.response.status_code"], span.is_error) for span in spans]
    assert seen == [
        ("GET /spots/{spot_id}", 200, False),
        ("GET /spots/{spot_id}", 404, False),
        ("GET /spots/{spot_id}", 500, True),
        ("GET unmatched", 404, False),
    ]
    assert {(span.kind, span.parent_span_id) for span in spans} == {("SERVER", "b7ad6b7169203331")}
    shown = str([(span.name, span.attributes) for span in spans])
    assert not [word for word in ("17", "D71026", "secret", "nowhere") if word in shown]


async def test_a_grpc_call_is_a_client_span_with_the_server_span_below(
    tracing: Tracing, recorded: Recorded, logger: Logger
) -> None:
    async def echo(request: bytes, _context: Any) -> bytes:
        return request

    async def stream(_request: bytes, _context: Any) -> AsyncIterator[bytes]:
        yield b"x"
        raise NotFound("no such camera")

    def register(server: grpc.aio.Server) -> None:
        handlers = {
            "Echo": grpc.unary_unary_rpc_method_handler(echo),
            "Stream": grpc.unary_stream_rpc_method_handler(stream),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("toy.Toy", handlers),))

    listener = GrpcListener(
        GRPC, logger=logger, metrics=Metrics("toy"), rpcs=[Rpc("toy.Toy", register)], tracing=tracing
    )
    await listener.start()
    link: Any = channel(f"127.0.0.1:{listener.port}", GRPC)
    with use_trace(name="work", tracing=tracing):
        await link.unary_unary("/toy.Toy/Echo")(b"x", timeout=10)
        call = link.unary_stream("/toy.Toy/Stream")(b"x", timeout=10)
        with pytest.raises(grpc.aio.AioRpcError):
            _ = [item async for item in call]
        await call.code()
    await link.close()
    await listener.stop(1)
    spans = await recorded()
    by_name = {(span.kind, span.name): span for span in spans}
    for method, code in (("toy.Toy/Echo", "OK"), ("toy.Toy/Stream", "NOT_FOUND")):
        client, server = by_name["CLIENT", method], by_name["SERVER", method]
        assert server.parent_span_id == client.span_id
        assert client.parent_span_id == by_name["INTERNAL", "work"].span_id
        for span in (client, server):
            assert span.attributes["rpc.response.status_code"] == code
            assert span.is_error is (code != "OK")
    assert "hunter2" not in str(spans)


@pytest.mark.integration
async def test_a_statement_is_a_client_span_without_its_values(
    any_database: str, tracing: Tracing, recorded: Recorded
) -> None:
    db = Database(DatabaseSettings(url=any_database), "toy", is_traced=True)
    await db.start()
    async with db.transaction() as session:
        await session.execute(text("CREATE TABLE spots (name TEXT)"))  # not recorded: no span around it
    with use_trace(name="work", tracing=tracing):
        async with db.transaction() as session:
            await session.execute(text("INSERT INTO spots VALUES (:name)"), {"name": "D71026"})
        async with db.reading() as session:
            await session.execute(text("SELECT name FROM spots"))
        with pytest.raises(DBAPIError):
            async with db.reading() as session:
                await session.execute(text("SELECT name FROM nowhere"))
    await db.stop()
    spans = await recorded()
    work = next(span for span in spans if span.name == "work")
    statements = [span for span in spans if span.parent_span_id == work.span_id]
    assert [(span.name, span.is_error) for span in statements] == [
        ("INSERT spots", False),
        ("SELECT spots", False),
        ("SELECT nowhere", True),
    ]
    assert {span.kind for span in statements} == {"CLIENT"}
    assert {span.attributes["db.system.name"] for span in statements} == {db.dialect}
    assert "D71026" not in str(spans)


async def test_an_event_is_sent_and_processed_below_the_span_that_created_it(
    tracing: Tracing, recorded: Recorded
) -> None:
    def event(traceparent: str | None) -> Event:
        return Event(
            message_id=uuid7(),
            type=Timestamp.DESCRIPTOR.full_name,
            routing_key="toy.v1",
            partition_key="1",
            body=b"",
            occurred_at=datetime.now(UTC),
            app_id="toy",
            correlation_id="push-1",
            traceparent=traceparent,
        )

    with use_trace(tracing=tracing):  # as a background task runs
        record_sent([event(TRACEPARENT), event(TRACEPARENT)], [None, KeyError()], "rabbitmq", 0.0)
    with processing(event(TRACEPARENT), "toy.happened.v1", tracing) as here:
        assert here.trace_id == TRACEPARENT.split("-")[1]
    sent, processed = await recorded()
    assert (sent.kind, sent.name) == ("PRODUCER", "send google.protobuf.Timestamp")
    assert (processed.kind, processed.name) == ("CONSUMER", "process toy.happened.v1")
    assert {sent.parent_span_id, processed.parent_span_id} == {TRACEPARENT.split("-")[2]}
