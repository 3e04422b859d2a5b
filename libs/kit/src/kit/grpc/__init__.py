"""gRPC between services: deadlines, a service token, one trace, errors that arrive as they were raised."""

from kit.grpc.client import channel, error_of
from kit.grpc.peers import (
    Peers,
    local_channel,
    local_token,
    make_socket_folder,
    remove_socket_folder,
    socket_path,
)
from kit.grpc.server import GrpcListener, Rpc, make_server

__all__ = [
    "GrpcListener",
    "Peers",
    "Rpc",
    "channel",
    "error_of",
    "local_channel",
    "local_token",
    "make_server",
    "make_socket_folder",
    "remove_socket_folder",
    "socket_path",
]
