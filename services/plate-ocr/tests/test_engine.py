# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""The shipped models on pictures drawn here: plates are read, other text is not."""

import socket
from pathlib import Path
from typing import Never

import cv2
import numpy as np
import pytest
from PIL import Image

from plate_ocr.adapters.models import ROW_DETECTOR, shipped_model
from plate_ocr.adapters.row_detector import RowDetector
from plate_ocr.adapters.row_network import RowNetwork
from plate_ocr.adapters.row_recognizer import RowRecognizer
from plate_ocr.domain.engines import ModelError
from plate_ocr.domain.geometry import iou
from plate_ocr.domain.values import Box, Picture
from plate_ocr.handlers.plate_pipeline import PlatePipeline
from plate_ocr.settings import InferenceSettings
from plate_ocr.wiring.engine import SHIPPED, open_engine

from .conftest import bent_around, bgr, canvas, put_plate, put_text

PAGE = """The city council met on 14 March 2026 and heard report A12 of its
committee on traffic. Of 1250 spaces in zone B7 some 980 were taken at
noon, 40 more than in 2025. Members asked why line 318 had not been
moved to bay 12C, as order AB 1234 CD had said. The clerk read section
5 of by-law 99-120 aloud. A vote on motion M3 was put off until item
XK 455 was printed. The chair thanked all 27 speakers and closed the
meeting at 21:45. Minutes were taken by R. Smith and J. Jones, room 204."""


def texts(engine: PlatePipeline, picture: Picture) -> list[str]:
    return [plate.text for plate in engine.read([picture])[0].plates if plate.is_read]


@pytest.mark.parametrize("text", ["RK 755AJ", "JOG 9221", "BRA2E19", "6TRJ244", "DG3 C8P", "W 053011"])
@pytest.mark.parametrize("height", [28, 60, 120])
def test_a_plate(engine: PlatePipeline, text: str, height: int) -> None:
    picture = canvas()
    x, y, width, tall = put_plate(picture, text, (400, 350), height)
    (plate,) = engine.read([bgr(picture)])[0].plates
    # After one letter a bare 0 may be an O: without a region neither is wrong, and the confidence is low.
    read = plate.text.replace("O", "0") if text.startswith("W") else plate.text
    assert read == text.replace(" ", "")
    assert plate.confidence > (0.5 if text.startswith("W") else 0.8)
    assert len(plate.characters) == len(plate.text)
    assert iou(plate.box, Box(x, y, width, tall)) > 0.3


def test_the_plate_is_read_and_not_the_stamp_the_dealer_or_the_badge(engine: PlatePipeline) -> None:
    picture = canvas()
    put_text(picture, "2026-03-14 08:30:12", (6, 4), 22)
    put_text(picture, "NAD-P1-C95", (1100, 690), 20)
    put_plate(picture, "DL3 C2Z", (500, 400))
    put_text(picture, "AUTO BANK", (520, 480), 26)
    put_text(picture, "TDI", (820, 330), 30)
    put_text(picture, "CHEVROLET", (460, 300), 40)
    assert texts(engine, bgr(picture)) == ["DL3C2Z"]


@pytest.mark.parametrize(
    "stamp", ["2026-03-14 08:30:12", "14/03/2026 08:30", "08:30:12", "2026-03-14", "CAM 95  08:30:12"]
)
def test_a_time_stamp_is_not_a_plate(engine: PlatePipeline, stamp: str) -> None:
    picture = canvas()
    for at, size in (((6, 4), 22), ((300, 300), 40), ((1000, 690), 18)):
        put_text(picture, stamp, at, size)
    assert texts(engine, bgr(picture)) == []


@pytest.mark.parametrize("size", [20, 28])
def test_a_printed_page_has_no_plate(engine: PlatePipeline, size: int) -> None:
    page = Image.new("RGB", (900, 700), "white")
    for number, row in enumerate(PAGE.splitlines()):
        put_text(page, row, (40, 60 + round(number * size * 1.5)), size, "black")
    assert texts(engine, bgr(page)) == []


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(bgr(canvas()), id="asphalt"),
        pytest.param(np.zeros((720, 1280, 3), np.uint8), id="black"),
        pytest.param(np.full((720, 1280, 3), 255, np.uint8), id="white"),
        pytest.param(np.zeros((1, 1, 3), np.uint8), id="one pixel"),
        pytest.param(np.zeros((200, 20_000, 3), np.uint8), id="very wide"),
        pytest.param(np.zeros((3000, 2, 3), np.uint8), id="very narrow"),
        pytest.param(np.random.default_rng(1).integers(0, 255, (480, 640, 3), dtype=np.uint8), id="noise"),
    ],
)
def test_no_plate(engine: PlatePipeline, picture: Picture) -> None:
    assert texts(engine, picture) == []


def test_a_plate_upside_down_is_not_misread_with_confidence(engine: PlatePipeline) -> None:
    picture = canvas()
    put_plate(picture, "RK 755AJ", (400, 350))
    upside_down = np.ascontiguousarray(bgr(picture)[::-1, ::-1])
    found = engine.read([upside_down])[0].plates
    assert all(plate.confidence < 0.99 or plate.text == "RK755AJ" for plate in found)


