"""Which engine reads: the shipped one, or one that an operator plugs in by name."""

import importlib
from pathlib import Path
from typing import cast

from plate_ocr.adapters.denoise import Denoiser
from plate_ocr.adapters.grammars import load_grammars
from plate_ocr.adapters.onnx import ModelMissing, OnnxOptions
from plate_ocr.adapters.plate_finder import PlateFinder, RowsInPlates
from plate_ocr.adapters.plate_reader import PlateReader
from plate_ocr.adapters.plate_region import PlateRegions
from plate_ocr.adapters.real_esrgan import RealEsrgan
from plate_ocr.adapters.ultralytics_detector import open_plates, open_vehicles
from plate_ocr.adapters.yolo_onnx import YoloOptions
from plate_ocr.domain.engines import PlateDetector, PlateEngine, VehicleDetector
from plate_ocr.domain.enhancing import PictureEnhancer
from plate_ocr.domain.grammar import GrammarError
from plate_ocr.domain.judgement import JudgementOptions
from plate_ocr.handlers.read_pictures import Reader, ReaderOptions
from plate_ocr.settings import InferenceSettings

SHIPPED = "lookout"


def open_engine(
    name: str, settings: InferenceSettings, regions: tuple[str, ...] = (), grammars: Path | None = None
) -> PlateEngine:
    """Load an engine by name: `SHIPPED`, or `package.module:factory` of an operator's own; takes seconds.

    `regions`: those that plates may come from where a picture is not told of any. `grammars`: a folder of the
    operator's own.

    Raises:
        ModelMissing: its weights, its code or a grammar are not there.
    """
    if name != SHIPPED:
        return _plugged_in(name)
    options = OnnxOptions.of(settings)
    finder = PlateFinder(
        settings.detector_model,
        options,
        first_look_pixels=settings.first_look_pixels,
        second_look_pixels=settings.second_look_pixels,
    )
    # Readiness shows the name, and with it a GPU that is not used although it was asked for.
    fallback = "" if finder.provider == settings.providers[0] else f" on {finder.provider}"
    try:
        return Reader(
            f"lookout-plates-1{fallback}",
            _with_operators_plates(finder, settings, options),
            PlateReader(settings.recognizer_model, options),
            load_grammars(grammars),
            ReaderOptions(
                enhance_below=settings.enhance_below,
                judgement=JudgementOptions(min_confidence=settings.min_confidence),
            ),
            regions=regions,
            teller=PlateRegions(None, options),
            vehicles=_vehicles(settings, options),
            enhancer=_enhancer(settings, options),
        )
    except (GrammarError, ValueError) as error:
        raise ModelMissing(f"the grammars: {error}") from error


def _with_operators_plates(
    finder: PlateFinder, settings: InferenceSettings, options: OnnxOptions
) -> PlateDetector:
    if settings.plate_model is None:
        return finder
    yolo = YoloOptions(min_confidence=settings.min_plate_score, image_size_px=settings.model_side_px)
    return RowsInPlates(open_plates(settings.plate_model, options, yolo, settings.plate_classes), finder)


def _vehicles(settings: InferenceSettings, options: OnnxOptions) -> VehicleDetector | None:
    if settings.vehicle_model is None:
        return None
    yolo = YoloOptions(min_confidence=settings.min_vehicle_score, image_size_px=settings.model_side_px)
    return open_vehicles(settings.vehicle_model, options, yolo)


def _enhancer(settings: InferenceSettings, options: OnnxOptions) -> PictureEnhancer | None:
    if settings.enhancer_model is not None:
        return RealEsrgan(settings.enhancer_model, options)
    return Denoiser(settings.denoise_strength) if settings.denoise_strength else None


def _plugged_in(name: str) -> PlateEngine:
    module_name, _, factory_name = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelMissing(f"no engine {name!r}: {error}; write package.module:factory") from error
    return cast("PlateEngine", factory())
