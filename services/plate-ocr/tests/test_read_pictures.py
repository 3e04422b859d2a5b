# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find what lies beside this file.
"""Which plates of a picture are recognised, with a finder and a recogniser that only count."""

from collections.abc import Sequence

import numpy as np
import pytest

from plate_ocr.domain.alphabet import RowPosterior
from plate_ocr.domain.values import Box, Detection, Picture
from plate_ocr.handlers.read_pictures import Reader

from .domain.rows import row

LEFT, RIGHT, OVER_THE_EDGE = Box(20, 40, 90, 20), Box(180, 40, 90, 20), Box(260, 120, 90, 20)


class Finder:
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
    """Recognised when all are read."""
    recognizer = Recognizer()
    Reader("counting", Finder(*boxes), recognizer, ()).read([picture()])
    return recognizer.crops


@pytest.mark.parametrize("known", [(), (LEFT,), (LEFT, RIGHT)])
def test_a_settled_plate_is_not_recognised(known: tuple[Box, ...]) -> None:
    recognizer = Recognizer()
    reader = Reader("counting", Finder(LEFT, RIGHT), recognizer, ())
    (reading,) = reader.read([picture()], settled=[lambda _, box: box in known])
    assert reading.left_out == known
    assert [plate.box for plate in reading.plates] == [box for box in (LEFT, RIGHT) if box not in known]
    assert recognizer.crops == sum(crops_of(box) for box in (LEFT, RIGHT) if box not in known)


def test_each_picture_has_its_own() -> None:
    recognizer, asked = Recognizer(), []

    def known(seen: Picture, box: Box) -> bool:
        asked.append((seen is pictures[1], box))
        return True

    pictures = [picture(), picture()]
    first, second = Reader("counting", Finder(LEFT), recognizer, ()).read(pictures, settled=[None, known])
    assert (first.left_out, second.left_out) == ((), (LEFT,))
    assert (len(first.plates), len(second.plates)) == (1, 0)
    assert asked == [(True, LEFT)]
    assert recognizer.crops == crops_of(LEFT)


def test_the_box_lies_in_the_picture_as_that_of_a_reading_does() -> None:
    reader = Reader("counting", Finder(OVER_THE_EDGE), Recognizer(), ())
    (read,) = reader.read([picture()])
    (left_out,) = reader.read([picture()], settled=[lambda *_: True])
    assert left_out.left_out == tuple(plate.box for plate in read.plates) == (Box(260, 120, 40, 20),)
