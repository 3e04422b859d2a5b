# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""Which plates of a picture are recognized, with a fake detector and recognizer."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from plate_ocr.adapters.crops import OpenCvRowCropper, rectify_row
from plate_ocr.adapters.grammars import load_grammars
from plate_ocr.domain.alphabet import RowPosterior
from plate_ocr.domain.rows import PlateRows
from plate_ocr.domain.values import Box, Detection, Margin, Picture, Point
from plate_ocr.handlers.plate_pipeline import PlatePipeline

from .domain.rows import row

CROPPER = OpenCvRowCropper()
LEFT, RIGHT, OVER_THE_EDGE = Box(20, 40, 90, 20), Box(180, 40, 90, 20), Box(260, 120, 90, 20)


class FakeDetector:
    """A plate in each box, in every picture."""

    def __init__(self, *boxes: Box) -> None:
        self._boxes = boxes

    def detect(self, picture: Picture) -> tuple[Detection, ...]:
        return tuple(Detection(box.corners(), 0.9) for box in self._boxes)


class Recognizer:
    """Reads the same on every crop."""

    def __init__(self) -> None:
        self.crops = 0

    def recognize(self, crops: Sequence[Picture]) -> list[RowPosterior]:
        self.crops += len(crops)
        return [row("RK755AJ") for _ in crops]


def picture() -> Picture:
    return np.full((160, 300, 3), 90, np.uint8)


def crops_of(*boxes: Box) -> int:
    """Crops recognized when all plates are read."""
    recognizer = Recognizer()
    PlatePipeline("counting", FakeDetector(*boxes), recognizer, CROPPER, ()).read([picture()])
    return recognizer.crops


@pytest.mark.parametrize("known", [(), (LEFT,), (LEFT, RIGHT)])
def test_a_skipped_plate_is_not_recognized(known: tuple[Box, ...]) -> None:
    recognizer = Recognizer()
    reader = PlatePipeline("counting", FakeDetector(LEFT, RIGHT), recognizer, CROPPER, ())
    (reading,) = reader.read([picture()], skip=[lambda _, box: box in known])
    assert reading.skipped == known
    assert [plate.box for plate in reading.plates] == [box for box in (LEFT, RIGHT) if box not in known]
    assert recognizer.crops == sum(crops_of(box) for box in (LEFT, RIGHT) if box not in known)


def test_each_picture_has_its_own_skip_function() -> None:
    recognizer, asked = Recognizer(), []

    def known(seen: Picture, box: Box) -> bool:
        asked.append((seen is pictures[1], box))
        return True

    pictures = [picture(), picture()]
    first, second = PlatePipeline("counting", FakeDetector(LEFT), recognizer, CROPPER, ()).read(
        pictures, skip=[None, known]
    )
    assert (first.skipped, second.skipped) == ((), (LEFT,))
    assert (len(first.plates), len(second.plates)) == (1, 0)
    assert asked == [(True, LEFT)]
    assert recognizer.crops == crops_of(LEFT)


def test_a_skipped_box_is_clipped_to_the_picture_as_that_of_a_reading() -> None:
    reader = PlatePipeline("counting", FakeDetector(OVER_THE_EDGE), Recognizer(), CROPPER, ())
    (read,) = reader.read([picture()])
    (skipped,) = reader.read([picture()], skip=[lambda *_: True])
    assert skipped.skipped == tuple(plate.box for plate in read.plates) == (Box(260, 120, 40, 20),)


def test_a_bent_row_is_read_unbent() -> None:
    class Bent(FakeDetector):
        def detect(self, picture: Picture) -> tuple[Detection, ...]:
            return tuple(replace(row, bend=0.5) for row in super().detect(picture))

    class Keeping(Recognizer):
        def recognize(self, crops: Sequence[Picture]) -> list[RowPosterior]:
            kept.extend(crops)
            return super().recognize(crops)

    kept: list[Picture] = []
    noise = np.random.default_rng(1).integers(0, 255, (160, 300, 3), dtype=np.uint8)
    PlatePipeline("keeping", Bent(LEFT), Keeping(), CROPPER, ()).read([noise])
    assert np.array_equal(kept[0], rectify_row(noise, LEFT.corners(), Margin(0.16, 0.22), bend=0.5))


BRIGHT = 200


class ByLight:
    """Reads the code 7 where a crop is bright, the number where it is not, and both where it is bright at one end."""

    def __init__(self, number: str) -> None:
        self._number = number

    def recognize(self, crops: Sequence[Picture]) -> list[RowPosterior]:
        return [row(self._seen((crop > BRIGHT - 20).mean())) for crop in crops]

    def _seen(self, bright: float) -> str:
        if bright > 0.7:
            return "7"
        return f"7-{self._number}" if bright > 0.1 else self._number


class FixedRegion:
    """Classifies every plate as from one region, with a given probability."""

    regions = ("ae-az", "other")

    def __init__(self, share: float) -> None:
        self._share = share

    def classify(self, plates: Sequence[tuple[Picture, PlateRows]]) -> NDArray[np.float32]:
        return np.array([[self._share, 1 - self._share] for _ in plates], np.float32)


def read_with_bright(part: Box, found: Box, number: str = "8261", share: float = 0.9) -> tuple[str, str]:
    """Code and number of a plate of which the detector finds `found` only, and `part` is bright."""
    seen = picture()
    seen[round(part.y) : round(part.bottom), round(part.x) : round(part.right)] = BRIGHT
    reader = PlatePipeline(
        "codes",
        FakeDetector(found),
        ByLight(number),
        CROPPER,
        load_grammars(),
        region_classifier=FixedRegion(share),
    )
    (plate,) = reader.read([seen])[0].plates
    return plate.code, plate.number


SHORT, LONG = Box(100, 80, 60, 20), Box(100, 80, 150, 20)


@pytest.mark.parametrize(
    ("bright", "found"),
    [
        pytest.param(Box(70, 40, 120, 36), SHORT, id="on a band above the number"),
        pytest.param(Box(60, 60, 36, 60), LONG, id="in a field left of the number"),
    ],
)
def test_an_emirates_code_is_searched_where_the_detector_found_no_row(bright: Box, found: Box) -> None:
    assert read_with_bright(bright, found) == ("7", "8261")


def test_no_code_is_found_where_the_plate_is_not_of_the_emirates_or_nothing_is_there() -> None:
    band = Box(70, 40, 120, 36)
    assert read_with_bright(band, SHORT, share=0.05)[0] == ""
    assert read_with_bright(Box(0, 0, 1, 1), SHORT)[0] == ""
    assert read_with_bright(band, SHORT, number="RK755AJ") == ("", "RK755AJ")


@pytest.mark.parametrize(("drop", "is_upright"), [(60, True), (10, False)])
def test_a_tilted_plate_is_read_between_vertical_sides(drop: int, *, is_upright: bool) -> None:
    """A plate seen from the side has tilted lines and upright strokes."""

    class Tilted(FakeDetector):
        def detect(self, picture: Picture) -> tuple[Detection, ...]:
            across = Point(-23 * drop / 152, 23 * 140 / 152)
            a, b = Point(40, 40), Point(180, 40 + drop)
            c, d = (Point(p.x + across.x, p.y + across.y) for p in (b, a))
            return (Detection((a, b, c, d), 0.9),)

    (plate,) = PlatePipeline("tilted", Tilted(), Recognizer(), CROPPER, ()).read([picture()])[0].plates
    a, b, c, d = plate.outline
    assert (abs(a.x - d.x) < 0.01 and abs(b.x - c.x) < 0.01) is is_upright
