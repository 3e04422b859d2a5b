"""`embedded_shares.py FOLDER`: what importing kit, and importing and building each service after it, takes.

A program of its own: in the benchmark's process much of what services import is imported already. Prints JSON,
name → [seconds, MB].
"""

import json
import os
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path


def resident_mb() -> float:
    """Resident memory of this process in MB (proc(5), `VmRSS` in KiB)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1.024e-3


def main() -> None:
    """Measure and print."""
    data_dir = Path(sys.argv[1])
    shares: dict[str, tuple[float, float]] = {}
    started_s, before_mb = time.perf_counter(), resident_mb()

    def record(name: str) -> None:
        nonlocal started_s, before_mb
        shares[name] = (time.perf_counter() - started_s, resident_mb() - before_mb)
        started_s, before_mb = time.perf_counter(), resident_mb()

    from all_in_one.embedded import settings_of  # noqa: PLC0415 - the imports are what is measured
    from kit.service import Shared  # noqa: PLC0415
    from kit.service.installed import BUILD_GROUP, SETTINGS_GROUP  # noqa: PLC0415

    record("kit")
    settings = {point.name: point for point in entry_points(group=SETTINGS_GROUP)}
    for point in sorted(entry_points(group=BUILD_GROUP), key=lambda point: point.name):
        build, settings_class = point.load(), settings[point.name].load()
        build(settings_of(settings_class, data_dir), Shared(apps={}))
        record(point.name)
    sys.stdout.write(json.dumps(shares) + "\n")
    sys.stdout.flush()
    os._exit(0)  # the services were built and not started: there is nothing to stop


if __name__ == "__main__":
    main()
