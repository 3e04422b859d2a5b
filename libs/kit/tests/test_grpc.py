import asyncio
import datetime as dt
import io
import ipaddress
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped] # ships no types
from pydantic import SecretStr

from kit import errors
from kit.errors import (
    FieldError,
    Invalid,
    LookoutError,
    NotFound,
    RateLimited,
    StorageFull,
    TooLarge,
    Unavailable,
)
from kit.grpc import GrpcListener, Rpc, channel, error_of
from kit.logging import make_logger
from kit.metrics import Metrics
from kit.settings import GrpcSettings, LogSettings
from kit.settings.blocks import GrpcCaller
from kit.tracing import current_correlation_id, current_trace, use_trace

# gRPC opens its sockets in C, where pytest-socket does not see them.
pytestmark = pytest.mark.integration

SETTINGS = GrpcSettings(host="127.0.0.1", port=0, token=SecretStr("hunter2"), default_deadline_s=0.3)
Behaviour = Callable[[Any, Any], Any]


class Toy:
    """Methods whose bodies a test gives, over plain bytes."""

    def __init__(self, **bodies: Behaviour) -> None:
        self.bodies = bodies
        self.log = io.StringIO()
        self.metrics = Metrics("toy")

    def register(self, server: grpc.aio.Server) -> None:
        handlers = {
            name: getattr(grpc, f"{name.partition('__')[0]}_rpc_method_handler")(body)
            for name, body in self.bodies.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("toy.Toy", handlers),))

    def lines(self, event: str) -> list[dict[str, Any]]:
        lines = [orjson.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


@asynccontextmanager
async def served(
    toy: Toy, settings: GrpcSettings = SETTINGS, client: GrpcSettings | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Any]:  # the stubs cannot know that our methods carry bytes
    logger = make_logger("toy", LogSettings(), stream=toy.log)
    listener = GrpcListener(settings, logger=logger, metrics=toy.metrics, rpcs=[Rpc("toy.Toy", toy.register)])
    await listener.start()
    link = channel(f"{host}:{listener.port}", client or settings)
    try:
        yield link
    finally:
        await link.close()
        await listener.stop(1)


async def echo(request: bytes, _context: Any) -> bytes:
    return request


async def failing(error: Exception, link_settings: GrpcSettings = SETTINGS) -> grpc.aio.AioRpcError:
    async def refuse(_request: bytes, _context: Any) -> bytes:
        raise error

    async with served(Toy(unary_unary=refuse), link_settings) as link:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=10)
    return caught.value


async def test_all_four_kinds_of_calls() -> None:
    async def stream(request: bytes, _context: Any) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield request

    async def collect(requests: AsyncIterator[bytes], _context: Any) -> bytes:
        return b"".join([request async for request in requests])

    async def both(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request.upper()

    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    toy = Toy(unary_unary=echo, unary_stream=stream, stream_unary=collect, stream_stream=both)
    async with served(toy) as link:
        assert await link.unary_unary("/toy.Toy/unary_unary")(b"a", timeout=10) == b"a"
        streamed = link.unary_stream("/toy.Toy/unary_stream")(b"a", timeout=10)
        assert [item async for item in streamed] == [b"a"] * 3
        assert await link.stream_unary("/toy.Toy/stream_unary")(parts(), timeout=10) == b"ab"
        mirrored = link.stream_stream("/toy.Toy/stream_stream")(parts(), timeout=10)
        assert [item async for item in mirrored] == [b"A", b"B"]


@pytest.mark.parametrize(
    "error",
    [
        *(kind("Not so.", code="its_own") for kind in errors.BY_STATUS.values()),
        Invalid("Bad.", status=400, errors=[FieldError("box.x", "is negative")]),
        NotFound("Nö, 🚗 ist weg."),
    ],
)
async def test_an_error_arrives_as_it_was_raised(error: LookoutError) -> None:
    arrived = error_of(await failing(error))
    assert type(arrived) is type(error)
    assert (arrived.detail, arrived.code, arrived.status, arrived.errors) == (
        error.detail,
        error.code,
        error.status,
        error.errors,
    )


class BarrierStuck(LookoutError):  # noqa: N818 - as the errors of the kit
    default_status = errors.UpstreamFailed.default_status


async def test_an_error_of_a_services_own_arrives_as_a_failed_upstream() -> None:
    assert type(error_of(await failing(errors.UpstreamFailed("No.")))) is errors.UpstreamFailed
    assert type(error_of(await failing(BarrierStuck("Stuck.")))) is errors.UpstreamFailed


async def test_an_error_with_more_than_fits_still_arrives() -> None:
    many = Invalid("x" * 100_000, errors=[FieldError(str(n), "y" * 1000) for n in range(1000)])
    arrived = error_of(await failing(many))
    assert isinstance(arrived, Invalid)
    assert len(arrived.detail) == 1000
    assert len(arrived.errors) == 10


async def test_a_bug_of_the_server_is_a_failed_upstream_without_its_text() -> None:
    raised = await failing(KeyError("hunter2"))
    assert raised.code() is grpc.StatusCode.INTERNAL
    assert "hunter2" not in f"{raised.details()}{raised.trailing_metadata()}"
    assert isinstance(error_of(raised), errors.UpstreamFailed)


async def test_a_bug_is_logged_with_its_traceback_and_the_trace() -> None:
    async def refuse(_request: bytes, _context: Any) -> bytes:
        raise KeyError("plate")

    toy = Toy(unary_unary=refuse)
    async with served(toy) as link:
        with use_trace() as trace, pytest.raises(grpc.aio.AioRpcError):
            await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=10)
    (line,) = toy.lines("grpc_unhandled_error")
    assert line["trace_id"] == trace.trace_id
    assert "KeyError: 'plate'" in line["exception"]


