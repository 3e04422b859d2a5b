"""The engine: pictures in, plates and vehicles out. Composes a detector, a recogniser and the rules."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from plate_ocr.adapters.crops import cut, straightened
from plate_ocr.domain.agreement import agreed
from plate_ocr.domain.assembly import assemble, to_plate
from plate_ocr.domain.candidates import Candidate
from plate_ocr.domain.engines import PlateDetector, PlateRecognizer, VehicleDetector
from plate_ocr.domain.geometry import overlap
from plate_ocr.domain.likeness import is_overlay, is_running_text
from plate_ocr.domain.values import (
    Detection,
    Picture,
    PictureReading,
    Point,
    TextLine,
    TextReading,
)

_TIGHTER = -0.08
"""Share of a line's height cut off above and below for the second view: frames and bolts go, strokes stay."""

_CLOSE_MARGIN = 1.0
_MIN_SAME_LINE = 0.3


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """`first_look_pixels`, `second_look_pixels`: size of the picture for the search, width times height; the second
    only where the first finds no plate. `close_look_pixels`: of the surroundings of one weak candidate.
    `max_regions`: read in one picture, the detector's surest first. `sure_confidence`: from here on a candidate
    needs no close look. `min_confidence`: below it a candidate is not reported. All confidences 0 to 1.
    """

    first_look_pixels: int = 600_000
    second_look_pixels: int = 1_300_000
    close_look_pixels: int = 60_000
    max_close_looks: int = 4
    max_regions: int = 48
    sure_confidence: float = 0.98
    min_confidence: float = 0.4


@dataclass(slots=True)
class _Work:
    """`looks`: the readings behind each of `lines`."""

    picture: Picture
    lines: list[TextLine] = field(default_factory=list)
    looks: list[list[TextReading]] = field(default_factory=list)
    candidates: tuple[Candidate, ...] = ()
    detect_ms: float = 0.0
    recognize_ms: float = 0.0


class Reader:
    """Not safe for threads: one reader, one worker."""

    def __init__(
        self,
        name: str,
        detector: PlateDetector,
        recognizer: PlateRecognizer,
        options: ReaderOptions | None = None,
        vehicles: VehicleDetector | None = None,
    ) -> None:
        self.name = name
        self._detector = detector
        self._recognizer = recognizer
        self._options = options or ReaderOptions()
        self._vehicles = vehicles

    @property
    def has_vehicle_detector(self) -> bool:
        return self._vehicles is not None

    def read(self, pictures: Sequence[Picture]) -> list[PictureReading]:
        """One reading a picture, in their order. The crops of all pictures are recognised together."""
        works = [_Work(picture) for picture in pictures]
        self._look(works, self._options.first_look_pixels)
        missed = [
            w for w in works if not w.candidates and _pixels(w.picture) > self._options.first_look_pixels
        ]
        if missed:
            self._look(missed, self._options.second_look_pixels)
        self._look_closely(works)
        return [self._reading(work) for work in works]

    def _look(self, works: Sequence[_Work], max_pixels: int) -> None:
        jobs: list[tuple[_Work, Detection]] = []
        for work in works:
            started = time.perf_counter()
            found = self._detector.detect(work.picture, max_pixels)
            work.detect_ms += _ms_since(started)
            surest = sorted(found, key=lambda d: d.score, reverse=True)[: self._options.max_regions]
            jobs.extend((work, detection) for detection in surest)
            work.lines, work.looks = [], []
        for (work, detection), looks in zip(jobs, self._read_twice(jobs), strict=True):
            work.lines.append(TextLine(detection.corners, agreed(looks)))
            work.looks.append(looks)
        for work in works:
            work.candidates = assemble(work.lines, work.picture.shape[0])

    def _read_twice(self, jobs: Sequence[tuple[_Work, Detection]]) -> list[list[TextReading]]:
        """Two views of each region; what is plainly no plate gets only one."""
        looks = [[reading] for reading in self._recognize(jobs, 0.0)]
        again = [index for index, (reading,) in enumerate(looks) if _deserves_another_look(reading)]
        for index, second in zip(again, self._recognize([jobs[i] for i in again], _TIGHTER), strict=True):
            looks[index].append(second)
        return looks

    def _recognize(self, jobs: Sequence[tuple[_Work, Detection]], grow_height: float) -> list[TextReading]:
        if not jobs:
            return []
        started = time.perf_counter()
        crops = [straightened(work.picture, region.corners, grow_height=grow_height) for work, region in jobs]
        readings = self._recognizer.recognize(crops)
        share_ms = _ms_since(started) / len(jobs)
        for work, _ in jobs:
            work.recognize_ms += share_ms
        return readings

    def _look_closely(self, works: Sequence[_Work]) -> None:
        """Searches the surroundings of weak candidates again, enlarged: small plates get tighter outlines there."""
        jobs: list[tuple[_Work, Detection]] = []
        places: list[int] = []
        for work in works:
            weak = [c for c in work.candidates if c.confidence < self._options.sure_confidence]
            for candidate in weak[: self._options.max_close_looks]:
                for line in candidate.lines:
                    if found := self._closer(work, line):
                        jobs.append((work, found))
                        places.append(work.lines.index(line))
        for (work, detection), place, looks in zip(jobs, places, self._read_twice(jobs), strict=True):
            work.looks[place].extend(looks)
            best = agreed(work.looks[place])
            corners = detection.corners if best in looks else work.lines[place].corners
            work.lines[place] = TextLine(corners, best)
        for work in {id(w): w for w, _ in jobs}.values():
            work.candidates = assemble(work.lines, work.picture.shape[0])

    def _closer(self, work: _Work, line: TextLine) -> Detection | None:
        part = cut(work.picture, line.box, margin=_CLOSE_MARGIN)
        if part is None:
            return None
        started = time.perf_counter()
        found = self._detector.detect(part.picture, self._options.close_look_pixels)
        work.detect_ms += _ms_since(started)
        moved = [
            Detection(tuple(Point(p.x + part.left, p.y + part.top) for p in d.corners), d.score)
            for d in found
        ]
        same = [d for d in moved if overlap(d.box, line.box) >= _MIN_SAME_LINE]
        return max(same, key=lambda d: overlap(d.box, line.box), default=None)

    def _reading(self, work: _Work) -> PictureReading:
        height, width = work.picture.shape[:2]
        plates = [
            to_plate(c, width, height) for c in work.candidates if c.rank >= self._options.min_confidence
        ]
        vehicles = self._vehicles.detect(work.picture) if self._vehicles else ()
        return PictureReading(tuple(plates), vehicles, work.detect_ms, work.recognize_ms)


def _deserves_another_look(reading: TextReading) -> bool:
    return 0 < len(reading.characters) <= 10 and not is_overlay(reading) and not is_running_text(reading)


def _pixels(picture: Picture) -> int:
    return int(picture.shape[0] * picture.shape[1])


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
