"""What client and server share beside the protobuf contracts: metadata keys and channel options."""

import math
from datetime import timedelta
from typing import Any

from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from kit.problems import Problem
from kit.settings.blocks import GrpcSettings

AUTHORIZATION = "authorization"
TRACEPARENT = "traceparent"
CORRELATION_ID = "x-correlation-id"
PROBLEM = "lookout-problem-bin"
STATUS_DETAILS = "grpc-status-details-bin"
"""`google.rpc.Status`, as gRPC's richer error model has it: for clients that know nothing of `PROBLEM`."""
ERROR_DOMAIN = "lookout"

# Metadata is limited to 8 KiB by default; a problem document with every field error would exceed that.
MAX_PROBLEM_ERRORS = 10
MAX_DETAIL_CHARS = 1_000


def status_details(code: int, problem: Problem, retry_after_s: int | None) -> bytes:
    """The serialized `google.rpc.Status`: an `ErrorInfo` with the code of the problem as its reason, and a `RetryInfo`
    only where the same call may succeed after that time. That tells a full queue (RESOURCE_EXHAUSTED with RetryInfo)
    from what no repetition helps.
    """
    status = status_pb2.Status(code=code, message=problem.detail)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=problem.code, domain=ERROR_DOMAIN))
    if retry_after_s is not None:
        delay = duration_pb2.Duration(seconds=retry_after_s)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    serialized: bytes = status.SerializeToString()
    return serialized


def retry_after_s(details: bytes) -> int | None:
    """The delay of the `RetryInfo` in such a status, in seconds rounded up; None where it has none or is damaged."""
    info = error_details_pb2.RetryInfo()
    try:
        found = status_pb2.Status.FromString(details).details
        if any(detail.Is(info.DESCRIPTOR) and detail.Unpack(info) for detail in found):
            delay: timedelta = info.retry_delay.ToTimedelta()
            return math.ceil(delay.total_seconds())
    except (DecodeError, ValueError, OverflowError):
        pass
    return None


def common_options(settings: GrpcSettings) -> list[tuple[str, Any]]:
    """Options of both client and server."""
    keepalive_ms = round(settings.keepalive_s * 1000)
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", max(1000, keepalive_ms // 2)),
    ]
