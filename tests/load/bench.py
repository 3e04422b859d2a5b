"""`bench.py NAME`, a name of `NAMES`: run the benchmark, print its table, write .bench/NAME.json."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

NAMES = ("accept", "ticket", "bus", "plates", "chaos", "gateway", "embedded", "hostile")


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in NAMES:
        sys.exit(__doc__)
    root = Path(__file__).parents[2]
    sys.path[:0] = [str(root / folder) for folder in ("tests/load", "tests", "scripts")]
    importlib.import_module(f"bench_{sys.argv[1]}").main()


if __name__ == "__main__":
    main()
