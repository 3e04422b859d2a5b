"""gRPC between services: deadlines, a service token, one trace, errors that arrive as they were raised."""

from kit.grpc.client import channel, error_of
from kit.grpc.server import GrpcListener, make_server

__all__ = ["GrpcListener", "channel", "error_of", "make_server"]
