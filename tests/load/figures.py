"""Results of benchmarks: printed as a table and written to `.bench/<what>.json`."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".bench"


@dataclass(frozen=True)
class Figure:
    """A measured value. `floor`: the bare operation, measured in the same run; `ratio`: value to floor."""

    key: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    goal: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least that share of the values does not exceed (0.95: the 95th percentile)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


def publish(what: str, figures: Sequence[Figure], notes: Sequence[str] = ()) -> None:
    """Print the table and write the JSON file."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"\n{what} ({machine})")
    width = max(len(figure.key) for figure in figures)
    print(f"  {'figure':{width}}  {'value':>10} {'unit':10} {'floor':>10} {'ratio':>7}  goal")
    for figure in figures:
        floor = f"{figure.floor:10.1f}" if figure.floor is not None else " " * 10
        ratio = f"{figure.ratio:7.2f}" if figure.ratio is not None else " " * 7
        row = f"  {figure.key:{width}}  {figure.value:10.2f} {figure.unit:10} {floor} {ratio}  {figure.goal}"
        print(row.rstrip())
    for note in notes:
        print(f"  {note}")
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{what}.json"
    document = {
        "machine": machine,
        "figures": {figure.key: asdict(figure) for figure in figures},
        "notes": list(notes),
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"  written to .bench/{path.name}")
