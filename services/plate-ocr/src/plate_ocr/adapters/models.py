"""The networks that ship with the package, and how they were made: `models/README.md`."""

from importlib.resources import files
from pathlib import Path

ROW_DETECTOR = "row-detector.onnx"
ROW_RECOGNIZER = "row-recognizer.onnx"
REGION_CLASSIFIER = "region-classifier.onnx"


def shipped_model(name: str) -> Path:
    """Where the package keeps a network."""
    return Path(str(files("plate_ocr").joinpath("models", name)))
