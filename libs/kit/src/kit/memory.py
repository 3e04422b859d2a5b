"""Returns freed memory to the operating system. Only glibc is told to; elsewhere nothing happens."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

_M_MMAP_THRESHOLD = -3  # malloc.h
_USUAL_BLOCK_BYTES = 8_388_608
_SPARING_BLOCK_BYTES = 1_048_576


def return_large_blocks() -> None:
    """Return each freed block of 8 MiB and more at once, in this process from now on.

    By default glibc keeps blocks of up to 32 MiB after the first one was freed, so that one large picture makes the
    process larger for ever.
    """
    _return_blocks_of(_USUAL_BLOCK_BYTES)


@contextmanager
def sparing_memory() -> Iterator[None]:
    """Inside the block, return freed blocks of 1 MiB and more at once; before it and at its end, all that was kept.

    It takes a network up to twice the time, because the system clears memory before it is used again.
    """
    _return_blocks_of(_SPARING_BLOCK_BYTES)
    return_kept_memory()
    try:
        yield
    finally:
        _return_blocks_of(_USUAL_BLOCK_BYTES)
        return_kept_memory()


def return_kept_memory() -> None:
    """Return all freed memory that was kept for reuse. It takes milliseconds, during which no thread can allocate."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _return_blocks_of(size_bytes: int) -> None:
    if (library := _glibc()) is not None:
        library.mallopt(_M_MMAP_THRESHOLD, size_bytes)


@cache
def _glibc() -> ctypes.CDLL | None:
    with suppress(AttributeError, OSError):
        library = ctypes.CDLL(None)
        _ = library.mallopt, library.malloc_trim
        return library
    return None
