"""Words that stand on plates and tell where they come from.

Only what is read counts: no word, no region. The grammars that would tell a region from the shape of the number
alone are no part of this.
"""

from dataclasses import dataclass

_UAE = {
    "DUBAI": "ae-du",
    "ABUDHABI": "ae-az",
    "UAEAD": "ae-az",
    "SHARJAH": "ae-sj",
    "UAESHJ": "ae-sj",
    "AJMAN": "ae-aj",
    "UMMALQUWAIN": "ae-uq",
    "UAQ": "ae-uq",
    "RASALKHAIMAH": "ae-rk",
    "RAK": "ae-rk",
    "FUJAIRAH": "ae-fu",
    "UAE": "ae",
}

# ISO 3166-2 of the states whose name stands on their plates.
_US = {
    "ALABAMA": "al", "ALASKA": "ak", "ARIZONA": "az", "ARKANSAS": "ar", "CALIFORNIA": "ca", "COLORADO": "co",
    "CONNECTICUT": "ct", "DELAWARE": "de", "FLORIDA": "fl", "GEORGIA": "ga", "HAWAII": "hi", "IDAHO": "id",
    "ILLINOIS": "il", "INDIANA": "in", "IOWA": "ia", "KANSAS": "ks", "KENTUCKY": "ky", "LOUISIANA": "la",
    "MAINE": "me", "MARYLAND": "md", "MASSACHUSETTS": "ma", "MICHIGAN": "mi", "MINNESOTA": "mn",
    "MISSISSIPPI": "ms", "MISSOURI": "mo", "MONTANA": "mt", "NEBRASKA": "ne", "NEVADA": "nv",
    "NEWHAMPSHIRE": "nh", "NEWJERSEY": "nj", "NEWMEXICO": "nm", "NEWYORK": "ny", "NORTHCAROLINA": "nc",
    "NORTHDAKOTA": "nd", "OHIO": "oh", "OKLAHOMA": "ok", "OREGON": "or", "PENNSYLVANIA": "pa",
    "RHODEISLAND": "ri", "SOUTHCAROLINA": "sc", "SOUTHDAKOTA": "sd", "TENNESSEE": "tn", "TEXAS": "tx",
    "UTAH": "ut", "VERMONT": "vt", "VIRGINIA": "va", "WASHINGTON": "wa", "WESTVIRGINIA": "wv",
    "WISCONSIN": "wi", "WYOMING": "wy",
}  # fmt: skip

_BRAZIL = frozenset(
    {"AC", "AL", "AP", "AM", "BA", "CE", "DF", "ES", "GO", "MA", "MT", "MS", "MG", "PA", "PB", "PR", "PE", "PI", "RJ",
     "RN", "RS", "RO", "RR", "SC", "SP", "SE", "TO"}
)  # fmt: skip

_WORDS = {**_UAE, **{name: f"us-{code}" for name, code in _US.items()}, "BRASIL": "br", "KSA": "sa", "QATAR": "qa",
          "BAHRAIN": "bh", "KUWAIT": "kw", "OMAN": "om"}  # fmt: skip

# Shapes that lettering, dirt and few pixels turn into one another; such a swap costs a quarter of an edit.
_ALIKE = ("DO0Q", "BEPR8G", "ARH4", "IL1J", "UV", "S5", "Z2", "MNH", "CG", "KX")
_CHEAP_EDIT = 0.25


@dataclass(frozen=True, slots=True)
class RegionWord:
    """`rest_before` and `rest_after`: what stands in the same line around the word, A-Z 0-9."""

    region: str
    rest_before: str
    rest_after: str


def region_of_word(text: str) -> str:
    """Region named by a word (A-Z 0-9 without separators), allowing for misread letters; empty when none is."""
    best, best_cost = "", 1.01
    for word, region in _WORDS.items():
        allowed = 0.0 if len(word) <= 4 else 1.3 if len(word) <= 6 else 2.01
        cost = _edit_cost(text, word, allowed)
        if cost <= allowed and cost / len(word) < best_cost:
            best, best_cost = region, cost / len(word)
    return best


def brazilian_town(printed: str) -> str:
    """Region of a Brazilian town strip such as "BA-SALVADOR"; empty when the line is none."""
    state, separator, town = printed.upper().partition("-")
    letters = "".join(c for c in town if c.isalpha())
    if separator and state.strip() in _BRAZIL and len(letters) >= 3 and not any(c.isdigit() for c in town):
        return f"br-{state.strip().lower()}"
    return ""


def find_region_word(printed: str, text: str) -> RegionWord | None:
    """The region word in a line, also when the code or the number ran into it: "D DUBAI", "DUBAI31641", "U.A.E B".

    Only the Emirates print words and characters in one row, so only theirs are looked for inside a line.
    """
    letters_end = len(text.rstrip("0123456789"))
    head, tail = text[:letters_end], text[letters_end:]
    first, _, others = printed.strip().upper().partition(" ")
    candidates = []
    if others and len(first) <= 2:
        joined = "".join(c for c in others if c.isascii() and c.isalnum())
        stripped = joined.rstrip("0123456789")
        candidates.append((first, stripped, joined[len(stripped) :]))
    if tail:
        candidates.append(("", head, tail))
    for before, word, after in candidates:
        region = region_of_word(word) if len(word) >= 3 else ""
        if region.startswith("ae"):
            return RegionWord(region, before, after)
    if region := region_of_word(text):
        return RegionWord(region, "", "")
    if text.startswith("UAE") and len(text) <= 5:
        return RegionWord("ae", "", text[3:])
    return None


def _edit_cost(first: str, second: str, limit: float) -> float:
    if abs(len(first) - len(second)) > limit:
        return limit + 1
    row = [float(i) for i in range(len(second) + 1)]
    for i, a in enumerate(first, 1):
        last, row = row, [float(i)]
        for j, b in enumerate(second, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + _swap_cost(a, b)))
        if min(row) > limit:
            return limit + 1
    return row[-1]


def _swap_cost(a: str, b: str) -> float:
    if a == b:
        return 0.0
    return _CHEAP_EDIT if any(a in group and b in group for group in _ALIKE) else 1.0
