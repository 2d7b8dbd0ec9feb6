"""The cookbook: questions that operators ask, each with its query and what the answer means.

They stand in cookbook.yaml beside this file. docs/sql-cookbook.md is made of it, the console offers them as
examples, and a test asks every one of them of a store whose contents it knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

_FILE = Path(__file__).with_name("cookbook.yaml")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One question. What a reader replaces (a server, a time) stands in the `WITH` that its query begins
    with."""

    name: str  # short and stable, for links: which-links-lost
    section: str
    question: str
    meaning: str  # what the answer says, and what it does not
    sql: str  # one SELECT, without a semicolon


@cache
def recipes() -> tuple[Recipe, ...]:
    """All recipes, section by section."""
    document = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return tuple(
        Recipe(
            name=entry["name"],
            section=section["section"],
            question=entry["question"],
            meaning=" ".join(entry["meaning"].split()),
            sql=entry["sql"].strip(),
        )
        for section in document
        for entry in section["recipes"]
    )
