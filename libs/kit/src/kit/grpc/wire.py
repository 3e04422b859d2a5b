"""What client and server share beside the protobuf contracts: metadata keys and channel options."""

from typing import Any

from kit.settings.blocks import GrpcSettings

AUTHORIZATION = "authorization"
TRACEPARENT = "traceparent"
CORRELATION_ID = "x-correlation-id"
PROBLEM = "lookout-problem-bin"

# Metadata is limited to 8 KiB by default; a problem document with every field error would exceed that.
MAX_PROBLEM_ERRORS = 10
MAX_DETAIL_CHARS = 1_000


def common_options(settings: GrpcSettings) -> list[tuple[str, Any]]:
    """Options of both client and server."""
    keepalive_ms = round(settings.keepalive_s * 1000)
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", max(1000, keepalive_ms // 2)),
    ]