@pytest.mark.parametrize("token", ["", "hunter", "hunter22"])
async def test_a_call_without_the_service_token_is_not_executed(token: str) -> None:
    done: list[bytes] = []

    async def act(request: bytes, _context: Any) -> bytes:
        done.append(request)
        return request

    client_settings = SETTINGS.model_copy(update={"token": SecretStr(token)})
    async with served(Toy(unary_unary=act), client=client_settings) as link:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert error_of(caught.value).code == "service_token_invalid"
    assert done == []


SHOP = "shop-token"
PRINTER = "printer-token"
NAMED = SETTINGS.model_copy(
    update={
        "callers": {
            "shop": GrpcCaller(
                token=SecretStr(f"{SHOP}, shop-token-before"), methods=frozenset({"toy.Toy/unary_unary"})
            ),
            "printer": GrpcCaller(token=SecretStr(PRINTER), methods=frozenset({"toy.Toy/*"})),
            "idle": GrpcCaller(token=SecretStr("idle-token"), methods=frozenset()),
        }
    }
)
REFUSED_TOKEN = (grpc.StatusCode.UNAUTHENTICATED, "service_token_invalid")
REFUSED_METHOD = (grpc.StatusCode.PERMISSION_DENIED, "method_not_allowed")


@pytest.mark.parametrize(
    ("token", "method", "refusal", "caller"),
    [
        (SHOP, "unary_unary", None, ""),
        ("shop-token-before", "unary_unary", None, ""),
        (SHOP, "unary_unary__other", REFUSED_METHOD, "shop"),
        (PRINTER, "unary_unary__other", None, ""),
        ("idle-token", "unary_unary", REFUSED_METHOD, "idle"),
        # The token that the server itself sends to others is nobody's here.
        ("hunter2", "unary_unary", REFUSED_TOKEN, "unknown"),
        ("", "unary_unary", REFUSED_TOKEN, "unknown"),
        ("shop", "unary_unary", REFUSED_TOKEN, "unknown"),
    ],
)
async def test_a_named_caller_calls_its_methods_and_no_other(
    token: str, method: str, refusal: tuple[grpc.StatusCode, str] | None, caller: str
) -> None:
    toy = Toy(unary_unary=echo, unary_unary__other=echo)
    client = SETTINGS.model_copy(update={"token": SecretStr(token)})
    async with served(toy, NAMED, client) as link:
        call = link.unary_unary(f"/toy.Toy/{method}")
        if refusal is None:
            assert await call(b"x", timeout=10) == b"x"
            assert toy.lines("grpc_refused") == []
            return
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"x", timeout=10)
    assert (caught.value.code(), error_of(caught.value).code) == refusal
    [line] = toy.lines("grpc_refused")
    assert (line["caller"] or "unknown", line["method"]) == (caller, f"/toy.Toy/{method}")
    exposed = toy.metrics.render().decode()
    assert f'grpc_calls_refused_total{{caller="{caller}",reason="{refusal[1]}"' in exposed


