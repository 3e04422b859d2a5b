# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""YOLO networks as ONNX: detections from their outputs, and unsuitable models."""

from pathlib import Path

import numpy as np
import pytest

from plate_ocr.adapters.onnx import OnnxOptions
from plate_ocr.adapters.ultralytics_detector import open_plates, open_vehicles
from plate_ocr.adapters.yolo_onnx import (
    YoloOnnx,
    YoloOptions,
    YoloPlates,
    YoloVehicles,
    decode_output,
    letterbox,
    non_maximum_suppression,
    plate_classes,
    vehicle_classes,
)
from plate_ocr.domain.engines import ModelError
from plate_ocr.domain.values import Box

from .onnx_files import constant, enlarging

PICTURE = np.full((240, 320, 3), 90, np.uint8)  # half of the networks' 640, and 80 px of grey above and below
PLATES = {"task": "detect", "names": "{0: 'plate'}"}
STREET = {"names": "{0: 'person', 1: 'Car', 2: 'van', 3: 'truck'}"}
ONNX = OnnxOptions(threads=1)


def raw(*rows: tuple[float, ...]) -> np.ndarray:
    """(1, 4 + classes, N): centre, size, classes."""
    # N differs from 6, as it does in networks.
    return np.array([*rows, *[(0.0,) * len(rows[0])] * 7], np.float32).T[None]


def write(folder: Path, output: np.ndarray, metadata: dict[str, str], side: int | str = 640) -> Path:
    return constant(folder / "model.onnx", output, (1, 3, side, side), metadata)


def test_plates_in_pixels_of_the_picture(tmp_path: Path) -> None:
    output = raw(
        (320, 320, 100, 40, 0.9), (322, 320, 100, 40, 0.7), (20, 320, 100, 40, 0.6), (500, 400, 9, 9, 0.1)
    )
    detector = open_plates(write(tmp_path, output, PLATES), ONNX, YoloOptions())
    first, second = detector.detect(PICTURE)
    assert [first.score, second.score] == pytest.approx([0.9, 0.6])
    assert first.box == Box(135, 110, 50, 20)
    assert first.corners == Box(135, 110, 50, 20).corners()
    assert second.box == Box(0, 110, 35, 20)  # the rest is outside


def test_vehicles_by_the_names_of_the_model(tmp_path: Path) -> None:
    output = raw(
        (100, 320, 80, 60, 0.1, 0.8, 0.0, 0.1),
        (101, 320, 80, 60, 0.1, 0.0, 0.0, 0.7),  # the same vehicle, taken for a truck
        (300, 320, 80, 60, 0.9, 0.5, 0.0, 0.1),  # a person with the highest probability
        (500, 320, 80, 60, 0.0, 0.0, 0.0, 0.6),
    )
    detector = open_vehicles(write(tmp_path, output, STREET), ONNX, YoloOptions())
    found = [(one.kind, round(one.confidence, 2), one.source) for one in detector.detect(PICTURE)]
    assert found == [("car", 0.8, "model.onnx"), ("truck", 0.6, "model.onnx")]


def test_a_network_with_its_own_non_maximum_suppression(tmp_path: Path) -> None:
    output = np.zeros((1, 300, 6), np.float32)
    output[0, 0] = (270, 300, 370, 340, 0.9, 0)
    output[0, 1] = (10, 300, 60, 340, 0.2, 0)
    (plate,) = open_plates(write(tmp_path, output, PLATES), ONNX, YoloOptions()).detect(PICTURE)
    assert plate.box == Box(135, 110, 50, 20)


@pytest.mark.parametrize("size", [(1, 1), (5, 2000), (720, 1280)])
def test_sizes_that_the_model_leaves_open(tmp_path: Path, size: tuple[int, int]) -> None:
    model = constant(tmp_path / "open.onnx", raw((16, 16, 8, 8, 0.9)), (1, 3, "h", "w"), PLATES)
    model = YoloOnnx(model, ONNX, YoloOptions(input_side_px=320))
    for one in model.find(np.zeros((*size, 3), np.uint8), [0]):
        assert 0 <= one.box.x <= one.box.right <= size[1]
        assert 0 <= one.box.y <= one.box.bottom <= size[0]


