"""Rows of a plate as a recognizer outputs them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plate_ocr.domain.alphabet import BLANK, CLASS_COUNT, SEPARATOR, RowPosterior, index_of
from plate_ocr.domain.lattice import Lattice, build_lattice

Frame = dict[str, float]
"""Class → probability: "_" is blank, "-" the separator. What is missing is spread over all classes."""


def frame(shares: Frame) -> NDArray[np.float32]:
    places = {"_": BLANK, "-": SEPARATOR}
    values = np.full(CLASS_COUNT, max(1 - sum(shares.values()), 1e-6) / CLASS_COUNT)
    for name, share in shares.items():
        values[places[name] if name in places else index_of(name) + 1] += share
    return np.asarray(values / values.sum(), dtype=np.float32)


def frames(*shares: Frame) -> RowPosterior:
    return np.array([frame(s) for s in shares], np.float32).reshape(-1, CLASS_COUNT)


def row(spikes: Sequence[str | Frame]) -> RowPosterior:
    """A blank frame before, between and after the spikes; a plain character is as good as certain."""
    found: list[Frame] = [{"_": 0.999}]
    for spike in spikes:
        found += [{spike: 0.998} if isinstance(spike, str) else spike, {"_": 0.999}]
    return frames(*found)


def plate(*rows: Sequence[str | Frame]) -> Lattice:
    return build_lattice([row(r) for r in rows])
