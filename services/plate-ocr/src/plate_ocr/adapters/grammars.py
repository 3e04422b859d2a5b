"""The region grammars in the package, and an operator's own beside or instead of them."""

from importlib.resources import files
from pathlib import Path

from plate_ocr.domain.grammar import GrammarError, RegionGrammar, parse_grammars


def load_grammars(folder: Path | None = None) -> tuple[RegionGrammar, ...]:
    """All regions, sorted. `folder`: an operator's `*.toml`; a region there replaces the package's.

    Raises: GrammarError: a file is wrong, with its name and the field; or the folder is missing or cannot be read.
    """
    folder_in_package = files("plate_ocr").joinpath("grammars")
    texts = [
        (f.name, f.read_text(encoding="utf-8"))
        for f in folder_in_package.iterdir()
        if f.name.endswith(".toml")
    ]
    shipped = _parsed(texts)
    own = _parsed(_files_in(folder)) if folder else {}
    return tuple(grammar for _, grammar in sorted({**shipped, **own}.items()))


def _files_in(folder: Path) -> list[tuple[str, str]]:
    if not folder.is_dir():
        raise GrammarError(str(folder), "", "there is no such folder")
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
                reason = f"the region is also in {origin[grammar.region]}"
                raise GrammarError(file, f"regions.{grammar.region}", reason)
            found[grammar.region], origin[grammar.region] = grammar, file
    return found
