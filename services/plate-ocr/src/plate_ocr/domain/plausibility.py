"""Whether a text can be a plate's, judged by the text alone: badges, dates and telephone numbers are not."""

import re

MIN_CHARACTERS = 2
MAX_CHARACTERS = 10

# Engines, trims and models on tailgates, in capitals like a plate's (own list).
_BADGES = re.compile(
    r"^([1-9]\d{0,2}(I|D|CI|CDI|TDI|TSI|TFSI|HDI|DCI|CRDI|KW|HP|MPH|KMH|L|T)"
    r"|(TDI|TSI|GTI|GTD|HDI|DCI|CDI|CRDI|TFSI|FSI|AWD|4WD|2WD|4X4|4MATIC|XDRIVE|QUATTRO|TURBO|HYBRID|DIESEL)\d{0,3}"
    r"|16V|V1[02]|[VWX][68]|XDRIVE\d+[DI]|[SEXQ]?DRIVE\d*|(HB|XC|RAV|CX|HR|CR|MX|IX|GLK|CLK|SLK)\d{1,3}(TURBO)?)$"
)
_DATE = re.compile(r"^(19|20)\d{2}(0[1-9]|1[0-2])([0-2]\d|3[01])\d*$")
_CLOCK = re.compile(r"^([01]\d|2[0-3])[0-5]\d[0-5]\d$")
_CERTAIN_REGION, _LIKELY_REGION = 0.9, 0.7
_NUMBER_WITHOUT_REGION = 0.35
_NO_DIGIT = 0.5
_SHORTEST_VANITY = 5  # fewer letters alone are a maker's name: GMC, KIA, SEAT
_SHORT_WITHOUT_REGION = 0.4


def plausibility(text: str, *, region_confidence: float, is_confident_detection: bool = True) -> float:
    """0 (not a plate) to 1 (nothing against it). `region_confidence`: of the region by the plate's look and text, 0
    where it is not known. `is_confident_detection`: the detector has no doubt that it is a plate.
    """
    if not MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS or _BADGES.match(text) or _DATE.match(text):
        return 0.0
    if _CLOCK.match(text) and region_confidence < _CERTAIN_REGION:
        return _NUMBER_WITHOUT_REGION
    if text.isdigit() and not is_confident_detection and region_confidence < _LIKELY_REGION:
        return _NUMBER_WITHOUT_REGION
    if not any(c.isdigit() for c in text):
        return _NO_DIGIT if len(text) >= _SHORTEST_VANITY else 0.0
    if len(text) < 4 and region_confidence <= 0:
        return _SHORT_WITHOUT_REGION
    return 1.0