async def test_nobody_may_call_where_the_callers_are_empty() -> None:
    async with served(Toy(unary_unary=echo), SETTINGS.model_copy(update={"callers": {}}), SETTINGS) as link:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=10)
    assert error_of(caught.value).code == "service_token_invalid"


async def test_a_token_that_is_replaced_is_accepted_beside_the_new_one() -> None:
    server = SETTINGS.model_copy(update={"token": SecretStr("new, hunter2")})
    for client in (SETTINGS, server, SETTINGS.model_copy(update={"token": SecretStr("new")})):
        async with served(Toy(unary_unary=echo), server, client) as link:
            assert await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=10) == b"x"


async def test_trace_and_correlation_id_are_sent_along() -> None:
    seen: list[tuple[str, str | None]] = []

    async def look(request: bytes, _context: Any) -> bytes:
        trace = current_trace()
        assert trace is not None
        seen.append((trace.trace_id, current_correlation_id()))
        return request

    async def look_and_stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield await look(request, context)

    async with served(Toy(unary_unary=look, unary_stream=look_and_stream)) as link:
        with use_trace(correlation_id="frame-1") as trace:
            await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=10)
            _ = [item async for item in link.unary_stream("/toy.Toy/unary_stream")(b"x", timeout=10)]
    assert seen == [(trace.trace_id, "frame-1")] * 2


async def test_a_call_without_a_deadline_is_refused_by_the_client() -> None:
    async with served(Toy(unary_unary=echo)) as link:
        with pytest.raises(ValueError, match="without a deadline"):
            await link.unary_unary("/toy.Toy/unary_unary")(b"x")


async def test_the_servers_own_deadline_holds_for_callers_that_set_none() -> None:
    cancelled = asyncio.Event()

    async def wait(_request: bytes, _context: Any) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return b""

    toy = Toy(unary_unary=wait)
    logger = make_logger("toy", LogSettings(), stream=toy.log)
    listener = GrpcListener(SETTINGS, logger=logger, metrics=toy.metrics, rpcs=[Rpc("toy.Toy", toy.register)])
    await listener.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}") as plain:
        call: Any = plain.unary_unary("/toy.Toy/unary_unary")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"x", metadata=(("authorization", "Bearer hunter2"),))
    await listener.stop(1)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert cancelled.is_set()


async def test_a_callers_deadline_ends_the_work() -> None:
    cancelled = asyncio.Event()

    async def wait(_request: bytes, _context: Any) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return b""

    async with served(Toy(unary_unary=wait)) as link:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=0.2)
        assert isinstance(error_of(caught.value), errors.UpstreamTimeout)
        await asyncio.wait_for(cancelled.wait(), 10)


@pytest.mark.parametrize(
    ("error", "calls"), [(Unavailable("away"), 3), (Invalid("bad"), 1), (errors.UpstreamFailed("odd"), 1)]
)
async def test_only_what_is_unavailable_is_tried_again(error: LookoutError, calls: int) -> None:
    seen = 0

    async def recover(request: bytes, _context: Any) -> bytes:
        nonlocal seen
        seen += 1
        if seen < 3:
            raise error
        return request

    async with served(Toy(unary_unary=recover)) as link:
        call = link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=20)
        if calls == 3:
            assert await call == b"x"
        else:
            with pytest.raises(grpc.aio.AioRpcError):
                await call
    assert seen == calls


async def test_a_server_that_does_not_listen_is_unavailable() -> None:
    link: Any = channel("127.0.0.1:1", SETTINGS)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=5)
    finally:
        await link.close()
    error = error_of(caught.value)
    assert isinstance(error, Unavailable)
    assert error.retry_after_s == 1


async def test_a_message_over_the_limit_is_refused() -> None:
    small = SETTINGS.model_copy(update={"max_message_bytes": 1000})
    async with served(Toy(unary_unary=echo), small, client=SETTINGS) as link:
        call = link.unary_unary("/toy.Toy/unary_unary")
        assert await call(b"x" * 900, timeout=10) == b"x" * 900
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"x" * 1001, timeout=10)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    error = error_of(caught.value)
    assert (error.status, error.retry_after_s) == (413, None), "repeating the call does not help"


