"""What the process keeps after memory was freed."""

import sys
from pathlib import Path

import pytest

from kit.memory import return_kept_memory

_BLOCK_BYTES = 100_000
_STATUS = Path("/proc/self/status")


def resident_mb() -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is told, and /proc is read")
def test_freed_memory_between_blocks_in_use_is_returned() -> None:
    blocks = [bytes([1]) * _BLOCK_BYTES for _ in range(1000)]
    kept = blocks[::50]  # so that the freed blocks are not at the end of the heap
    before_mb = resident_mb()
    del blocks
    return_kept_memory()
    assert resident_mb() < before_mb - 60
    assert all(block[0] == 1 for block in kept)
