"""The networks that ship with the package, and how they were made: `models/README.md`."""

from importlib.resources import files
from pathlib import Path

FINDER = "plate-finder.onnx"
READER = "plate-reader.onnx"
REGION = "plate-region.onnx"


def shipped_model(name: str) -> Path:
    """Where the package keeps a network."""
    return Path(str(files("plate_ocr").joinpath("models", name)))
