"""Calls between services of one process, over Unix sockets in their data folder."""

import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped] # ships no types
    reflection_pb2,
    reflection_pb2_grpc,
)
from pydantic import SecretStr

from kit.errors import NotFound, Unavailable
from kit.grpc import Peers, Rpc, error_of, local_channel, socket_path
from kit.grpc.peers import MAX_SOCKET_PATH_BYTES
from kit.service import Service, ServiceRunner
from kit.settings import Block, GrpcSettings
from testkit.processes import free_port

pytestmark = pytest.mark.integration

Build = Callable[..., Service]


class Addresses(Block):
    toy: str = "dns:///toy:9109"


async def echo(request: bytes, _context: Any) -> bytes:
    if request == b"missing":
        raise NotFound("There is no such ball.", code="unknown_ball")
    return request


def register(server: grpc.aio.Server) -> None:
    handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("toy.Toy", handlers),))


@asynccontextmanager
async def running(build: Build, folder: Path, **parts: Any) -> AsyncIterator[Service]:
    service = build(mode="embedded", data_dir=folder, rpcs=[Rpc("toy.Toy", register)], **parts)
    runner = ServiceRunner([service])
    await runner.start()
    try:
        yield service
    finally:
        await runner.stop()


def echo_of(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary("/toy.Toy/Echo")


async def test_a_peer_is_called_by_its_name(build: Build, tmp_path: Path) -> None:
    async with running(build, tmp_path) as service:
        peers = Peers(service.settings, Addresses())
        assert await echo_of(peers.channel("toy"))(b"ball", timeout=30) == b"ball"
        assert peers.channel("toy") is peers.channel("toy")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await echo_of(peers.channel("toy"))(b"missing", timeout=30)
        error = error_of(failed.value)
        assert (type(error), error.code) == (NotFound, "unknown_ball")
        with pytest.raises(ValueError, match="deadline"):
            await echo_of(peers.channel("toy"))(b"ball")
        with pytest.raises(KeyError, match="the peers are toy"):
            peers.channel("tOY")
        await peers.stop()


async def test_a_service_of_the_network_is_called_at_the_address_in_the_settings(build: Build) -> None:
    settings = GrpcSettings(host="127.0.0.1", port=free_port(), token=SecretStr("s"))
    service = build(grpc=settings, rpcs=[Rpc("toy.Toy", register)])
    runner = ServiceRunner([service])
    await runner.start()
    try:
        peers = Peers(service.settings, Addresses(toy=f"127.0.0.1:{runner.grpc['toy'].port}"))
        assert await echo_of(peers.channel("toy"))(b"ball", timeout=30) == b"ball"
        await peers.stop()
    finally:
        await runner.stop()


async def test_sockets_and_token_are_for_their_owner_only(build: Build, tmp_path: Path) -> None:
    async with running(build, tmp_path) as service:
        assert stat.S_IMODE((tmp_path / "rpc").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "rpc.token").stat().st_mode) == 0o600
        for token in ("", "another"):
            async with local_channel(service.settings, "toy", token=token) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await echo_of(channel)(b"ball", timeout=30)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_folder_whose_path_is_too_long_for_a_socket_is_a_link(build: Build, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    link = folder / "rpc"

    async def serve_a_call() -> Path:
        async with running(build, folder) as service:
            assert len(os.fsencode(socket_path(folder, "toy"))) <= MAX_SOCKET_PATH_BYTES
            async with local_channel(service.settings, "toy") as channel:
                assert await echo_of(channel)(b"ball", timeout=30) == b"ball"
            return link.readlink()

    target = await serve_a_call()
    assert not target.exists(), "the temporary folder is left after the stop"
    assert not link.is_symlink()
    # As a killed process leaves it: first with its folder, then without.
    link.symlink_to(kept := Path(tempfile.mkdtemp()))
    assert await serve_a_call() == kept
    link.symlink_to(kept)
    assert await serve_a_call() != kept


async def test_a_temporary_folder_that_another_process_uses_stays(build: Build, tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    async with running(build, folder):
        target = (folder / "rpc").readlink()
        (target / "other.sock").touch()
    assert (folder / "rpc").readlink() == target
    (target / "other.sock").unlink()
    target.rmdir()


async def test_the_token_is_not_sent_to_a_socket_of_another_user(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = build(mode="embedded", data_dir=tmp_path).settings
    (tmp_path / "rpc").symlink_to(tmp_path / "gone")
    with pytest.raises(Unavailable, match="toy is not running"):
        local_channel(settings, "toy")
    (tmp_path / "gone").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: (tmp_path / "gone").stat().st_uid + 1)
    with pytest.raises(PermissionError, match="rpc belongs to another user"):
        local_channel(settings, "toy")
    with pytest.raises(PermissionError, match="rpc belongs to another user"):
        async with running(build, tmp_path):
            pass


async def test_a_socket_left_by_a_killed_process_is_replaced(build: Build, tmp_path: Path) -> None:
    (tmp_path / "rpc").mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path(tmp_path, "toy")))
    async with running(build, tmp_path) as service, local_channel(service.settings, "toy") as channel:
        assert await echo_of(channel)(b"ball", timeout=30) == b"ball"


async def test_a_second_process_on_the_data_folder_is_refused(build: Build, tmp_path: Path) -> None:
    async with running(build, tmp_path) as service:
        with pytest.raises(OSError, match="another process uses the same data folder"):
            async with running(build, tmp_path):
                pass
        async with local_channel(service.settings, "toy") as channel:
            assert await echo_of(channel)(b"ball", timeout=30) == b"ball"


@pytest.mark.parametrize("is_enabled", [False, True])
async def test_methods_are_described_where_reflection_is_enabled(
    build: Build, tmp_path: Path, is_enabled: bool
) -> None:
    grpc_settings = GrpcSettings(is_reflection_enabled=is_enabled)
    async with (
        running(build, tmp_path, grpc=grpc_settings) as service,
        local_channel(service.settings, "toy") as channel,
    ):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=30
        )
        if not is_enabled:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call.read()
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        else:
            response = await call.read()
            names = [each.name for each in response.list_services_response.service]
            assert "toy.Toy" in names
