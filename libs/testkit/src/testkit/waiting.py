"""Waiting for something to become true: by looking until a deadline, never by sleeping and hoping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

POLL_INTERVAL_S = 0.02

T = TypeVar("T")


@overload
async def eventually(
    look: Callable[[], Awaitable[T]], timeout_s: float = 10, message: str = "", *, interval_s: float = ...
) -> T: ...
@overload
async def eventually(
    look: Callable[[], T], timeout_s: float = 10, message: str = "", *, interval_s: float = ...
) -> T: ...
async def eventually(
    look: Callable[[], Any],
    timeout_s: float = 10,
    message: str = "",
    *,
    interval_s: float = POLL_INTERVAL_S,
) -> Any:
    """Call `look` until what it gives back is truthy, and give that back.

    An AssertionError inside `look` counts as "not yet": its body may be plain assertions, as long as it ends
    by returning something truthy. Any other exception goes straight to the test.

    Raises:
        AssertionError: at the deadline, with `message` and what was seen last.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        failure: AssertionError | None = None
        seen: object = None
        try:
            seen = look()
            if inspect.isawaitable(seen):
                seen = await seen
        except AssertionError as error:
            failure = error
        if failure is None and seen:
            return seen
        if time.monotonic() >= deadline:
            last = failure if failure is not None else f"last seen: {seen!r}"
            raise AssertionError(f"{message or 'not true'} within {timeout_s:g} s; {last}") from failure
        await asyncio.sleep(interval_s)
