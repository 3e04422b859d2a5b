"""Detectors of an operator: YOLO networks in Ultralytics' ONNX export, run without Ultralytics.

Two forms of output are decoded, both in pixels of the network's input: (1, 4 + classes, N) with centre, size and one
probability a class, to which non-maximum suppression is applied here; and (1, N, 6) with corners, probability and
class, where the network has applied it. The file's metadata names the classes.
"""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from plate_ocr.adapters.onnx import OnnxOptions, open_session, provider_of
from plate_ocr.domain.engines import ModelError
from plate_ocr.domain.values import Box, Detection, Picture, VehicleDetection

COCO_VEHICLES = {2: "car", 3: "motorcycle", 5: "bus", 7: "truck"}
"""The vehicles among the 80 classes of COCO, for a model that does not name its classes."""

_KINDS = {"car": "car", "motorcycle": "motorcycle", "motorbike": "motorcycle", "bus": "bus", "truck": "truck"}
_GREY = 114
_STRIDE_PX = 32
_MAX_DETECTIONS = 300

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class YoloOptions:
    """`min_confidence`: 0 to 1. `input_side_px`: longer side of the network's input, where the model does not fix it.
    `max_iou`: intersection over union from which two boxes are one object.
    """

    min_confidence: float = 0.25
    input_side_px: int = 640
    max_iou: float = 0.6


@dataclass(frozen=True, slots=True)
class YoloDetection:
    """`box`: pixels of the picture. `class_id`: index of the class."""

    box: Box
    class_id: int
    score: float


class YoloModel(Protocol):
    """A network that detects objects, run by ONNX Runtime or by Ultralytics."""

    @property
    def name(self) -> str:
        """The file's name."""
        ...

    @property
    def classes(self) -> Mapping[int, str]:
        """Class index → name; empty where the model does not name them."""
        ...

    def find(self, picture: Picture, class_ids: Sequence[int]) -> list[YoloDetection]:
        """Of those classes, highest score first."""
        ...