def test_thirty_plates(engine: PlatePipeline) -> None:
    picture = canvas(1920, 1080)
    wanted = set()
    for row in range(6):
        for column in range(5):
            text = f"{'ABCDEF'[row]}{'KLMNP'[column]}{row}{column}7XY"
            put_plate(picture, text, (40 + column * 370, 30 + row * 175), 56)
            wanted.add(text)
    found = engine.read([bgr(picture)])[0].plates
    assert len({plate.text for plate in found} & wanted) >= 24
    assert len(found) <= 31


def test_two_rows(engine: PlatePipeline) -> None:
    picture = canvas(640, 480)
    put_plate(picture, "          ", (200, 180), 130)
    put_text(picture, "ABC", (270, 185), 56, "black")
    put_text(picture, "1234", (258, 245), 56, "black")
    assert texts(engine, bgr(picture)) == ["ABC1234"]


def test_a_tilted_plate(engine: PlatePipeline) -> None:
    picture = canvas(640, 480)
    put_plate(picture, "RK 755AJ", (180, 200), 60)
    turn = cv2.getRotationMatrix2D((320, 240), 12, 1)
    tilted = np.asarray(cv2.warpAffine(bgr(picture), turn, (640, 480)), np.uint8)
    assert texts(engine, tilted) == ["RK755AJ"]


@pytest.mark.parametrize("bend", [-0.7, -0.4, 0.4, 0.7])
def test_a_bent_plate(engine: PlatePipeline, bend: float) -> None:
    picture = canvas(640, 480)
    x, y, width, height = put_plate(picture, "RK 755AJ", (140, 180), 70)
    bent = bent_around(bgr(picture), Box(x, y, width, height), bend)
    (row,) = RowDetector(RowNetwork()).detect(bent)
    assert row.bend == pytest.approx(bend, abs=0.15)
    assert texts(engine, bent) == ["RK755AJ"]


@pytest.mark.parametrize("turn", [0, 5, -12])
def test_a_straight_plate_is_not_bent(turn: float) -> None:
    picture = canvas(640, 480)
    put_plate(picture, "RK 755AJ", (180, 200), 60)
    turned = cv2.warpAffine(bgr(picture), cv2.getRotationMatrix2D((320, 240), turn, 1), (640, 480))
    (row,) = RowDetector(RowNetwork()).detect(np.asarray(turned, np.uint8))
    assert row.bend == 0


def test_a_batch_reads_as_its_pictures_do(engine: PlatePipeline) -> None:
    pictures = []
    for text in ("RK 755AJ", "JOG 9221", None, "6TRJ244"):
        picture = canvas(800, 450)
        if text:
            put_plate(picture, text, (200, 200), 50)
        pictures.append(bgr(picture))
    together = engine.read(pictures)
    alone = [engine.read([picture])[0] for picture in pictures]
    assert [[p.text for p in r.plates] for r in together] == [[p.text for p in r.plates] for r in alone]
    assert [len(r.plates) for r in together] == [1, 1, 0, 1]
    assert all(r.detect_ms > 0 for r in together)


def test_nothing_to_read(engine: PlatePipeline) -> None:
    assert engine.read([]) == []


def test_the_models_need_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Never:
        raise AssertionError("the engine wants the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    picture = canvas(640, 480)
    put_plate(picture, "JOG 9221", (150, 200))
    (reading,) = open_engine(SHIPPED, InferenceSettings(threads=1)).read([bgr(picture)])
    assert [plate.text for plate in reading.plates] == ["JOG9221"]


def test_a_missing_model_is_named() -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx"):
        RowNetwork(shipped_model("gone.onnx"))


def test_a_file_that_is_not_a_model(tmp_path: Path) -> None:
    fake = tmp_path / "fake.onnx"
    fake.write_bytes(b"not a network")
    with pytest.raises(ModelError, match="cannot be loaded"):
        RowRecognizer(fake)


def test_the_detector_is_refused_as_recognizer() -> None:
    with pytest.raises(ModelError, match="alphabet"):
        RowRecognizer(shipped_model(ROW_DETECTOR))


@pytest.mark.parametrize("name", ["nowhere:make", "plate_ocr.wiring.engine:gone", "no colon"])
def test_a_missing_engine_is_an_error(name: str) -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_engine(name, InferenceSettings())


def test_a_missing_gpu_is_not_silently_replaced_by_the_cpu():
    with pytest.raises(ModelError, match=r"CUDAExecutionProvider.*list CPUExecutionProvider"):
        open_engine(SHIPPED, InferenceSettings(providers=("CUDAExecutionProvider",)))
    engine = open_engine(
        SHIPPED, InferenceSettings(providers=("CUDAExecutionProvider", "CPUExecutionProvider"))
    )
    assert engine.name.endswith(" on CPUExecutionProvider")
    assert "Provider" not in open_engine(SHIPPED, InferenceSettings()).name
