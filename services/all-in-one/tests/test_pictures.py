import re
from functools import cache
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from all_in_one.pictures import ParkedCar, draw_car, draw_scene, spot_polygon, vehicle_box

PLATES = [
    ("D 71026", "ae-du"),
    ("R 9", "ae-du"),
    ("11 48213", "ae-az"),
    ("50 376", "ae-az"),
    ("B MX 4821", "de"),
    ("7ABK123", "us-ca"),
    ("BRA2E19", "br"),
]


@cache
def reader():
    from rapidocr import RapidOCR  # noqa: PLC0415 - loading the models takes a second

    return RapidOCR(params={"Global.log_level": "error"})


def read(jpeg: bytes) -> str:
    """Every text in the picture, left to right, without spaces."""
    result = reader()(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
    texts = zip(result.boxes if result.boxes is not None else [], result.txts or (), strict=True)
    return "".join(text for _, text in sorted(texts, key=lambda found: found[0][0][0])).replace(" ", "")


def without(words: str, text: str) -> str:
    return re.sub(words, "", text)


OTHER_WORDS = "DUBAI|A\\.?D\\.?|California|BRASIL"


@pytest.mark.parametrize(("plate", "region"), PLATES)
def test_a_drawn_plate_can_be_read(plate: str, region):
    assert plate.replace(" ", "") in without(OTHER_WORDS, read(draw_car(plate, region=region)))


def test_three_cars_in_one_picture_can_be_read():
    cars = {1: ParkedCar("D 71026"), 2: ParkedCar("11 48213", "ae-az"), 3: ParkedCar("7ABK123", "us-ca")}
    text = without(OTHER_WORDS, read(draw_scene(cars)))
    for car in cars.values():
        assert car.plate is not None
        assert car.plate.replace(" ", "") in text


@pytest.mark.parametrize(
    "jpeg",
    [
        pytest.param(lambda: draw_car("D 71026", is_dirty=True), id="mud"),
        pytest.param(lambda: draw_car("D 71026", blur_px=6), id="blur"),
        pytest.param(lambda: draw_car(None), id="no plate"),
        pytest.param(lambda: draw_scene({}, is_one_passing=True), id="no car in a spot"),
    ],
)
def test_illegible_plates_are_not_read(jpeg):
    assert read(jpeg()) == ""


def test_drawing_is_deterministic():
    assert draw_car("D 71026") == draw_car("D 71026")
    assert draw_car("D 71026") != draw_car("D 71027")


@pytest.mark.parametrize("size_px", [(1280, 720), (1920, 1080), (640, 480)])
def test_pictures_have_the_given_size(size_px):
    with Image.open(BytesIO(draw_car("D 71026", size_px=size_px))) as picture:
        assert picture.size == size_px
        assert picture.format == "JPEG"


@pytest.mark.parametrize("spot_count", [1, 2, 3, 4])
def test_a_car_is_inside_its_spot_and_outside_the_others(spot_count: int):
    for spot in range(1, spot_count + 1):
        x1, y1, x2, y2 = vehicle_box(spot, spot_count)
        middle = ((x1 + x2) / 2, (y1 + y2) / 2)
        for other in range(1, spot_count + 1):
            corners = np.array(spot_polygon(other, spot_count), np.float32)
            assert (cv2.pointPolygonTest(corners, middle, measureDist=False) > 0) == (other == spot)
        spot_corners = np.array(spot_polygon(spot, spot_count), np.float32)
        box = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float32)
        shared, _ = cv2.intersectConvexConvex(spot_corners, box)
        assert shared / ((x2 - x1) * (y2 - y1)) > 0.95


@pytest.mark.parametrize("wrong", [lambda: draw_scene({4: ParkedCar(None)}), lambda: draw_car("71026")])
def test_invalid_scenes_are_an_error(wrong):
    with pytest.raises(ValueError, match=r"spots|code"):
        wrong()
