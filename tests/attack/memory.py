"""Memory of processes, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path


def memory_mb(pid: int | str = "self", what: str = "VmRSS") -> float:
    """Resident memory in MB (proc(5): `VmRSS` now, `VmHWM` the largest since `reset_peak`, both in KiB)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(what)) * 1.024e-3


def reset_peak(pid: int | str = "self") -> None:
    """Start `VmHWM` again from the memory that is resident now (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
