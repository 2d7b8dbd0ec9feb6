"""The pages, read once: their links, headings and code."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def prose(self) -> str:
        """Without blocks of code."""
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """As GitHub makes them of headings."""
        found = set()
        for heading in _HEADING.findall(self.prose):
            plain = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
            found.add(plain.replace(" ", "-"))
        return found

    def code(self, *languages: str) -> list[str]:
        """Blocks of code in one of these languages ("" for none)."""
        return [body for language, body in _FENCE.findall(self.text) if language in languages]


def pages() -> list[Page]:
    """README, changelog and everything under docs."""
    paths = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
    return [Page(path, path.read_text(encoding="utf-8")) for path in paths]


def page(name: str) -> Page:
    return next(each for each in pages() if each.name == name)
