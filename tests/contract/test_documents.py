"""Documents link to files that exist, and the index of decisions lists every decision."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for folder in (ROOT, ROOT / "docs", ROOT / "docs/adr", ROOT / "deploy", ROOT / "proto")
    for path in folder.glob("*.md")
) + sorted([*ROOT.glob("libs/*/README.md"), *ROOT.glob("services/*/**/*.md")])
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_that_exist(document: Path) -> None:
    targets = [target for target in LINK.findall(document.read_text()) if "://" not in target]
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert not missing


def test_the_index_of_decisions_lists_every_decision() -> None:
    folder = ROOT / "docs/adr"
    records = sorted(path.name for path in folder.glob("0*.md"))
    numbers = [name[:4] for name in records]
    assert len(set(numbers)) == len(numbers), "two records have the same number"
    listed = re.findall(r"\]\((0\d{3}-[a-z0-9-]+\.md)\)", (folder / "README.md").read_text())
    assert sorted(listed) == records, "docs/adr/README.md and the records differ"
