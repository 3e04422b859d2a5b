# ruff: noqa: N818 - errors are named after what is wrong: NotFound, not NotFoundError
"""Errors that a handler raises for its caller. `kit.problems` maps each of them to HTTP and gRPC."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One invalid input: `field` is its dotted path in the request."""

    field: str
    reason: str


class LookoutError(Exception):
    """An error that the caller gets to see. `retry_after_s` is set where the same call may succeed later."""

    default_status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: Iterable[FieldError] = (),
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.status = self.default_status
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        fields = "; ".join(f"{error.field}: {error.reason}" for error in self.errors)
        return f"{self.detail} ({fields})" if fields else self.detail


class ServiceFailed(Exception):
    """A service cannot be started, and a retry would not help; the text says why and what to do."""


class Invalid(LookoutError):
    """The input breaks a rule: 422, or 400 where it cannot be parsed."""

    default_status = 422
    default_code = "invalid"
    title = "Invalid input"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: Iterable[FieldError] = (),
        retry_after_s: int | None = None,
        status: int = 422,
    ) -> None:
        super().__init__(detail, code=code, errors=errors, retry_after_s=retry_after_s)
        self.status = status


class Unauthenticated(LookoutError):
    """The call carries no valid token."""

    default_status = 401
    default_code = "unauthenticated"
    title = "Sign-in required"


class Forbidden(LookoutError):
    """The caller is known and lacks the permission."""

    default_status = 403
    default_code = "forbidden"
    title = "Not allowed"


class NotFound(LookoutError):
    """Nothing has that id."""

    default_status = 404
    default_code = "not_found"
    title = "Not found"


class Conflict(LookoutError):
    """The current state forbids it: a duplicate name, a row changed meanwhile."""

    default_status = 409
    default_code = "conflict"
    title = "Conflict"


class Gone(LookoutError):
    """It existed; its retention has ended."""

    default_status = 410
    default_code = "gone"
    title = "No longer kept"


class TooLarge(LookoutError):
    """The input is over a size limit."""

    default_status = 413
    default_code = "too_large"
    title = "Too large"


class UnsupportedMedia(LookoutError):
    """The input has a media type that is not accepted here."""

    default_status = 415
    default_code = "unsupported_media"
    title = "Unsupported media type"


class RateLimited(LookoutError):
    """Too many calls; the next one is accepted after `retry_after_s`."""

    default_status = 429
    default_code = "rate_limited"
    title = "Too many requests"


class UpstreamFailed(LookoutError):
    """A device or service that this call depends on failed or gave an invalid answer."""

    default_status = 502
    default_code = "upstream_failed"
    title = "Upstream failed"


class UpstreamUnreachable(UpstreamFailed):
    """A device that this call depends on cannot be called: no permitted address, or the connection is refused."""

    default_code = "upstream_unreachable"


class Unavailable(LookoutError):
    """A dependency cannot be reached for now. The caller may repeat the call after `retry_after_s`."""

    default_status = 503
    default_code = "unavailable"
    title = "Unavailable"


class UpstreamTimeout(LookoutError):
    """A device or service that this call depends on did not answer in time."""

    default_status = 504
    default_code = "upstream_timeout"
    title = "Upstream timed out"


class StorageFull(LookoutError):
    """The disk is full; an operator has to free space."""

    default_status = 507
    default_code = "storage_full"
    title = "Storage full"


BY_STATUS: dict[int, type[LookoutError]] = {
    # Collected here, once: later subclasses are a service's own, and none of them represents a status.
    kind.default_status: kind
    for kind in LookoutError.__subclasses__()
}
"""The error of each HTTP status, by which a client finds the error that the server raised."""