@pytest.mark.parametrize(
    ("raised", "retry_after_s"),
    [
        (RateLimited("the queue is full", code="queue_full", retry_after_s=3), 3),
        (StorageFull("the disk is full", retry_after_s=60), 60),
        (Unavailable("starting", retry_after_s=7), 7),
        (TooLarge("the picture is over 12 MB"), None),
        (NotFound("none"), None),
    ],
)
async def test_a_client_is_told_whether_and_when_to_repeat_a_call(
    raised: LookoutError, retry_after_s: int | None
) -> None:
    async def refuse(_request: bytes, _context: Any) -> bytes:
        raise raised

    async with served(Toy(unary_unary=refuse)) as link:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=10)
    metadata = dict(caught.value.trailing_metadata() or ())
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    [reason, *retry] = status.details
    info, delay = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert reason.Unpack(info)
    assert (info.reason, info.domain) == (raised.code, "lookout")
    assert [item.Unpack(delay) and delay.retry_delay.seconds for item in retry] == (
        [] if retry_after_s is None else [retry_after_s]
    )
    assert (status.code, status.message) == (caught.value.code().value[0], raised.detail)
    error = error_of(caught.value)
    assert (type(error), error.code, error.retry_after_s) == (type(raised), raised.code, retry_after_s)


async def test_calls_are_counted_by_method_and_outcome() -> None:
    async def refuse(_request: bytes, _context: Any) -> bytes:
        raise NotFound("none")

    toy = Toy(unary_unary=echo, unary_unary__missing=refuse)
    async with served(toy) as link:
        for _ in range(2):
            await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=10)
        with pytest.raises(grpc.aio.AioRpcError):
            await link.unary_unary("/toy.Toy/unary_unary__missing")(b"x", timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await link.unary_unary("/toy.Toy/made_up")(b"x", timeout=10)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    text = toy.metrics.render().decode()
    assert 'lookout_toy_grpc_calls_total{code="OK",method="/toy.Toy/unary_unary"} 2.0' in text
    assert 'grpc_calls_total{code="NOT_FOUND",method="/toy.Toy/unary_unary__missing"} 1.0' in text
    assert 'grpc_call_seconds_count{method="/toy.Toy/unary_unary"} 2.0' in text
    assert "made_up" not in text


async def test_a_probe_needs_no_token_and_sees_the_draining() -> None:
    toy = Toy()
    logger = make_logger("toy", LogSettings(), stream=toy.log)
    listener = GrpcListener(SETTINGS, logger=logger, metrics=toy.metrics, rpcs=[Rpc("toy.Toy", toy.register)])
    await listener.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}") as plain:
        probe = health_pb2_grpc.HealthStub(plain)
        status = health_pb2.HealthCheckResponse
        assert (await probe.Check(health_pb2.HealthCheckRequest())).status == status.SERVING
        watch = probe.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == status.SERVING
        await listener.set_serving(False)
        assert (await watch.read()).status == status.NOT_SERVING
        await listener.set_serving(True)
        assert (await watch.read()).status == status.SERVING
        watch.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await probe.Check(health_pb2.HealthCheckRequest(service="made-up"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    await listener.stop(0)


async def test_a_taken_port_is_an_os_error() -> None:
    toy = Toy()
    logger = make_logger("toy", LogSettings(), stream=toy.log)
    first = GrpcListener(SETTINGS, logger=logger, metrics=toy.metrics, rpcs=[Rpc("toy.Toy", toy.register)])
    await first.start()
    taken = SETTINGS.model_copy(update={"port": first.port})
    second = GrpcListener(taken, logger=logger, metrics=toy.metrics, rpcs=[Rpc("toy.Toy", toy.register)])
    with pytest.raises(OSError, match=str(first.port)):
        await second.start()
    await first.stop(0)


def write_certificate(folder: Path) -> dict[str, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "toy")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = {
        "tls_certificate": folder / "toy.pem",
        "tls_key": folder / "toy.key",
        "tls_ca": folder / "toy.pem",
    }
    files["tls_certificate"].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files["tls_key"].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


async def test_tls_with_certificates_on_both_sides(tmp_path: Path) -> None:
    files = write_certificate(tmp_path)
    secure = SETTINGS.model_copy(update={**files, "is_client_certificate_required": True})
    async with served(Toy(unary_unary=echo), secure) as link:
        assert await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=10) == b"x"
    anonymous = SETTINGS.model_copy(update={"tls_ca": files["tls_ca"]})
    for client in (SETTINGS, anonymous):
        async with served(Toy(unary_unary=echo), secure, client=client) as link:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await link.unary_unary("/toy.Toy/unary_unary")(b"x", timeout=2)
            assert caught.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
