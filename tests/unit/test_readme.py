"""The documents lead somewhere: links point to what is there, and every page can be reached from the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def targets(page: Path) -> list[str]:
    """What a page links to, as it is written; what stands in code blocks is no link."""
    return LINK.findall(FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#{1,6} +(.+?) *$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def local(page: Path, target: str) -> Path | None:
    """The file that a link names; None for one that leads out of the project."""
    name = target.partition("#")[0]
    if re.match(r"[a-z]+:", target):
        return None
    return (page.parent / name).resolve() if name else page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    missing = []
    for target in targets(page):
        found = local(page, target)
        if found is None:
            continue
        anchor = target.partition("#")[2]
        if not found.exists() or (anchor and anchor not in anchors(found)):
            missing.append(target)
    assert not missing


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        for target in targets(page):
            found = local(page, target)
            if found is None or not found.exists():
                continue
            # A link to a folder shows what is in it.
            ahead += [found] if found.suffix == ".md" else found.glob("*.md") if found.is_dir() else []
    assert not {str(page.relative_to(ROOT)) for page in PAGES if page not in reached}


def test_addresses_in_the_documents_are_the_projects_own_or_a_standard() -> None:
    """No page sends its reader, or a program, to a host that is not there for everybody."""
    machine = re.compile(r"(?:^|[\s`(\"'])(/home/|/root/|/Users/|/tmp/)")
    assert not [str(page.relative_to(ROOT)) for page in PAGES if machine.search(page.read_text())]
