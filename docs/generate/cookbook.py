"""Blocks of docs/sql-cookbook.md: the recipes of sinks/cookbook.yaml."""

from __future__ import annotations

import re
from itertools import groupby

from docs.generate.markdown import Block
from sinks.cookbook import Recipe, recipes


def blocks() -> dict[str, Block]:
    return {"cookbook contents": _contents, "cookbook": _page}


def _contents() -> str:
    lines = []
    for section, group in groupby(recipes(), key=lambda recipe: recipe.section):
        lines += [f"- {section}", *(f"    - [{each.question}](#{_anchor(each.question)})" for each in group)]
    return "\n".join(lines)


def _page() -> str:
    parts = []
    for section, group in groupby(recipes(), key=lambda recipe: recipe.section):
        parts += [f"## {section}", *(_recipe(each) for each in group)]
    return "\n\n".join(parts)


def _recipe(recipe: Recipe) -> str:
    return f"### {recipe.question}\n\n{recipe.meaning}\n\n```sql\n{recipe.sql}\n```"


def _anchor(heading: str) -> str:
    """As GitHub and MkDocs make it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
