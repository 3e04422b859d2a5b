"""Waits for a condition with a deadline, in place of fixed sleeps."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

POLL_INTERVAL_S = 0.02

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]],
    timeout_s: float = 10,
    message: str = "",
    *,
    interval_s: float = ...,
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T], timeout_s: float = 10, message: str = "", *, interval_s: float = ...
) -> T: ...
async def eventually(
    condition: Callable[[], Any],
    timeout_s: float = 10,
    message: str = "",
    *,
    interval_s: float = POLL_INTERVAL_S,
) -> Any:
    """Call `condition` until it returns something truthy, and return that.

    An AssertionError inside `condition` counts as "not yet": it may consist of assertions, if it returns something
    truthy in the end. Any other exception is raised at once.

    Raises:
        AssertionError: at the deadline, with `message` and the last value or failure.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        failure: AssertionError | None = None
        value: object = None
        try:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
        except AssertionError as error:
            failure = error
        if failure is None and value:
            return value
        if time.monotonic() >= deadline:
            last = failure if failure is not None else f"last value: {value!r}"
            raise AssertionError(f"{message or 'not true'} within {timeout_s:g} s; {last}") from failure
        await asyncio.sleep(interval_s)
