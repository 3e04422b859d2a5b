"""Ultralytics weights: with the real package where the extra is installed, with a fake everywhere."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from plate_ocr.adapters.onnx import OnnxOptions
from plate_ocr.adapters.ultralytics_detector import UltralyticsModel, open_plates, open_vehicles
from plate_ocr.adapters.yolo_onnx import YoloOnnx, YoloOptions
from plate_ocr.domain.engines import ModelError
from plate_ocr.domain.values import Box

OPTIONS = YoloOptions(min_confidence=0.3, input_side_px=320, max_iou=0.5)
PICTURE = np.full((100, 200, 3), 90, np.uint8)


class FakeYolo:
    """Detects three boxes in every picture."""

    task = "detect"
    opened: tuple[str, str | None] = ("", None)
    names: dict[int, str] = {0: "person", 2: "car", 7: "truck"}  # noqa: RUF012 - shared on purpose
    asked: dict[str, Any] = {}  # noqa: RUF012 - as above

    def __init__(self, path: str, task: str | None = None) -> None:
        type(self).opened = (path, task)

    def predict(self, picture: Any, **asked: Any) -> list[Any]:
        type(self).asked = asked
        columns = ([(10, 20, 60, 50), (5, 5, 5, 9), (0, 0, 30, 30)], [0.5, 0.9, 0.8], [7.0, 2.0, 2.0])
        xyxy, conf, cls = (np.array(column) for column in columns)
        return [SimpleNamespace(boxes=SimpleNamespace(xyxy=xyxy, conf=conf, cls=cls))]


@pytest.fixture
def fake_yolo(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeYolo]]:
    package, utils, torch = ModuleType("ultralytics"), ModuleType("ultralytics.utils"), ModuleType("torch")
    checks = ModuleType("ultralytics.utils.checks")
    package.YOLO = FakeYolo  # type: ignore[attr-defined] # a module made here
    torch.set_num_threads = print  # type: ignore[attr-defined] # as above
    checks.check_yolov5u_filename = renamed  # type: ignore[attr-defined] # as above
    for module in (package, utils, checks, torch):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    environment = dict(os.environ)
    yield FakeYolo
    os.environ.clear()
    os.environ.update(environment)


def renamed(name: str, verbose: bool) -> str:
    """As Ultralytics does for its own older names."""
    return name.replace("yolov5n.pt", "yolov5nu.pt")


def model(folder: Path, name: str = "best.pt") -> Path:
    path = folder / name
    path.write_bytes(b"weights")
    return path


def test_vehicles(fake_yolo: type[FakeYolo], tmp_path: Path) -> None:
    found = open_vehicles(model(tmp_path), OnnxOptions(), OPTIONS).detect(PICTURE)
    assert [(one.kind, one.box, one.confidence, one.source) for one in found] == [
        ("car", Box(0, 0, 30, 30), 0.8, "best.pt"),
        ("truck", Box(10, 20, 50, 30), 0.5, "best.pt"),
    ]
    asked = fake_yolo.asked
    assert asked["classes"] == [2, 7]
    assert (asked["conf"], asked["imgsz"], asked["iou"], asked["device"]) == (0.3, 320, 0.5, "cpu")


def test_ultralytics_does_not_use_the_network(fake_yolo: type[FakeYolo], tmp_path: Path) -> None:
    open_vehicles(model(tmp_path), OnnxOptions(), OPTIONS)
    assert (os.environ["YOLO_OFFLINE"], os.environ["YOLO_AUTOINSTALL"]) == ("true", "false")
    assert os.environ["ULTRALYTICS_SAFE_LOAD"] == "true"
    assert fake_yolo.opened == (str(tmp_path / "best.pt"), None)
    with pytest.raises(ModelError, match=r"there is no model file yolo11n\.pt"):
        open_plates(Path("yolo11n.pt"), OnnxOptions(), OPTIONS)
    with pytest.raises(ModelError, match="rename the file"):
        open_plates(model(tmp_path, "yolov5n.pt"), OnnxOptions(), OPTIONS)


def test_an_engine_runs_on_the_gpu(fake_yolo: type[FakeYolo], tmp_path: Path) -> None:
    options = OnnxOptions(providers=("CUDAExecutionProvider",), gpu_device=1)
    open_vehicles(model(tmp_path, "best.engine"), options, OPTIONS).detect(PICTURE)
    assert fake_yolo.asked["device"] == 1
    assert fake_yolo.opened[1] == "detect"


def test_unsuitable_models_are_refused(
    fake_yolo: type[FakeYolo], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=r"no class of best\.pt is a plate: person, car, truck"):
        open_plates(model(tmp_path), OnnxOptions(), OPTIONS)
    with pytest.raises(ModelError, match=r"none of the suffixes \.pt, \.onnx, \.engine"):
        open_plates(model(tmp_path, "best.h5"), OnnxOptions(), OPTIONS)
    monkeypatch.setattr(FakeYolo, "task", "segment")
    with pytest.raises(ModelError, match="the task 'segment'"):
        open_vehicles(model(tmp_path), OnnxOptions(), OPTIONS)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(ModelError, match=r"best\.pt needs the extra `ultralytics`"):
        open_plates(model(tmp_path), OnnxOptions(), OPTIONS)


@pytest.mark.filterwarnings("ignore")  # from torch, during the export
def test_real_ultralytics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network with random weights, and the package's own layout, loader and export."""
    for name, value in {
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "0",
        "YOLO_CONFIG_DIR": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    ultralytics = pytest.importorskip(
        "ultralytics", reason="the extra `ultralytics` (AGPL-3.0) is not installed"
    )
    weights = made_up(ultralytics, tmp_path)
    patches = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    picture = np.asarray(cv2.resize(patches, (640, 400)), np.uint8)
    options = YoloOptions(min_confidence=0.25, input_side_px=320)
    found = open_vehicles(weights, OnnxOptions(), options).detect(picture)
    assert {one.kind for one in found} <= {"car", "motorcycle", "bus", "truck"}
    assert found

    pytest.importorskip("onnx", reason="the package `onnx`, which exports, is not installed")
    exported = Path(ultralytics.YOLO(str(weights)).export(format="onnx", imgsz=320))
    theirs = UltralyticsModel(exported, OnnxOptions(), options).find(picture, [2, 3, 5, 7])
    ours = YoloOnnx(exported, OnnxOptions(), options).find(picture, [2, 3, 5, 7])
    for one, other in zip(theirs[:3], ours[:3], strict=True):
        assert one.class_id == other.class_id
        assert one.score == pytest.approx(other.score, abs=1e-3)
        assert one.box.corners() == pytest.approx(np.array(other.box.corners()), abs=1)


def made_up(ultralytics: Any, folder: Path) -> Path:
    pytest.importorskip("torch", reason="comes with the extra").manual_seed(1)
    yolo = ultralytics.YOLO("yolo11n.yaml")
    yolo.model.names = {
        n: {2: "car", 3: "motorcycle", 5: "bus", 7: "truck"}.get(n, f"thing {n}") for n in range(80)
    }
    for branch in yolo.model.model[-1].cv3:
        branch[-1].weight.data.normal_(0, 3e3)
        branch[-1].bias.data.fill_(-8)
        branch[-1].bias.data[[2, 3, 5, 7]] = -1
    yolo.save(folder / "best.pt")
    return folder / "best.pt"