def test_nothing_found(tmp_path: Path) -> None:
    detector = open_plates(write(tmp_path, raw((0, 0, 0, 0, 0.0)), PLATES), ONNX, YoloOptions())
    assert detector.detect(PICTURE) == ()


@pytest.mark.parametrize(
    ("taken", "given", "metadata", "reason"),
    [
        ((1, 3, 640, 640), (1, 5, 9), {"task": "pose"}, "the task 'pose'"),
        ((1, 3, 640, 640), (1, 1000), {}, "not a YOLO detector"),
        ((8, 3, 640, 640), (8, 5, 9), {}, "batch=1"),
        ((1, 3, 640, 640), (1, 84, 9), STREET, "no class of model.onnx is a plate: person, Car, van, truck"),
    ],
)
def test_refused(
    tmp_path: Path, taken: tuple[int, ...], given: tuple[int, ...], metadata: dict[str, str], reason: str
) -> None:
    model = constant(tmp_path / "model.onnx", np.zeros(given, np.float32), taken, metadata)
    with pytest.raises(ModelError, match=reason):
        open_plates(model, ONNX, YoloOptions())


@pytest.mark.parametrize("content", [None, b"", b"junk" * 50])
def test_no_model(tmp_path: Path, content: bytes | None) -> None:
    model = tmp_path / "model.onnx"
    if content is not None:
        model.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx"):
        open_plates(model, ONNX, YoloOptions())


@pytest.mark.parametrize(
    ("classes", "named", "chosen"),
    [
        ({0: "anything"}, (), (0,)),
        ({}, (), (0,)),
        ({0: "car", 1: "License_Plate", 2: "plate-ae"}, (), (1, 2)),
        ({0: "car", 1: "kennzeichen"}, ("Kennzeichen",), (1,)),
    ],
)
def test_which_classes_are_plates(
    classes: dict[int, str], named: tuple[str, ...], chosen: tuple[int, ...]
) -> None:
    assert plate_classes("m", classes, named) == chosen


def test_which_classes_are_vehicles() -> None:
    coco = {2: "car", 3: "motorcycle", 5: "bus", 7: "truck"}
    assert vehicle_classes("m", {}) == vehicle_classes("m", {n: str(n) for n in range(80)}) == coco
    assert vehicle_classes("m", {0: "Motorbike", 4: "BUS"}) == {0: "motorcycle", 4: "bus"}
    with pytest.raises(ModelError, match="m has no class car"):
        vehicle_classes("m", {0: "plate"})


@pytest.mark.parametrize(
    ("size", "scale", "left", "top"),
    [((240, 320), 2.0, 0, 80), ((1280, 640), 0.5, 160, 0), ((640, 640), 1.0, 0, 0)],
)
def test_letterbox(size: tuple[int, int], scale: float, left: int, top: int) -> None:
    boxed, *found = letterbox(np.zeros((*size, 3), np.uint8), 640, 640)
    assert found == [scale, left, top]
    assert boxed.shape == (640, 640, 3)
    assert (boxed == 0).all(axis=2).sum() == size[0] * size[1] * scale**2
    assert (boxed[0, 0] == 114).all() == bool(left or top)


def test_an_output_without_classes() -> None:
    with pytest.raises(ValueError, match="no classes"):
        decode_output(np.zeros((4, 100), np.float32))


def test_non_maximum_suppression() -> None:
    rows = np.array([(0, 0, 9, 9, 0.5, 0), (0, 0, 9, 9, 0.6, 3), (20, 0, 29, 9, 0.7, 0)], np.float32)
    assert non_maximum_suppression(rows, 0.5)[:, 4].tolist() == pytest.approx([0.7, 0.6])
    assert len(non_maximum_suppression(rows[:0], 0.5)) == 0


def test_a_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not a YOLO detector"):
        YoloOnnx(enlarging(tmp_path / "x4.onnx", 4), ONNX, YoloOptions())


def test_names(tmp_path: Path) -> None:
    model = YoloOnnx(
        write(tmp_path, raw((0, 0, 1, 1, 0.9, 0.1)), {"names": "['plate', 'car']"}), ONNX, YoloOptions()
    )
    assert model.classes == {0: "plate", 1: "car"}
    assert (YoloPlates(model).name, YoloVehicles(model).name) == ("model.onnx", "model.onnx")
