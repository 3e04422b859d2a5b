"""The engine: pictures in, plates and vehicles out. Composes the detector, the reader, the grammars and the rules."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from plate_ocr.domain.acceptance import (
    AcceptanceOptions,
    CropReading,
    PictureSize,
    PlateCandidate,
    accept_plates,
)
from plate_ocr.domain.compiled_grammars import CompiledGrammars, compile_grammars
from plate_ocr.domain.engines import (
    CropEnhancer,
    PlateDetector,
    PlateRecognizer,
    RegionClassifier,
    RowCropper,
    SkipPlate,
    VehicleDetector,
)
from plate_ocr.domain.grammar import RegionGrammar
from plate_ocr.domain.lattice import build_lattice
from plate_ocr.domain.rows import (
    PlateRows,
    beside,
    extended_left,
    group_rows,
    is_tilted,
    with_vertical_sides,
)
from plate_ocr.domain.text_decoding import decode
from plate_ocr.domain.values import Box, Detection, Margin, Picture, PictureReading

_USUAL = Margin(0.16, 0.22)
_SECOND_VIEWS = (Margin(0.04, 0.10), Margin(0.28, 0.34))
"""Tighter, and wider: frames and bolts go, or characters that the detector cut come back."""

_NO_COUNTRY = frozenset({"eu", "other"})
"""Classes of the region network that name no country: their probability is shared by those not named."""

_EMIRATES = frozenset({"ae"})
_GULF = _EMIRATES | {"bh", "kw", "om", "qa", "sa"}
_MIN_GULF, _MIN_EMIRATES = 0.2, 0.3
_MAX_NUMBER = 5
_MIN_CODE = 0.5
_LONG_ROW = 4.5
"""Width over height of a row from which on the plate is the long kind, with the code in that row."""


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """`max_plates`: read in one picture, those with the highest score. `retry_below_confidence`: 0 to 1, below it a
    plate is read again with other margins. `enhance_below`: the same, for reading the enhanced crop.
    """

    max_plates: int = 40
    retry_below_confidence: float = 0.9
    enhance_below: float = 0.6
    acceptance: AcceptanceOptions = field(default_factory=AcceptanceOptions)


@dataclass(slots=True)
class _Work:
    """A plate that is being read. `plate`: as it was found, by which a stream knows it again. `rows`: as it is read.
    `prior`: region → probability. `looks`: what each view of it said.
    """

    index: int
    picture: Picture
    plate: PlateRows
    grammars: CompiledGrammars
    rows: tuple[Detection, ...]
    prior: Mapping[str, float] = field(default_factory=dict)
    sharpness: float = 0.0
    looks: list[CropReading] = field(default_factory=list)


class PlatePipeline:
    """Not safe for threads: one reader, one worker."""

    def __init__(
        self,
        name: str,
        detector: PlateDetector,
        recognizer: PlateRecognizer,
        cropper: RowCropper,
        grammars: Sequence[RegionGrammar],
        options: PipelineOptions | None = None,
        *,
        regions: tuple[str, ...] = (),
        region_classifier: RegionClassifier | None = None,
        vehicles: VehicleDetector | None = None,
        enhancer: CropEnhancer | None = None,
    ) -> None:
        """`regions`: those that plates may come from where a picture is not told of any; none for all."""
        self.name = name
        self._detector = detector
        self._recognizer = recognizer
        self._cropper = cropper
        self._grammars = grammars
        self._regions = regions
        self._region_classifier = region_classifier
        self._enhancer = enhancer
        self._compiled: dict[tuple[str, ...], CompiledGrammars] = {}
        self._grammar_of(regions)
        self._options = options or PipelineOptions()
        self._vehicles = vehicles

    @property
    def has_vehicle_detector(self) -> bool:
        return self._vehicles is not None

    @property
    def known_regions(self) -> frozenset[str]:
        return frozenset(name for grammar in self._grammars for name in (grammar.region, grammar.country))

    def read(
        self,
        pictures: Sequence[Picture],
        regions: Sequence[tuple[str, ...]] = (),
        skip: Sequence[SkipPlate | None] = (),
    ) -> list[PictureReading]:
        """One reading a picture, in their order. The rows of all pictures are recognised together, without those of
        plates that are skip.

        Raises: ValueError: a region without a grammar.
        """
        detect_ms, works, skipped = [], [], []
        for index, picture in enumerate(pictures):
            started = time.perf_counter()
            grammars = self._grammar_of(regions[index] if regions else ())
            rows = [
                with_vertical_sides(row) if is_tilted(row) else row for row in self._detector.detect(picture)
            ]
            plates = group_rows(rows)[: self._options.max_plates]
            known = _known(picture, plates, skip[index]) if skip else {}
            works += [
                _Work(index, picture, plate, grammars, plate.rows) for plate in plates if plate not in known
            ]
            skipped.append(tuple(known.values()))
            detect_ms.append(_ms_since(started))
        started = time.perf_counter()
        self._classify_regions(works)
        self._view(works, _USUAL)
        self._look_for_codes(works)
        for margin in _SECOND_VIEWS:
            self._view(self._weak(works), margin)
        if self._enhancer:
            weak = self._weak(works, self._options.enhance_below)
            self._view(weak, _USUAL, self._enhancer)
        share_ms = _ms_since(started) / max(len(works), 1)
        return [
            replace(
                self._reading(picture, [w for w in works if w.index == index], detect_ms[index], share_ms),
                skipped=skipped[index],
            )
            for index, picture in enumerate(pictures)
        ]

    def _grammar_of(self, regions: tuple[str, ...]) -> CompiledGrammars:
        """Compiled once for each set of regions: sites have a handful."""
        wanted = tuple(sorted(regions or self._regions))
        if wanted not in self._compiled:
            self._compiled[wanted] = compile_grammars(self._grammars, wanted or None)
        return self._compiled[wanted]

    def _weak(self, works: Sequence[_Work], below: float | None = None) -> list[_Work]:
        least = self._options.retry_below_confidence if below is None else below
        return [work for work in works if max(look.confidence for look in work.looks) < least]

    def _view(self, works: Sequence[_Work], margin: Margin, enhancer: CropEnhancer | None = None) -> None:
        crops = [self._cropper.crop(w.picture, row, margin) for w in works for row in w.rows]
        if enhancer:
            crops = [enhancer.enhance(crop) for crop in crops]
        posteriors = iter(self._recognizer.recognize(crops))
        firsts = iter(crops)
        for work in works:
            read = [next(posteriors) for _ in work.rows]
            shown = [next(firsts) for _ in work.rows]
            if not work.looks:
                work.sharpness = max(self._cropper.sharpness(crop) for crop in shown)
            lattice = build_lattice(read)
            reading = decode(lattice, work.grammars, region_prior=work.prior)
            work.looks.append(CropReading(reading, lattice))

    def _look_for_codes(self, works: Sequence[_Work]) -> None:
        """Emirates plates carry a code; where a row shows none, it may stand where the detector saw no row: white on a
        coloured band above the number or a coloured field to its left, or between the emirate's names below it.
        """
        for work in works:
            (first, *others), best = work.rows, work.looks[0].reading
            if others or best.code or not _is_emirates_number(best.text) or _share(work, _GULF) < _MIN_GULF:
                continue
            if _may_have_two_rows(work.plate):
                plates = [
                    PlateRows((beside(first, is_above=True), first)),
                    PlateRows((first, beside(first, is_above=False))),
                ]
            else:
                plates = [PlateRows((extended_left(first),))]
            tries = [_Work(work.index, work.picture, plate, work.grammars, plate.rows) for plate in plates]
            # Seen with what stands beside the number, the plate may look as if from somewhere else.
            self._classify_regions(tries)
            self._view(tries, _USUAL)
            # What is found beside it must leave the number as it was.
            found = [
                t
                for t in tries
                if t.looks[0].reading.number == best.text and _share(t, _EMIRATES) >= _MIN_EMIRATES
            ]
            surest = max(found, key=lambda t: t.looks[0].reading.code_confidence, default=None)
            if (
                surest
                and surest.looks[0].reading.code
                and surest.looks[0].reading.code_confidence >= _MIN_CODE
            ):
                work.rows, work.looks, work.prior = surest.rows, surest.looks, surest.prior

    def _classify_regions(self, works: Sequence[_Work]) -> None:
        if self._region_classifier is None:
            return
        told = self._region_classifier.classify([(work.picture, work.plate) for work in works])
        for work, shares in zip(works, told, strict=True):
            prior = dict.fromkeys(("",), 0.0)
            for region, share in zip(self._region_classifier.regions, shares.tolist(), strict=True):
                known = "" if region in _NO_COUNTRY else region
                prior[known] = prior.get(known, 0.0) + share
            work.prior = prior

    def _reading(
        self, picture: Picture, works: Sequence[_Work], detect_ms: float, share_ms: float
    ) -> PictureReading:
        height_px, width_px = picture.shape[:2]
        evidence = [PlateCandidate(w.plate, tuple(w.looks), w.sharpness) for w in works]
        plates = accept_plates(evidence, PictureSize(width_px, height_px), self._options.acceptance)
        vehicles = self._vehicles.detect(picture) if self._vehicles else ()
        return PictureReading(plates, vehicles, detect_ms, share_ms * len(works))


def _known(picture: Picture, plates: Sequence[PlateRows], skip: SkipPlate | None) -> dict[PlateRows, Box]:
    """The plates that need no reading, and where they are in the picture."""
    if skip is None:
        return {}
    height_px, width_px = picture.shape[:2]
    boxes = {plate: plate.box.clipped(width_px, height_px) for plate in plates}
    return {plate: box for plate, box in boxes.items() if box.area > 0 and skip(picture, box)}


def _share(work: _Work, countries: frozenset[str]) -> float:
    return sum(p for region, p in work.prior.items() if region.partition("-")[0] in countries)


def _is_emirates_number(text: str) -> bool:
    return text.isdigit() and len(text) <= _MAX_NUMBER


def _may_have_two_rows(plate: PlateRows) -> bool:
    return plate.box.width / max(plate.height_px, 1.0) < _LONG_ROW


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
