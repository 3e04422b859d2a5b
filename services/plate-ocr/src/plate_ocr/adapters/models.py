"""The networks in the package; `models/README.md` says how they were made."""

from importlib.resources import files
from pathlib import Path

ROW_DETECTOR = "row-detector.onnx"
ROW_RECOGNIZER = "row-recognizer.onnx"
REGION_CLASSIFIER = "region-classifier.onnx"


def shipped_model(name: str) -> Path:
    """The path of a network in the package."""
    return Path(str(files("plate_ocr").joinpath("models", name)))
