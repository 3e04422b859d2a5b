"""The `Prefer` header (RFC 7240): whether the answer may wait for the outcome, and for how long."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# preference = token [ BWS "=" BWS word ] *( OWS ";" [ OWS parameter ] ), section 2. A word may be quoted.
_PREFERENCE = re.compile(
    r"""\s*(?P<name>[!\#$%&'*+.^_`|~0-9A-Za-z-]+)
        (?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s;,"]*)))?
        (?:\s*;(?:[^",]|"(?:[^"\\]|\\.)*")*)?\s*(?:,|$)""",
    re.VERBOSE,
)
_LONGEST_HEADER = 1000


@dataclass(frozen=True, slots=True)
class Preferences:
    """`wait_s` is None if the caller did not name it."""

    wait_s: int | None = None
    respond_async: bool = False


def parse_prefer(headers: Iterable[str]) -> Preferences:
    """Read all `Prefer` headers. The first of a name counts, unknown ones are ignored (section 2)."""
    found: dict[str, str] = {}
    rest = ",".join(headers)[:_LONGEST_HEADER]
    position = 0
    while position < len(rest):
        match = _PREFERENCE.match(rest, position)
        if match is None:
            comma = rest.find(",", position)
            position = len(rest) if comma < 0 else comma + 1
            continue
        found.setdefault(match["name"].lower(), match["quoted"] or match["bare"] or "")
        position = max(match.end(), position + 1)
    wait = found.get("wait", "")
    return Preferences(
        wait_s=int(wait) if re.fullmatch(r"[0-9]{1,9}", wait) else None,
        respond_async="respond-async" in found,
    )
