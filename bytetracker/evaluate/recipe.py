"""Recipes: scenarios before their elements are drawn, and how long a fault needs to be seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from bytetracker.evaluate.draw import Draw, seed_of
from bytetracker.evaluate.scenario import DEFAULT_PARTITIONS, DEFAULT_TICK_MS, DEFAULT_WINDOW_S, Scenario
from bytetracker.evaluate.truth import tier_of
from bytetracker.evaluate.ways import Ways
from fabric.inventory import load_fabric
from fabric.model import Fabric
from producers.plan import build_plan

#: Intervals between probes of a target, us: the usual one, and shorter ones for rare losses.
NORMAL, QUICK, FAST, FASTER, FASTEST = 1_000_000, 250_000, 100_000, 20_000, 10_000
#: Faults begin after so long: what is usual has to be learnt first.
ONSET_S = 4.0
#: They end so long before the run does, so that what is said of their last probes comes in a running network.
TAIL_S = 3.0
#: A fault lasts until it has harmed so many probes in the mean; chance may halve that.
HARMED = 25.0
ACTIVE_S_MIN, ACTIVE_S_MAX = 8.0, 240.0
#: Windows of the methods that have them: long enough for rare losses, and a third of a fault at most.
WINDOW_S_MAX = 60.0

Faults = Callable[[Draw], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """`faults`: templates of specifications (see Draw.fill), or what draws specifications; those without
    times are on for `active_s`."""

    name: str
    faults: Sequence[str] | Faults = ()
    active_s: float = 12.0
    interval_us: int = 1_000_000
    fabric: str = "demo"
    tick_ms: int = DEFAULT_TICK_MS
    partitions: int = DEFAULT_PARTITIONS
    window_s: float | None = None  # None: by `active_s`

    def scenario(self, seed: int, fabric: Fabric, fabric_name: str) -> Scenario:
        """Raises NothingToDraw if the fabric has no such element."""
        own_seed = seed_of(seed, self.name)
        times = f"after={ONSET_S:g},for={self.active_s:g}"
        draw = Draw(fabric, own_seed)
        drawn = self.faults(draw) if callable(self.faults) else [draw.fill(each) for each in self.faults]
        specs = [_with(spec, times) for spec in drawn]
        return Scenario(
            name=self.name,
            fabric=fabric_name,
            seed=own_seed,
            duration_s=ONSET_S + self.active_s + TAIL_S,
            faults=tuple(specs),
            interval_us=self.interval_us,
            tick_ms=self.tick_ms,
            partitions=self.partitions,
            window_s=self.window_s or min(max(DEFAULT_WINDOW_S, self.active_s / 3), WINDOW_S_MAX),
        )


def lasting(fabric_name: str, tier: str, rate: float, interval_us: int, harmed: float = HARMED) -> float:
    """Seconds in which a fault that hits a share of the packets at a mean element of a tier harms so many.

    tier: `tor-leaf` of links, or the tier of a switch.
    """
    per_s = crossings(fabric_name)[tier] * 1e6 / interval_us
    needed_s = harmed / (rate * per_s)
    return float(round(min(max(ACTIVE_S_MIN, needed_s), ACTIVE_S_MAX)))


@cache
def crossings(fabric_name: str) -> dict[str, float]:
    """Probes of a round that cross a mean link of each tier, there or back, or come into a switch."""
    fabric = load_fabric(fabric_name)
    ways = Ways(fabric, 1)
    by_link = np.zeros(len(fabric.links))
    for prober in fabric.probers:
        plan = build_plan(fabric, prober)
        links = ways.of(plan.due(0, plan.settings.interval_us))
        by_link += np.bincount(links[links >= 0], minlength=len(fabric.links))
    sums: defaultdict[str, list[float]] = defaultdict(list)
    into: defaultdict[str, float] = defaultdict(float)
    for link, count in zip(fabric.links, by_link.tolist(), strict=True):
        sums[tier_of(link.name, fabric)].append(count)
        into[link.to_name] += count
    for switch in fabric.switches:
        sums[switch.tier].append(into[switch.name])
    return {tier: sum(counts) / len(counts) for tier, counts in sums.items()}


def _with(spec: str, times: str) -> str:
    """A specification with times, unless it has its own."""
    if "after=" in spec:
        return spec
    return f"{spec},{times}" if "=" in spec else f"{spec}:{times}"
