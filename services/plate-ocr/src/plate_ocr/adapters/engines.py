"""Which engine reads: the shipped one, or one that an operator plugs in by name."""

import importlib
from collections.abc import Sequence
from typing import Protocol, cast

from plate_ocr.adapters.onnx import ModelMissing, OnnxOptions
from plate_ocr.adapters.ppocr import PpocrDetector, PpocrRecognizer
from plate_ocr.domain.values import Picture
from plate_ocr.reader import PictureReading, Reader, ReaderOptions
from plate_ocr.settings import EngineSettings

SHIPPED = "ppocr"


class Engine(Protocol):
    """Reads pictures, in one thread at a time."""

    name: str

    def read(self, pictures: Sequence[Picture]) -> list[PictureReading]:
        """One reading a picture, in their order."""
        ...


def open_engine(settings: EngineSettings) -> Engine:
    """Load what the settings name; takes seconds.

    Raises:
        ModelMissing: its weights or its code are not there.
    """
    if settings.name != SHIPPED:
        return _plugged_in(settings.name)
    options = OnnxOptions(threads=settings.threads, providers=settings.providers)
    return Reader(
        "ppocr-v6-small",
        PpocrDetector(options=options),
        PpocrRecognizer(options=options),
        ReaderOptions(min_confidence=settings.min_confidence),
    )


def _plugged_in(name: str) -> Engine:
    module_name, _, factory_name = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelMissing(f"no engine {name!r}: {error}; write package.module:factory") from error
    return cast("Engine", factory())
