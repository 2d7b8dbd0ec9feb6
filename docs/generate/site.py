"""What mkdocs has to be told to make a site of docs/ (see mkdocs.yml).

The pages are written to be read in the repository, where links lead to files and headings have the anchors
that GitHub gives them.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.generate.diagram import svg_of

ROOT = Path(__file__).resolve().parents[2]

#: Pages that stand outside of docs/, and what they are called in the site.
_OUTSIDE = {"README.md": "overview.md", "CHANGELOG.md": "changelog.md"}
_DECISIONS = "decisions"
#: Other files that pages link to are copied to this folder of the site.
_COPIED = "files"

_FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_CODE_SPAN = re.compile(r"`[^`]*`")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.mdx_configs.setdefault("toc", {})["slugify"] = anchor
    config.nav = [_existing(entry) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for name, uri in _OUTSIDE.items():
        files.append(File.generated(config, uri, content=(ROOT / name).read_text(encoding="utf-8")))
    decisions = sorted((ROOT / "docs" / _DECISIONS).glob("*.md"))
    listed = "\n".join(f"- [{_title(path)}]({path.name})" for path in decisions)
    files.append(File.generated(config, f"{_DECISIONS}/index.md", content=f"# Decisions\n\n{listed}\n"))
    for path in sorted(_linked_files()):
        files.append(File.generated(config, f"{_COPIED}/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    source = _in_repository(page.file.src_uri)
    parts = _FENCE.split(markdown)
    # Every second part is a block of code.
    return "".join(_drawn(part) if n % 2 else _relinked(part, source, page) for n, part in enumerate(parts))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    # The theme switches the style sheets of highlight.js, which we do not fetch, without a look whether they
    # are there; that would be an error on every page.
    none = '<style id="hljs-light"></style><style id="hljs-dark"></style>'
    return output.replace("</head>", f"{none}</head>", 1)


def anchor(heading: str, separator: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)


def _drawn(block: str) -> str:
    """A block of code; a flow chart as a drawing."""
    language, _, text = block.removeprefix("```").removesuffix("```").partition("\n")
    return f"<figure>{svg_of(text, 'Flow chart')}</figure>" if language == "mermaid" else block


def _relinked(text: str, source: str, page: Page) -> str:
    def replaced(match: re.Match[str]) -> str:
        opening, target, fragment, closing = match.groups()
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        uri = _in_site(path)
        here = posixpath.dirname(page.file.src_uri) or "."
        return f"{opening}{posixpath.relpath(uri, here)}{fragment or ''}{closing}"

    lines = []
    for line in _LINK.sub(replaced, text).split("\n"):
        # Inside of code a table's pipe needs no backslash here, and would show it.
        is_row = line.startswith("|")
        lines.append(_CODE_SPAN.sub(lambda m: m[0].replace("\\|", "|"), line) if is_row else line)
    return "\n".join(lines)


def _in_repository(uri: str) -> str:
    """Where a page of the site comes from."""
    return next((name for name, page in _OUTSIDE.items() if page == uri), f"docs/{uri}")


def _in_site(path: str) -> str:
    """Where a file of the repository is in the site."""
    if path in _OUTSIDE:
        return _OUTSIDE[path]
    if path == f"docs/{_DECISIONS}":
        return f"{_DECISIONS}/index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{_COPIED}/{path}"


def _linked_files() -> set[str]:
    """Files outside of docs/ that pages link to, and that are no pages."""
    found: set[str] = set()
    pages = [ROOT / name for name in _OUTSIDE] + list((ROOT / "docs").rglob("*.md"))
    for page in pages:
        for _, target, _, _ in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
            path = (page.parent / target).resolve()
            if "://" not in target and path.is_file() and ROOT in path.parents:
                name = path.relative_to(ROOT).as_posix()
                if name not in _OUTSIDE and not name.startswith("docs/"):
                    found.add(name)
    return found


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def _existing(entry: Any) -> Any:
    """An entry of the navigation without the pages that are not written yet."""
    if not isinstance(entry, dict):
        return entry
    ((title, below),) = entry.items()
    if not isinstance(below, list):
        return entry
    outside = set(_OUTSIDE.values())
    return {
        title: [
            each
            for each in below
            if (uri := next(iter(each.values()))) in outside or (ROOT / "docs" / uri).exists()
        ]
    }
