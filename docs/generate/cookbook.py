"""Blocks of docs/sql-cookbook.md: the recipes of sinks/cookbook.yaml, each with an answer.

The answers are those of the store that the tests check, whose contents are planted in tests/sinks/cookbook.
"""

from __future__ import annotations

import re
import tempfile
import textwrap
from dataclasses import replace
from functools import cache
from itertools import groupby

from docs.generate.markdown import Block
from sinks.chdb_store import ChdbStore
from sinks.cookbook import Recipe, recipes
from sinks.settings import ChdbSettings
from sinks.sql import render
from tests.sinks.cookbook.plants import planted
from tests.sinks.cookbook.seed import fill

_ROWS_MAX = 6
_WIDTH = 118


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
    meaning = textwrap.fill(recipe.meaning, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return f"### {recipe.question}\n\n{meaning}\n\n```sql\n{recipe.sql}\n```\n\n{_answer(recipe.name)}"


def _answer(name: str) -> str:
    shown, left_out = _answers()[name]
    more = f"... and {left_out} more\n" if left_out else ""
    return f"```text\n{shown}{more}```"


@cache
def _answers() -> dict[str, tuple[str, int]]:
    """Recipe -> the first rows of its answer, and how many are left out."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        store = ChdbStore(ChdbSettings(path=folder))
        try:
            fill(store, planted())
            for recipe in recipes():
                result = store.query(recipe.sql)
                first = replace(result, rows=result.rows[:_ROWS_MAX])
                found[recipe.name] = render(first, "table"), max(0, len(result.rows) - _ROWS_MAX)
        finally:
            store.close()
    return found


def _anchor(heading: str) -> str:
    """As GitHub and MkDocs make it of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
