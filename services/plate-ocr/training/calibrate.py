"""Fits the two parameters of `plate_ocr/domain/calibration.py` to labelled photographs.

    ../../.venv/bin/python training/calibrate.py FOLDER ...

FOLDER: FILE.jpg + FILE.txt with name, x, y, w, h, text. Run with the service's own Python. The scale of the log-odds and
their shift are fitted by logistic regression (Platt, 1999), regularized towards 1 and 0 so that few photographs do not dominate.
"""

import math
import sys
from pathlib import Path

import numpy as np

from plate_ocr.__main__ import read_file
from plate_ocr.domain import calibration
from plate_ocr.settings import InferenceSettings
from plate_ocr.wiring.engine import SHIPPED, open_engine

_PRIOR = 2.0


def pairs(folders: list[Path]) -> list[tuple[float, bool]]:
    engine = open_engine(SHIPPED, InferenceSettings(min_confidence=0.0))
    found = []
    for label in (file for folder in folders for file in sorted(folder.glob("*.txt"))):
        _, x, y, w, h, text = label.read_text().strip().split("\t")[:6]
        left, top, wide, high = (float(v) for v in (x, y, w, h))
        here = [
            p
            for p in read_file(engine, label.with_suffix(".jpg")).plates
            if p.is_read and left <= p.box.centre.x <= left + wide and top <= p.box.centre.y <= top + high
        ]
        if here:
            best = max(here, key=lambda p: p.confidence)
            found.append((uncalibrated(best.confidence), folded(best.text) == folded(text)))
    return found


def uncalibrated(confidence: float) -> float:
    p = min(max(confidence, 1e-6), 1 - 1e-6)
    return (math.log(p / (1 - p)) - calibration.SHIFT) / calibration.SLOPE


def folded(text: str) -> str:
    return "".join(c for c in text.upper() if c.isalnum()).replace("O", "0").replace("I", "1")


def fitted(found: list[tuple[float, bool]]) -> tuple[float, float]:
    x, y = np.array([f[0] for f in found]), np.array([f[1] for f in found], float)
    slope, shift = 1.0, 0.0
    for _ in range(4000):
        error = 1 / (1 + np.exp(-(slope * x + shift))) - y
        slope -= 0.002 * (float((error * x).sum()) + _PRIOR * (slope - 1))
        shift -= 0.01 * (float(error.sum()) + _PRIOR * shift)
    return slope, shift


if __name__ == "__main__":
    found = pairs([Path(a) for a in sys.argv[1:]])
    slope, shift = fitted(found)
    print(f"{len(found)} reads, {sum(r for _, r in found)} right: SLOPE, SHIFT = {slope:.3f}, {shift:.3f}")
