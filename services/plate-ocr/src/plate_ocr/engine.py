"""Which engine reads: the shipped one, or one that an operator plugs in by name."""

import importlib
from typing import cast

from plate_ocr.adapters.onnx import ModelMissing, OnnxOptions
from plate_ocr.adapters.ppocr import PpocrDetector, PpocrRecognizer
from plate_ocr.domain.engines import PlateEngine
from plate_ocr.handlers.read_pictures import Reader, ReaderOptions
from plate_ocr.settings import InferenceSettings

SHIPPED = "ppocr"


def open_engine(name: str, settings: InferenceSettings) -> PlateEngine:
    """Load an engine by name: `SHIPPED`, or `package.module:factory` of an operator's own; takes seconds.

    Raises:
        ModelMissing: its weights or its code are not there.
    """
    if name != SHIPPED:
        return _plugged_in(name)
    options = OnnxOptions(threads=settings.threads, providers=settings.providers)
    detector = PpocrDetector(settings.detector_model, options)
    # Readiness shows the name, and with it a GPU that is not used although it was asked for.
    fallback = "" if detector.provider == settings.providers[0] else f" on {detector.provider}"
    return Reader(
        f"ppocr-v6-small{fallback}",
        detector,
        PpocrRecognizer(settings.recognizer_model, options),
        ReaderOptions(
            first_look_pixels=settings.first_look_pixels,
            second_look_pixels=settings.second_look_pixels,
            min_confidence=settings.min_confidence,
        ),
    )


def _plugged_in(name: str) -> PlateEngine:
    module_name, _, factory_name = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelMissing(f"no engine {name!r}: {error}; write package.module:factory") from error
    return cast("PlateEngine", factory())
