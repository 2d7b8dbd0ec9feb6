"""Pages with generated blocks: prose is written by hand, tables come from the code.

<!-- generated: topics -->
...                            replaced
<!-- end -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

Block = Callable[[], str]

_BLOCK = re.compile(r"(<!-- generated: (?P<name>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


class UnknownBlock(KeyError):
    """A page asks for a block that nobody generates."""


def fill(page: str, blocks: Mapping[str, Block]) -> str:
    """The page with every generated block made anew. Raises UnknownBlock."""

    def replaced(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in blocks:
            raise UnknownBlock(f"no block {name!r}; known: {', '.join(sorted(blocks))}")
        return f"{found[1]}\n{blocks[name]().strip()}\n\n{found[3]}"

    return _BLOCK.sub(replaced, page)


def block_names(page: str) -> set[str]:
    """The blocks that a page asks for."""
    return {found["name"] for found in _BLOCK.finditer(page)}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells may hold anything but line breaks."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def code(text: object) -> str:
    """Text as code; empty stays empty."""
    return f"`{text}`" if str(text) else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
