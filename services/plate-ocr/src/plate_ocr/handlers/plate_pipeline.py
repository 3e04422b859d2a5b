"""The shipped engine: detects plates, recognizes their rows, decodes the texts and decides what to report."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from plate_ocr.domain.acceptance import (
    AcceptanceOptions,
    CropReading,
    PictureSize,
    PlateCandidate,
    accept_plates,
    seen_among_too_many,
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
    extended_left,
    group_rows,
    is_tilted,
    second_row_region,
    with_vertical_sides,
)
from plate_ocr.domain.text_decoding import decode_text
from plate_ocr.domain.values import Box, Detection, Margin, Picture, PictureReading

_DEFAULT_MARGIN = Margin(0.16, 0.22)
_RETRY_MARGINS = (Margin(0.04, 0.10), Margin(0.28, 0.34))
"""Tighter, which cuts off frames and bolts, and wider, which adds characters that the detector cut off."""

_NO_COUNTRY = frozenset({"eu", "other"})
"""Classes of the region network that are no country: the countries that are no class share their probability."""

_EMIRATES = frozenset({"ae"})
_GULF = _EMIRATES | {"bh", "kw", "om", "qa", "sa"}
_MIN_GULF, _MIN_EMIRATES = 0.2, 0.3
_MAX_NUMBER = 5
_MIN_CODE = 0.5
_LONG_ROW = 4.5
"""Width over height from which a plate is of the long kind, with the code in the same row as the number."""


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """`max_rows`: of the detector, those with the highest score; others are ignored. `max_plates`: read in one picture,
    those with the highest score; the others are reported as seen. `max_repeated_plates`: of them, those that are
    read more than once where the first reading is unsure. Both bound the time that a picture takes.
    `retry_below_confidence`: 0 to 1, below it a plate is read again with other margins. `enhance_below_confidence`: the
    same, for reading the enhanced crop.
    """

    max_rows: int = 100
    max_plates: int = 24
    max_repeated_plates: int = 6
    retry_below_confidence: float = 0.9
    enhance_below_confidence: float = 0.6
    acceptance: AcceptanceOptions = field(default_factory=AcceptanceOptions)


@dataclass(slots=True)
class _PlateInProgress:
    """A plate while it is read. `index`: of its picture. `rank`: among the plates of the picture. `plate`: as it was
    detected, by which a stream recognizes it. `rows`: as they are read. `prior`: region → probability. `readings`: one
    for each crop.
    """

    index: int
    rank: int
    picture: Picture
    plate: PlateRows
    grammars: CompiledGrammars
    rows: tuple[Detection, ...]
    prior: Mapping[str, float] = field(default_factory=dict)
    sharpness: float = 0.0
    readings: list[CropReading] = field(default_factory=list)


class PlatePipeline:
    """A `PlateEngine`. Not thread-safe."""

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
        """`regions`: those that plates may come from where a picture names none; none for all."""
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
        """One reading a picture, in their order. The rows of all pictures are recognized together, without those of
        skipped plates.

        Raises: ValueError: a region has no grammar.
        """
        detect_ms, pending, skipped, unread = [], [], [], []
        for index, picture in enumerate(pictures):
            started = time.perf_counter()
            grammars = self._grammar_of(regions[index] if regions else ())
            detected = sorted(self._detector.detect(picture), key=lambda row: row.score, reverse=True)
            rows = [
                with_vertical_sides(row) if is_tilted(row) else row
                for row in detected[: self._options.max_rows]
            ]
            plates = group_rows(rows)
            unread.append(plates[self._options.max_plates :])
            plates = plates[: self._options.max_plates]
            known = _known(picture, plates, skip[index]) if skip else {}
            pending += [
                _PlateInProgress(index, rank, picture, plate, grammars, plate.rows)
                for rank, plate in enumerate(plates)
                if plate not in known
            ]
            skipped.append(tuple(known.values()))
            detect_ms.append(_ms_since(started))
        started = time.perf_counter()
        self._classify_regions(pending)
        self._read_crops(pending, _DEFAULT_MARGIN)
        self._search_codes(pending)
        for margin in _RETRY_MARGINS:
            self._read_crops(self._below(pending), margin)
        if self._enhancer:
            weak = self._below(pending, self._options.enhance_below_confidence)
            self._read_crops(weak, _DEFAULT_MARGIN, self._enhancer)
        share_ms = _ms_since(started) / max(len(pending), 1)
        return [
            replace(
                self._reading(
                    picture,
                    [w for w in pending if w.index == index],
                    unread[index],
                    detect_ms[index],
                    share_ms,
                ),
                skipped=skipped[index],
            )
            for index, picture in enumerate(pictures)
        ]

    def _grammar_of(self, regions: tuple[str, ...]) -> CompiledGrammars:
        """Compiled once for each set of regions: sites have only a few."""
        wanted = tuple(sorted(regions or self._regions))
        if wanted not in self._compiled:
            self._compiled[wanted] = compile_grammars(self._grammars, wanted or None)
        return self._compiled[wanted]

    def _below(
        self, pending: Sequence[_PlateInProgress], threshold: float | None = None
    ) -> list[_PlateInProgress]:
        if threshold is None:
            threshold = self._options.retry_below_confidence
        return [
            work
            for work in pending
            if self._may_be_repeated(work)
            and max(reading.confidence for reading in work.readings) < threshold
        ]

    def _may_be_repeated(self, work: _PlateInProgress) -> bool:
        return work.rank < self._options.max_repeated_plates

    def _read_crops(
        self,
        pending: Sequence[_PlateInProgress],
        margin: Margin,
        enhancer: CropEnhancer | None = None,
    ) -> None:
        crops = [self._cropper.crop(w.picture, row, margin) for w in pending for row in w.rows]
        if enhancer:
            crops = [enhancer.enhance(crop) for crop in crops]
        posteriors = iter(self._recognizer.recognize(crops))
        all_crops = iter(crops)
        for work in pending:
            rows = [next(posteriors) for _ in work.rows]
            row_crops = [next(all_crops) for _ in work.rows]
            if not work.readings:
                work.sharpness = max(self._cropper.sharpness(crop) for crop in row_crops)
            lattice = build_lattice(rows)
            reading = decode_text(lattice, work.grammars, region_prior=work.prior)
            work.readings.append(CropReading(reading, lattice))

    def _search_codes(self, pending: Sequence[_PlateInProgress]) -> None:
        """Plates of the Emirates have a code. Where a row shows none, it may be where the detector found no row:
        white on a coloured band above the number, in a coloured field to its left, or between the emirate's names
        below it.
        """
        for work in pending:
            (first, *others), best = work.rows, work.readings[0].reading
            if others or best.code or not _is_emirates_number(best.text) or _share(work, _GULF) < _MIN_GULF:
                continue
            if not self._may_be_repeated(work):
                continue
            if _may_have_two_rows(work.plate):
                plates = [
                    PlateRows((second_row_region(first, is_above=True), first)),
                    PlateRows((first, second_row_region(first, is_above=False))),
                ]
            else:
                plates = [PlateRows((extended_left(first),))]
            attempts = [
                _PlateInProgress(work.index, work.rank, work.picture, plate, work.grammars, plate.rows)
                for plate in plates
            ]
            # With the area beside the number, the plate may be classified as from another region.
            self._classify_regions(attempts)
            self._read_crops(attempts, _DEFAULT_MARGIN)
            # The area is used only where it does not change the number.
            found = [
                t
                for t in attempts
                if t.readings[0].reading.number == best.text and _share(t, _EMIRATES) >= _MIN_EMIRATES
            ]
            best_attempt = max(found, key=lambda t: t.readings[0].reading.code_confidence, default=None)
            if (
                best_attempt
                and best_attempt.readings[0].reading.code
                and best_attempt.readings[0].reading.code_confidence >= _MIN_CODE
            ):
                work.rows, work.readings, work.prior = (
                    best_attempt.rows,
                    best_attempt.readings,
                    best_attempt.prior,
                )

    def _classify_regions(self, pending: Sequence[_PlateInProgress]) -> None:
        if self._region_classifier is None:
            return
        shares_of_plates = self._region_classifier.classify([(work.picture, work.plate) for work in pending])
        for work, shares in zip(pending, shares_of_plates, strict=True):
            prior = dict.fromkeys(("",), 0.0)
            for region, share in zip(self._region_classifier.regions, shares.tolist(), strict=True):
                known = "" if region in _NO_COUNTRY else region
                prior[known] = prior.get(known, 0.0) + share
            work.prior = prior

    def _reading(
        self,
        picture: Picture,
        pending: Sequence[_PlateInProgress],
        unread: Sequence[PlateRows],
        detect_ms: float,
        share_ms: float,
    ) -> PictureReading:
        height_px, width_px = picture.shape[:2]
        size = PictureSize(width_px, height_px)
        candidates = [PlateCandidate(w.plate, tuple(w.readings), w.sharpness) for w in pending]
        plates = (
            *accept_plates(candidates, size, self._options.acceptance),
            *seen_among_too_many(unread, size, self._options.acceptance),
        )
        vehicles = self._vehicles.detect(picture) if self._vehicles else ()
        return PictureReading(plates, vehicles, detect_ms, share_ms * len(pending))


def _known(picture: Picture, plates: Sequence[PlateRows], skip: SkipPlate | None) -> dict[PlateRows, Box]:
    """The plates that the caller knows, and their boxes in the picture."""
    if skip is None:
        return {}
    height_px, width_px = picture.shape[:2]
    boxes = {plate: plate.box.clipped(width_px, height_px) for plate in plates}
    return {plate: box for plate, box in boxes.items() if box.area > 0 and skip(picture, box)}


def _share(work: _PlateInProgress, countries: frozenset[str]) -> float:
    return sum(p for region, p in work.prior.items() if region.partition("-")[0] in countries)


def _is_emirates_number(text: str) -> bool:
    return text.isdigit() and len(text) <= _MAX_NUMBER


def _may_have_two_rows(plate: PlateRows) -> bool:
    return plate.box.width / max(plate.height_px, 1.0) < _LONG_ROW


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
