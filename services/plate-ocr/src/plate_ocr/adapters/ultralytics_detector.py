"""Detectors of an operator as Ultralytics weights: `.pt`, `.onnx`, `.engine`.

Ultralytics is AGPL-3.0: it is the extra `ultralytics`, never in the default install, and imported only where a model
needs it. An `.onnx` file does not: `yolo_onnx` runs it. By default, Ultralytics downloads missing weights, installs
missing packages and reports usage statistics; here all of that is switched off.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2

from plate_ocr.adapters.onnx import OnnxOptions
from plate_ocr.adapters.yolo_onnx import (
    YoloDetection,
    YoloModel,
    YoloOnnx,
    YoloOptions,
    YoloPlates,
    YoloVehicles,
)
from plate_ocr.domain.engines import ModelError
from plate_ocr.domain.values import Box, Picture

SUFFIXES = (".pt", ".onnx", ".engine")
_OFFLINE = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def open_plates(
    model: Path, onnx: OnnxOptions, options: YoloOptions, named: Sequence[str] = ()
) -> YoloPlates:
    """A detector of plates from a file of any of `SUFFIXES`.

    Raises: ModelError: the file or the extra is missing, or the model has no class for plates.
    """
    return YoloPlates(_open(model, onnx, options), named)


def open_vehicles(model: Path, onnx: OnnxOptions, options: YoloOptions) -> YoloVehicles:
    """A detector of vehicles from a file of any of `SUFFIXES`.

    Raises: ModelError: the file or the extra is missing, or the model has no class for vehicles.
    """
    return YoloVehicles(_open(model, onnx, options))


def _open(model: Path, onnx: OnnxOptions, options: YoloOptions) -> YoloModel:
    if model.suffix.lower() == ".onnx":
        return YoloOnnx(model, onnx, options)
    return UltralyticsModel(model, onnx, options)


class UltralyticsModel:
    """A `YoloModel` run by Ultralytics, on the GPU where the first provider is one.

    Raises: ModelError: the file or the extra is missing, or it is not a detector.
    """

    def __init__(self, model: Path, onnx: OnnxOptions, options: YoloOptions) -> None:
        path = model.absolute()
        if path.suffix.lower() not in SUFFIXES:
            raise ModelError(f"{model} has none of the suffixes {', '.join(SUFFIXES)}")
        if not path.is_file():
            raise ModelError(f"there is no model file {model}")
        self.name = model.name
        self._options = options
        self._device = "cpu" if onnx.providers[:1] == ("CPUExecutionProvider",) else onnx.gpu_device
        yolo = _yolo(path)
        _pin_threads(onnx.threads)
        try:
            self._model = yolo(str(path), task="detect" if path.suffix != ".pt" else None)
            task, names = self._model.task, self._model.names
        except Exception as error:
            # Unpickling a file that is not what its name says may raise anything.
            raise ModelError(f"{model} cannot be loaded: {type(error).__name__}: {error}") from error
        if task != "detect":
            raise ModelError(f"{model} is a model for the task {task!r}; a detector is needed")
        self.classes: Mapping[int, str] = {int(index): str(name) for index, name in names.items()}

    def find(self, picture: Picture, class_ids: Sequence[int]) -> list[YoloDetection]:
        results = self._model.predict(
            picture,  # BGR, as Ultralytics expects arrays
            conf=self._options.min_confidence,
            iou=self._options.max_iou,
            imgsz=self._options.input_side_px,
            classes=list(class_ids),
            agnostic_nms=True,
            device=self._device,
            verbose=False,
            save=False,
        )
        boxes = results[0].boxes
        return to_detections(boxes.xyxy.tolist(), boxes.conf.tolist(), boxes.cls.tolist())


def to_detections(
    corners: Sequence[Sequence[float]], scores: Sequence[float], class_ids: Sequence[float]
) -> list[YoloDetection]:
    """From Ultralytics' three columns (xyxy, pixels of the picture); highest score first."""
    rows = zip(corners, scores, class_ids, strict=True)
    found = [
        YoloDetection(Box(x, y, right - x, bottom - y), int(kind), score)
        for (x, y, right, bottom), score, kind in rows
        if right > x and bottom > y
    ]
    return sorted(found, key=lambda one: one.score, reverse=True)


def _yolo(path: Path) -> Any:
    """The class `YOLO`, of an Ultralytics that does not use the network."""
    # Ultralytics reads these only while it is imported.
    os.environ.update(_OFFLINE)
    # A .pt file is a pickle: only Ultralytics' own classes are unpickled, unless the operator switches that off.
    os.environ.setdefault("ULTRALYTICS_SAFE_LOAD", "true")
    try:
        ultralytics = importlib.import_module("ultralytics")
        checks = importlib.import_module("ultralytics.utils.checks")
    except ImportError as error:
        raise ModelError(
            f"{path.name} needs the extra `ultralytics` (AGPL-3.0), which is not installed: {error}; an .onnx export"
            " of the model runs without it"
        ) from error
    if checks.check_yolov5u_filename(str(path), verbose=False) != str(path):
        raise ModelError(
            f"Ultralytics takes {path.name} for another model, which it would download; rename the file"
        )
    return ultralytics.YOLO


def _pin_threads(threads: int) -> None:
    # Ultralytics sets OpenCV to one thread while it is imported.
    cv2.setNumThreads(threads)
    importlib.import_module("torch").set_num_threads(threads)
