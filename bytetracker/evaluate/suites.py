"""The suites: scenarios by name, drawn by seed from a fabric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bytetracker.evaluate.draw import Draw, NothingToDraw, seed_of
from bytetracker.evaluate.scenario import Scenario, load_scenarios
from fabric.inventory import load_fabric
from fabric.model import Fabric

#: Faults begin after so long: what is usual has to be learnt first.
ONSET_S = 4.0
#: They end so long before the run does, so that what is said of their last probes comes in a running network.
TAIL_S = 3.0


class UnknownSuite(ValueError):
    """No suite or scenario has that name; the message lists those there are."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A scenario before its elements are drawn. `faults` gives specifications without times."""

    name: str
    faults: Callable[[Draw], Sequence[str]]
    active_s: float = 12.0  # how long the faults are on
    interval_us: int = 1_000_000
    fabric: str = "demo"

    def scenario(self, seed: int, fabric: Fabric, fabric_name: str) -> Scenario:
        own_seed = seed_of(seed, self.name)
        times = f"after={ONSET_S:g},for={self.active_s:g}"
        specs = [_with(spec, times) for spec in self.faults(Draw(fabric, own_seed))]
        return Scenario(
            name=self.name,
            fabric=fabric_name,
            seed=own_seed,
            duration_s=ONSET_S + self.active_s + TAIL_S,
            faults=tuple(specs),
            interval_us=self.interval_us,
        )


def load_suite(suite: str, seed: int | None, fabric_name: str | None, only: str | None) -> list[Scenario]:
    """Scenarios of a suite by name or of a file. seed: of a suite, default 1; of a file, instead of the seeds
    in it. fabric_name: instead of the suite's own. only: the scenario of that name alone.

    Raises UnknownSuite, ScenarioError, InventoryError.
    """
    if suite in SUITES:
        scenarios = _build(SUITES[suite](), 1 if seed is None else seed, fabric_name)
    elif Path(suite).suffix in (".yaml", ".yml") or Path(suite).is_file():
        scenarios = load_scenarios(Path(suite))
        if seed is not None:
            scenarios = [replace(each, seed=seed) for each in scenarios]
        if fabric_name is not None:
            scenarios = [replace(each, fabric=fabric_name) for each in scenarios]
    else:
        raise UnknownSuite(f"no suite {suite!r}: neither a file nor one of {', '.join(SUITES)}")
    if only is None:
        return scenarios
    chosen = [each for each in scenarios if each.name == only]
    if not chosen:
        names = ", ".join(each.name for each in scenarios[:400])
        raise UnknownSuite(f"no scenario {only!r} in {suite}; there are: {names}")
    return chosen


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


def _with(spec: str, times: str) -> str:
    """A specification with times, unless it has its own."""
    if "after=" in spec:
        return spec
    return f"{spec},{times}" if spec.count(":") > 1 else f"{spec}:{times}"


def quick() -> list[Recipe]:
    """A dozen, for every day."""
    fast = 250_000
    return [
        Recipe("healthy", lambda d: [], 20),
        Recipe("link-down-leaf-spine", lambda d: [f"link_down:{d.link('leaf', 'spine')}"]),
        Recipe("loss-leaf-spine-up-0.3", lambda d: [f"loss:{d.link('leaf', 'spine')}:rate=0.3"]),
        Recipe("loss-spine-leaf-down-0.1", lambda d: [f"loss:{d.link('spine', 'leaf')}:rate=0.1"]),
        Recipe("loss-tor-leaf-up-0.03", lambda d: [f"loss:{d.link('tor', 'leaf')}:rate=0.03"], 20, fast),
        Recipe("loss-leaf-tor-down-0.03", lambda d: [f"loss:{d.link('leaf', 'tor')}:rate=0.03"], 20, fast),
        Recipe("loss-border-spine-0.01", lambda d: [f"loss:{d.link('border', 'spine')}:rate=0.01"], 20, fast),
        Recipe("loss-line-card-0.05", lambda d: [f"loss:{d.chip('line_card')}:rate=0.05"], 20, fast),
        Recipe("dead-tor", lambda d: [f"loss:{d.switch('tor')}:rate=1"]),
        Recipe("flip-spine-leaf-0.1", lambda d: [f"flip:{d.link('spine', 'leaf')}:rate=0.1"]),
        Recipe("host-down", lambda d: [f"host_down:{d.server()}"]),
        Recipe(
            "three-at-once",
            lambda d: [
                f"loss:{d.link('leaf', 'spine')}:rate=0.2",
                f"flip:{d.link('spine', 'leaf')}:rate=0.1",
                f"loss:{d.switch('leaf')}:rate=0.1",
            ],
            15,
            500_000,
        ),
    ]


SUITES: dict[str, Callable[[], list[Recipe]]] = {"quick": quick}
