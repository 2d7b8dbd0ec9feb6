"""The suites by name, and scenarios of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bytetracker.evaluate.day import day
from bytetracker.evaluate.draw import NothingToDraw
from bytetracker.evaluate.full import full
from bytetracker.evaluate.quick import quick
from bytetracker.evaluate.recipe import Recipe
from bytetracker.evaluate.scenario import Scenario, load_scenarios
from fabric.inventory import load_fabric
from fabric.model import Fabric

DEFAULT_SEED = 1

SUITES: dict[str, Callable[[], list[Recipe]]] = {"quick": quick, "full": full, "healthy24h": day}


class UnknownSuite(ValueError):
    """No suite or scenario has that name; the message lists those there are."""


def load_suite(suite: str, seed: int | None, fabric_name: str | None, only: str | None) -> list[Scenario]:
    """Scenarios of a suite by name or of a file. seed: of a suite; of a file, instead of the seeds in it.
    fabric_name: instead of the suite's own. only: the scenario of that name, or those whose names begin
    with what stands before a `*`.

    Raises UnknownSuite, ScenarioError, InventoryError.
    """
    if suite in SUITES:
        recipes = SUITES[suite]()
        chosen = [recipe for recipe in recipes if _is_chosen(recipe.name, only)]
        _refuse_none(chosen, only, suite, [recipe.name for recipe in recipes])
        return _build(chosen, DEFAULT_SEED if seed is None else seed, fabric_name)
    if not (Path(suite).suffix in (".yaml", ".yml") or Path(suite).is_file()):
        raise UnknownSuite(f"no suite {suite!r}: neither a file nor one of {', '.join(SUITES)}")
    scenarios = load_scenarios(Path(suite))
    mine = [each for each in scenarios if _is_chosen(each.name, only)]
    _refuse_none(mine, only, suite, [each.name for each in scenarios])
    if seed is not None:
        mine = [replace(each, seed=seed) for each in mine]
    return mine if fabric_name is None else [replace(each, fabric=fabric_name) for each in mine]


def _is_chosen(name: str, only: str | None) -> bool:
    if only is None:
        return True
    return name.startswith(only[:-1]) if only.endswith("*") else name == only


def _refuse_none(chosen: Sequence[object], only: str | None, suite: str, names: Sequence[str]) -> None:
    if not chosen:
        raise UnknownSuite(f"no scenario {only!r} in {suite}; there are: {', '.join(names)}")


def _build(recipes: Sequence[Recipe], seed: int, fabric_name: str | None) -> list[Scenario]:
    """Recipes that ask for what a fabric does not have are left out, if the fabric was chosen by hand."""
    fabrics: dict[str, Fabric] = {}
    scenarios = []
    for recipe in recipes:
        name = fabric_name or recipe.fabric
        if name not in fabrics:
            fabrics[name] = load_fabric(name)
        try:
            scenarios.append(recipe.scenario(seed, fabrics[name], name))
        except NothingToDraw:
            if fabric_name is None:
                raise
    return scenarios
