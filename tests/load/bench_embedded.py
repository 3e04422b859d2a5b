"""`all-in-one serve`: start to ready, memory and processor time while idle, and what each service adds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench_gateway import is_up, processor_s
from figures import Figure, median, publish
from testkit.processes import free_port, spawn, wait_until

RUNS = 3
SETTLE_S, IDLE_S = 5, 20


def resident_mb(pid: int) -> float:
    """Resident memory of a process in MB (proc(5), `VmRSS` in KiB)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1.024e-3


def start_to_ready(data_dir: Path, *, is_idle_measured: bool = False) -> tuple[float, float, float]:
    """Seconds until ready; if wanted, then idle memory in MB and processor time in ms per second, else 0."""
    port, log = free_port(), data_dir.with_suffix(".log")
    program = Path(sys.executable).with_name("all-in-one")
    started_s = time.perf_counter()
    process = spawn(
        [program, "serve", "--port", str(port), "--data-dir", data_dir], log=log, env=own_ports_environment()
    )
    try:
        url = f"http://127.0.0.1:{port}/health/ready"
        wait_until(lambda: is_up(url), timeout_s=120, what="all-in-one serve", log=log)
        ready_s = time.perf_counter() - started_s
        if not is_idle_measured:
            return ready_s, 0.0, 0.0
        time.sleep(SETTLE_S)
        used_s = processor_s(process.pid)
        time.sleep(IDLE_S)
        return ready_s, resident_mb(process.pid), (processor_s(process.pid) - used_s) / IDLE_S * 1000
    finally:
        process.terminate()
        process.wait(60)


def own_ports_environment() -> dict[str, str]:
    """This environment without Lookout's settings, so that the defaults are measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LOOKOUT")}


def read_shares(data_dir: Path) -> Mapping[str, tuple[float, float]]:
    command = [sys.executable, str(Path(__file__).with_name("embedded_shares.py")), str(data_dir)]
    output = subprocess.run(command, check=True, capture_output=True, env=own_ports_environment()).stdout
    return {name: (share[0], share[1]) for name, share in json.loads(output.splitlines()[-1]).items()}


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch, f"data-{number}") for number in range(RUNS)]
        fresh = [start_to_ready(folder)[0] for folder in folders]
        existing = [start_to_ready(folder, is_idle_measured=True) for folder in folders]
        shares = [read_shares(Path(scratch, f"shares-{number}")) for number in range(RUNS)]
    figures = [
        Figure("start to ready, new data folder", median(fresh), "s"),
        Figure("start to ready, existing data folder", median([run[0] for run in existing]), "s"),
        Figure("resident memory, idle", median([run[1] for run in existing]), "MB"),
        Figure("processor time, idle", median([run[2] for run in existing]), "ms/s"),
    ]
    for name in shares[0]:
        figures += [
            Figure(f"{name}: import and build", median([share[name][0] for share in shares]), "s"),
            Figure(f"{name}: memory added", median([share[name][1] for share in shares]), "MB"),
        ]
    publish(
        "embedded",
        figures,
        [
            f"medians of {RUNS} runs",
            "a service's share: what it adds to those before it, not started; shared libraries count for the first",
        ],
    )


if __name__ == "__main__":
    main()
