"""`kit` serves any service: no word of what Lookout's services are about is in its source."""

import re
from pathlib import Path

KIT = Path(__file__).resolve().parents[2] / "libs/kit/src"
WORDS = ("camera", "plate", "ticket", "parking", "car", "vehicle", "spot", "occupancy")
DOMAIN_WORD = re.compile(rf"(?<![a-z])(?:{'|'.join(WORDS)})s?(?![a-z])", re.IGNORECASE)


def test_kit_has_no_word_of_the_domain() -> None:
    found = [
        f"{path.relative_to(KIT)}:{number}: {match[0]}"
        for path in sorted(KIT.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for match in DOMAIN_WORD.finditer(line)
    ]
    assert not found, "reword these lines in general terms"
