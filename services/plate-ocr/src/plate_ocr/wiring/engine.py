"""Opens the engine: the shipped one, or an operator's own by name."""

import importlib
from typing import cast

from plate_ocr.adapters.crops import OpenCvRowCropper
from plate_ocr.adapters.decoding import check, decode
from plate_ocr.adapters.denoise import Denoiser
from plate_ocr.adapters.grammars import load_grammars
from plate_ocr.adapters.onnx import OnnxOptions
from plate_ocr.adapters.real_esrgan import RealEsrgan
from plate_ocr.adapters.region_classifier import OnnxRegionClassifier
from plate_ocr.adapters.row_detector import RowDetector, RowsInDetectedPlates
from plate_ocr.adapters.row_network import RowNetwork
from plate_ocr.adapters.row_recognizer import RowRecognizer
from plate_ocr.adapters.ultralytics_detector import open_plates, open_vehicles
from plate_ocr.adapters.yolo_onnx import YoloOptions
from plate_ocr.domain.acceptance import AcceptanceOptions
from plate_ocr.domain.engines import CropEnhancer, ModelError, PlateDetector, PlateEngine, VehicleDetector
from plate_ocr.domain.grammar import GrammarError
from plate_ocr.handlers.plate_pipeline import PipelineOptions, PlatePipeline
from plate_ocr.settings import InferenceSettings

__all__ = ["SHIPPED", "ModelError", "check", "decode", "open_engine"]

SHIPPED = "lookout"


def open_engine(name: str, settings: InferenceSettings, regions: tuple[str, ...] = ()) -> PlateEngine:
    """Load an engine by name: `SHIPPED`, or `package.module:factory` of an operator's own; takes seconds.

    `regions`: those that plates may come from where a request names none.

    Raises:
        ModelError: its weights, its code or a grammar are missing or wrong.
    """
    if name != SHIPPED:
        return _external_engine(name)
    options = onnx_options(settings)
    network = RowNetwork(settings.detector_model, options)
    rows = RowDetector(
        network,
        first_pass_pixels=settings.first_pass_pixels,
        second_pass_pixels=settings.second_pass_pixels,
    )
    # Readiness shows the name, and with it that a configured GPU is not used.
    fallback = "" if network.provider == settings.providers[0] else f" on {network.provider}"
    try:
        return PlatePipeline(
            f"lookout-plates-1{fallback}",
            _plate_detector(rows, settings, options),
            RowRecognizer(settings.recognizer_model, options),
            OpenCvRowCropper(),
            load_grammars(settings.grammars_folder),
            PipelineOptions(
                enhance_below_confidence=settings.enhance_below_confidence,
                acceptance=AcceptanceOptions(min_confidence=settings.min_confidence),
            ),
            regions=regions,
            region_classifier=OnnxRegionClassifier(None, options),
            vehicles=_vehicles(settings, options),
            enhancer=_enhancer(settings, options),
        )
    except (GrammarError, ValueError) as error:
        raise ModelError(f"the grammars cannot be used: {error}") from error


def onnx_options(settings: InferenceSettings) -> OnnxOptions:
    """As the operator set them."""
    return OnnxOptions(
        threads=settings.threads,
        providers=settings.providers,
        gpu_device=settings.gpu_device,
        gpu_memory_mib=settings.gpu_memory_mib,
        tensorrt_cache_folder=settings.tensorrt_cache_folder,
        is_fp16=settings.is_fp16,
    )


def _plate_detector(rows: RowDetector, settings: InferenceSettings, options: OnnxOptions) -> PlateDetector:
    if settings.plate_model is None:
        return rows
    yolo = YoloOptions(min_confidence=settings.min_plate_score, input_side_px=settings.yolo_input_side_px)
    return RowsInDetectedPlates(
        open_plates(settings.plate_model, options, yolo, settings.plate_classes), rows
    )


def _vehicles(settings: InferenceSettings, options: OnnxOptions) -> VehicleDetector | None:
    if settings.vehicle_model is None:
        return None
    yolo = YoloOptions(min_confidence=settings.min_vehicle_score, input_side_px=settings.yolo_input_side_px)
    return open_vehicles(settings.vehicle_model, options, yolo)


def _enhancer(settings: InferenceSettings, options: OnnxOptions) -> CropEnhancer | None:
    if settings.enhancer_model is not None:
        return RealEsrgan(settings.enhancer_model, options)
    return Denoiser(settings.denoise_strength) if settings.denoise_strength else None


def _external_engine(name: str) -> PlateEngine:
    module_name, _, factory_name = name.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(
            f"engine {name!r} cannot be loaded: {error}; write package.module:factory"
        ) from error
    return cast("PlateEngine", factory())
