"""Every query of the cookbook, asked of a store whose contents are known."""

from __future__ import annotations

from typing import Any

import pytest

from sinks.cookbook import Recipe, recipes
from sinks.reading import Limits, Reader
from sinks.store import Store
from tests.sinks.cookbook.expected import ANSWERS
from tests.sinks.cookbook.expected.servers import minutes_of
from tests.sinks.cookbook.plants import planted
from tests.sinks.cookbook.world import at


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_answer_is_what_was_planted(recipe: Recipe, seeded: Store) -> None:
    found = seeded.query(recipe.sql).rows
    expected = [tuple(_same(value) for value in row) for row in ANSWERS[recipe.name](planted())]
    assert expected, "nothing was planted that the query could find"
    assert found == expected


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_the_answer_is_the_same_when_it_is_typed_into_the_console(
    recipe: Recipe, seeded_reader: Reader
) -> None:
    """Read-only, and within limits."""
    found = seeded_reader.query(recipe.sql, limits=Limits())
    assert found.rows == [tuple(_same(value) for value in row) for row in ANSWERS[recipe.name](planted())]
    assert not found.truncated


def _same(value: Any) -> Any:
    """Fractions may differ in the last digit."""
    return pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value


def test_the_other_server_was_to_blame_itself(seeded: Store) -> None:
    """The same question about a server that was silent of its own accord at the same time."""
    recipe = next(each for each in recipes() if each.name == "was-it-the-network")
    rows = seeded.query(recipe.sql.replace("server-2-1-5", "server-1-2-9")).rows
    expected = minutes_of(planted(), "server-1-2-9", at("2026-03-09 10:39"), at("2026-03-09 10:45"))
    assert [row[1] for row in rows] == ["", "", "server", "server", "server", "", ""]
    assert [(row[0], *row[2:]) for row in rows] == expected


def test_a_switch_that_nothing_crosses_takes_nobody_with_it(seeded: Store) -> None:
    recipe = next(each for each in recipes() if each.name == "blast-radius")
    assert seeded.query(recipe.sql.replace("spine-3", "leaf-9-9")).rows == []


def test_recipes_have_names_of_their_own_and_say_what_they_mean() -> None:
    names = [recipe.name for recipe in recipes()]
    assert len(set(names)) == len(names) >= 25
    assert set(ANSWERS) == set(names)
    questions = [recipe.question for recipe in recipes()]
    assert len(set(questions)) == len(questions)
    for recipe in recipes():
        assert recipe.question.endswith("?"), recipe.name
        assert recipe.meaning.endswith("."), recipe.name
        assert not recipe.sql.endswith(";"), recipe.name
