"""The region grammars that ship with the package, and an operator's own beside or instead of them."""

from importlib.resources import files
from pathlib import Path

from plate_ocr.domain.grammar import GrammarError, RegionGrammar, parse_grammars


def load_grammars(folder: Path | None = None) -> tuple[RegionGrammar, ...]:
    """All regions, sorted. `folder`: an operator's `*.toml`; a region there takes the place of ours.

    Raises: GrammarError: with the file and the field that is wrong; the folder is missing or cannot be read.
    """
    ours = _parsed([(f.name, f.read_text(encoding="utf-8")) for f in files("plate_ocr").joinpath("grammars").iterdir()
                    if f.name.endswith(".toml")])  # fmt: skip
    theirs = _parsed(_operators_files(folder)) if folder else {}
    return tuple(grammar for _, grammar in sorted({**ours, **theirs}.items()))


def _operators_files(folder: Path) -> list[tuple[str, str]]:
    if not folder.is_dir():
        raise GrammarError(str(folder), "", "no such folder")
    found = []
    for path in sorted(folder.glob("*.toml")):
        try:
            found.append((str(path), path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise GrammarError(str(path), "", str(error)) from error
    return found


def _parsed(texts: list[tuple[str, str]]) -> dict[str, RegionGrammar]:
    found: dict[str, RegionGrammar] = {}
    origin: dict[str, str] = {}
    for file, text in texts:
        for grammar in parse_grammars(text, file):
            if grammar.region in found:
                reason = f"the region is in {origin[grammar.region]} already"
                raise GrammarError(file, f"regions.{grammar.region}", reason)
            found[grammar.region], origin[grammar.region] = grammar, file
    return found
