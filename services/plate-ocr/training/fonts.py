"""The fonts that plates are drawn with: free ones, from Debian's packages.

No national plate typeface is free in all parts, so many alike are used: highway lettering (United States), DIN and
its relatives (Europe), grotesques, narrow and wide cuts. A recognizer that is trained on all of them learns the shape that they share.
"""

import random
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

PACKAGES = [
    "fonts-roadgeek",
    "fonts-opendin",
    "fonts-osifont",
    "fonts-routed-gothic",
    "fonts-national-park",
    "fonts-bebas-neue",
    "fonts-ocr-b",
    "fonts-roboto-unhinted",
    "fonts-liberation",
    "fonts-play",
    "fonts-b612",
    "fonts-dejavu-core",
    "fonts-dejavu-extra",
    "fonts-gemunu-libre",
    "fonts-urw-base35",
    "fonts-cabin",
    "fonts-inter",
    "fonts-jura",
    "fonts-dosis",
    "fonts-allerta",
    "fonts-freefont-ttf",
    "fonts-open-sans",
    "fonts-croscore",
    "fonts-clear-sans",
    "fonts-cantarell",
    "fonts-lato",
    "fonts-manrope",
    "fonts-noto-core",
    "fonts-kacst",
    "fonts-kacst-one",
    "fonts-hosny-amiri",
    "fonts-sil-scheherazade",
    "fonts-sil-harmattan",
    "fonts-arabeyes",
]

_ROOT = Path("/usr/share/fonts")
_LATIN = [
    "RG2014*.ttf",
    "OSP-DIN.ttf",
    "osifont.ttf",
    "routed-gothic.ttf",
    "routed-gothic-narrow.ttf",
    "routed-gothic-wide.ttf",
    "NationalPark-Heavy.otf",
    "NationalPark-Regular.otf",
    "BebasNeue-Bold.otf",
    "BebasNeue-Regular.otf",
    "OCRB.*",
    "RobotoCondensed-Bold.ttf",
    "RobotoCondensed-Regular.ttf",
    "Roboto-Medium.ttf",
    "Roboto-Bold.ttf",
    "LiberationSans-Bold.ttf",
    "LiberationSans-Regular.ttf",
    "LiberationSansNarrow-Bold.ttf",
    "LiberationMono-Bold.ttf",
    "Play-Bold.ttf",
    "Play-Regular.ttf",
    "B612-Bold.ttf",
    "B612Mono-Bold.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSansCondensed-Bold.ttf",
    "DejaVuSansMono-Bold.ttf",
    "GemunuLibre-Bold.*",
    "GemunuLibre-Medium.*",
    "NimbusSans-Bold.otf",
    "NimbusSans-Regular.otf",
    "NimbusSansNarrow-Bold.otf",
    "NimbusSansNarrow-Regular.otf",
    "NimbusMonoPS-Bold.otf",
    "URWGothic-Demi.otf",
    "Cabin-Bold.*",
    "Inter-Bold.*",
    "Inter-Medium.*",
    "Jura-DemiBold.*",
    "Jura-Bold.*",
    "Dosis-Bold.*",
    "Dosis-SemiBold.*",
    "Allerta*.ttf",
    "FreeSansBold.ttf",
    "FreeMonoBold.ttf",
    "OpenSans-CondBold.*",
    "OpenSans-Bold.ttf",
    "Arimo-Bold.ttf",
    "Cousine-Bold.ttf",
    "ClearSans-Bold.ttf",
    "Cantarell-Bold.*",
    "Lato-Bold.ttf",
    "Lato-Heavy.ttf",
    "NotoSans-Bold.ttf",
    "NotoSans-CondensedBold.ttf",
    "NotoSansMono-Bold.ttf",
]
_NARROW = [
    "RG2014[BC]*.ttf", "OSP-DIN.ttf", "osifont.ttf", "routed-gothic-narrow.ttf", "BebasNeue-Bold.otf", "BebasNeue-Regular.otf",
    "RobotoCondensed-Bold.ttf", "RobotoCondensed-Regular.ttf", "LiberationSansNarrow-Bold.ttf", "NimbusSansNarrow-Bold.otf",
    "GemunuLibre-Bold.*", "GemunuLibre-Medium.*", "OpenSans-CondBold.*", "DejaVuSansCondensed-Bold.ttf", "NotoSans-CondensedBold.ttf",
    "Dosis-Bold.*", "NationalPark-Heavy.otf", "Allerta*.ttf",
]  # fmt: skip
_ARABIC = [
    "NotoSansArabic-Bold.ttf",
    "NotoSansArabic-Regular.ttf",
    "NotoKufiArabic-Bold.ttf",
    "NotoKufiArabic-Regular.ttf",
    "NotoNaskhArabic-Bold.ttf",
    "NotoNaskhArabic-Regular.ttf",
    "KacstOne*.ttf",
    "KacstBook.ttf",
    "KacstTitle.ttf",
    "KacstDigital.ttf",
    "KacstPoster.ttf",
    "Amiri-Bold.ttf",
    "Amiri-Regular.ttf",
    "Scheherazade*-Bold.ttf",
    "Harmattan-Bold.ttf",
    "ae_AlHor.ttf",
    "ae_Granada.ttf",
    "ae_Sharjah.ttf",
    "ae_Hor.ttf",
    "ae_Cortoba.ttf",
]

Mask = NDArray[np.uint8]


@lru_cache(1)
def latin() -> list[str]:
    return _found(_LATIN)


@lru_cache(1)
def narrow() -> list[str]:
    """Those of `latin` that resemble the typefaces of plates: upright, narrow, of even stroke width."""
    return _found(_NARROW)


@lru_cache(1)
def arabic() -> list[str]:
    return _found(_ARABIC)


def _found(patterns: list[str]) -> list[str]:
    files = {f.name: f for f in _ROOT.rglob("*") if f.suffix in {".ttf", ".otf"}}
    found = sorted({str(f) for name, f in files.items() if any(Path(name).match(p) for p in patterns)})
    if len(found) < len(patterns) // 3:
        raise SystemExit(f"Few fonts found; install them: apt-get install {' '.join(PACKAGES)}")
    return found


@lru_cache(256)
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@lru_cache(20_000)
def glyph(path: str, character: str) -> Mask:
    """One capital or digit as coverage 0..255, 96 px high from the baseline to the height of an H."""
    font = _font(path, 128)
    _, top, _, bottom = font.getbbox("H", anchor="ls")
    height = max(bottom - top, 1)
    left, upper, right, lower = font.getbbox(character, anchor="ls")
    width = max(right - left, 1)
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).text((-left, height), character, font=font, fill=255, anchor="ls")
    del upper, lower
    return np.asarray(image.resize((max(round(width * 96 / height), 4), 96), Image.Resampling.BILINEAR))


@lru_cache(20_000)
def word(path: str, text: str) -> Mask:
    """A word in any script as coverage 0..255, cut to its ink, 64 px high."""
    font = _font(path, 72)
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (max(int(right - left), 1), max(int(bottom - top), 1)))
    ImageDraw.Draw(image).text((-left, -top), text, font=font, fill=255)
    mask = np.asarray(image)
    rows, columns = np.flatnonzero(mask.max(1) > 40), np.flatnonzero(mask.max(0) > 40)
    if rows.size and columns.size:
        mask = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 64 / mask.shape[0]
    size = (max(round(mask.shape[1] * scale), 2), 64)
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.BILINEAR))


def pick(fonts: list[str], rng: random.Random) -> str:
    return fonts[rng.randrange(len(fonts))]