class YoloOnnx:
    """An `.onnx` file. Raises: ModelError: it is missing, or is not a detector of this kind."""

    def __init__(self, model: Path, onnx: OnnxOptions, options: YoloOptions) -> None:
        self._session = open_session(model, onnx)
        self._options = options
        self.name = model.name
        self.provider = provider_of(self._session)
        metadata = self._session.get_modelmeta().custom_metadata_map
        if (task := metadata.get("task", "detect")) != "detect":
            raise ModelError(f"{model} is a model for the task {task!r}; a detector is needed")
        self.classes = _classes(metadata.get("names", ""))
        network_input, network_output = self._session.get_inputs()[0], self._session.get_outputs()[0]
        if len(network_input.shape) != 4 or len(network_output.shape) != 3:
            raise ModelError(
                f"{model} takes {network_input.shape} and gives {network_output.shape}: it is not a YOLO detector"
            )
        if isinstance(network_input.shape[0], int) and network_input.shape[0] != 1:
            raise ModelError(
                f"{model} takes {network_input.shape[0]} pictures at once; export it with batch=1"
            )
        self._input = network_input.name
        self._dtype = np.float16 if network_input.type == "tensor(float16)" else np.float32
        # A side that is not a number may have any size.
        self._sides = tuple(side if isinstance(side, int) else None for side in network_input.shape[2:])

    def find(self, picture: Picture, class_ids: Sequence[int]) -> list[YoloDetection]:
        height, width = picture.shape[:2]
        net_height, net_width = self._size(height, width)
        boxed, scale, left, top = letterbox(picture, net_width, net_height)
        planes = np.ascontiguousarray(boxed[:, :, ::-1].transpose(2, 0, 1)[None], np.float32) / 255
        output = self._session.run(None, {self._input: planes.astype(self._dtype)})[0]
        rows = decode_output(np.asarray(output[0], np.float32))
        least = self._options.min_confidence
        rows = rows[(rows[:, 4] >= least) & np.isin(rows[:, 5].astype(int), list(class_ids))]
        rows = non_maximum_suppression(rows, self._options.max_iou)
        rows[:, [0, 2]] = ((rows[:, [0, 2]] - left) / scale).clip(0, width)
        rows[:, [1, 3]] = ((rows[:, [1, 3]] - top) / scale).clip(0, height)
        return [
            YoloDetection(Box(x, y, right - x, bottom - y), int(kind), min(score, 1.0))
            for x, y, right, bottom, score, kind in rows.tolist()
            if right > x and bottom > y
        ]

    def _size(self, height: int, width: int) -> tuple[int, int]:
        scale = self._options.input_side_px / max(height, width)
        fitting = (max(_STRIDE_PX, -(-round(s * scale) // _STRIDE_PX) * _STRIDE_PX) for s in (height, width))
        net_height, net_width = (fixed or open_ for fixed, open_ in zip(self._sides, fitting, strict=True))
        return net_height, net_width


class YoloPlates:
    """A `PlateDetector`. `named`: the classes that are plates; empty: the only class, or those with "plate" in the
    name.

    Raises: ModelError: the model has no such class.
    """

    def __init__(self, model: YoloModel, named: Sequence[str] = ()) -> None:
        self._model = model
        self._class_ids = plate_classes(model.name, model.classes, named)
        self.name = model.name

    def detect(self, picture: Picture) -> tuple[Detection, ...]:
        return tuple(
            Detection(one.box.corners(), one.score) for one in self._model.find(picture, self._class_ids)
        )


class YoloVehicles:
    """A `VehicleDetector`. Raises: ModelError: the model has no class for vehicles."""

    def __init__(self, model: YoloModel) -> None:
        self._model = model
        self._class_ids = vehicle_classes(model.name, model.classes)
        self.name = model.name

    def detect(self, picture: Picture) -> tuple[VehicleDetection, ...]:
        return tuple(
            VehicleDetection(one.box, self._class_ids[one.class_id], one.score, self.name)
            for one in self._model.find(picture, tuple(self._class_ids))
        )


def plate_classes(model: str, classes: Mapping[int, str], named: Sequence[str] = ()) -> tuple[int, ...]:
    """The indices of the classes that are plates.

    Raises: ModelError: no class is; otherwise every object of the model would be read as a plate.
    """
    if named:
        wanted = {name.casefold() for name in named}
        chosen = tuple(index for index, name in classes.items() if name.casefold() in wanted)
    elif len(classes) <= 1:
        chosen = tuple(classes) or (0,)
    else:
        chosen = tuple(index for index, name in classes.items() if "plate" in name.casefold())
    if not chosen:
        known = ", ".join(list(classes.values())[:10])
        raise ModelError(f"no class of {model} is a plate: {known}; name it in plate_classes")
    return chosen


def vehicle_classes(model: str, classes: Mapping[int, str]) -> dict[int, str]:
    """Class index → kind of vehicle, by the classes' names; COCO's where the model only numbers them.

    Raises: ModelError: none of them is a vehicle.
    """
    if all(name == str(index) for index, name in classes.items()):
        return dict(COCO_VEHICLES)
    chosen = {index: _KINDS[name.casefold()] for index, name in classes.items() if name.casefold() in _KINDS}
    if not chosen:
        known = ", ".join(list(classes.values())[:10])
        raise ModelError(f"{model} has no class car, motorcycle, bus or truck: {known}")
    return chosen


def letterbox(picture: Picture, width: int, height: int) -> tuple[Picture, float, int, int]:
    """The picture scaled into that size with its aspect ratio kept, grey around it; the scale; its left and top in
    it.
    """
    scale = min(width / picture.shape[1], height / picture.shape[0])
    inner = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    inner = min(inner[0], width), min(inner[1], height)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    boxed = np.full((height, width, 3), _GREY, np.uint8)
    # Linear also for downscaling, as in the networks' training.
    boxed[top : top + inner[1], left : left + inner[0]] = cv2.resize(
        picture, inner, interpolation=cv2.INTER_LINEAR
    )
    return boxed, scale, left, top


def decode_output(output: FloatArray) -> FloatArray:
    """(N, 6): left, top, right, bottom, probability and class, from one picture's output in either form."""
    if output.shape[1] == 6 and output.shape[0] != 6:
        return output
    rows = output.T
    if rows.shape[1] < 5:
        raise ValueError(f"an output of {output.shape} has no classes")
    kind = rows[:, 4:].argmax(axis=1)
    half = rows[:, 2:4] / 2
    return np.column_stack((rows[:, :2] - half, rows[:, :2] + half, rows[:, 4:].max(axis=1), kind)).astype(
        np.float32
    )


def non_maximum_suppression(rows: FloatArray, max_iou: float) -> FloatArray:
    """Class-agnostic non-maximum suppression, highest score first: a van is not a car and a truck at once."""
    if not len(rows):
        return rows
    sizes = np.column_stack((rows[:, :2], rows[:, 2:4] - rows[:, :2]))
    kept = cv2.dnn.NMSBoxes(sizes.tolist(), rows[:, 4].tolist(), 0.0, max_iou, top_k=10 * _MAX_DETECTIONS)
    return np.asarray(rows[np.asarray(kept, int).ravel()[:_MAX_DETECTIONS]], np.float32)


def _classes(metadata: str) -> dict[int, str]:
    """The metadata's `names`, a Python dictionary as text; empty where it is missing or malformed."""
    try:
        names = ast.literal_eval(metadata) if metadata else {}
    except (ValueError, SyntaxError):
        return {}
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    return {int(index): str(name) for index, name in names.items()} if isinstance(names, dict) else {}
