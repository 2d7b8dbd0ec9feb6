"""The page as files: what it loads, and what it must not contain."""

from __future__ import annotations

import re
from pathlib import Path

import console

STATIC = Path(console.__file__).parent / "static"
SOURCES = sorted(path for path in STATIC.rglob("*") if path.suffix in (".js", ".css", ".html", ".svg"))
_IMPORTS = re.compile(r'(?:from|import) "(\.[^"]+)"')


def _imported(path: Path, found: set[Path]) -> set[Path]:
    """The module and all that it imports, but for what it loads later."""
    if path not in found:
        found.add(path)
        for name in _IMPORTS.findall(path.read_text()):
            _imported((path.parent / name).resolve(), found)
    return found


def test_what_the_start_page_needs_is_loaded_at_once() -> None:
    # Each module that is missing costs a turn to the server before anything is drawn.
    needed = _imported(STATIC / "views" / "fabric.js", _imported(STATIC / "main.js", set()))
    page = (STATIC / "index.html").read_text()
    preloaded = re.findall(r'rel="modulepreload" href="static/([^"]+)"', page)
    assert sorted(preloaded) == sorted(str(path.relative_to(STATIC)) for path in needed)


def test_every_import_leads_to_a_file() -> None:
    for path in SOURCES:
        for name in re.findall(r'(?:from|import)[ (]"(\.[^"]+)"', path.read_text()):
            assert (path.parent / name).is_file(), f"{path}: {name}"


def test_nothing_is_fetched_from_elsewhere() -> None:
    # Names of XML namespaces are no addresses.
    for path in SOURCES:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text), path


def test_no_markup_is_made_of_strings() -> None:
    for path in SOURCES:
        text = path.read_text()
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
        ):
            assert forbidden not in text, f"{path}: {forbidden}"


def test_nothing_inline_that_the_policy_forbids() -> None:
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"\son[a-z]+=|\sstyle=|<style|<script>", page)
