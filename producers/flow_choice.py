"""Which source ports to probe each target with: few flows that cross everything, in groups over ways apart.

First the *cover*: the fewest flows that cross every element that can be crossed (producers.cover). East-West
flows are taken for what only they cross, since a plan has few of them; the others share the rest. Then flows
are exchanged, now of any kind, until one per target does nearly everything (producers.cover_search).

Then each target's flows: those of the cover first, filled up so that the members of a group share as few
switches as the learnt ways allow. A target has `flows_per_target // group_size` groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.coverage import ELEMENT_CLASSES, Elements
from fabric.model import Fabric
from producers.cover import greedy_cover, least_flows, without_spare
from producers.cover_search import one_flow_per_target
from producers.flow_file import FlowChoice, ProberFlows
from producers.flow_paths import Crossings, FlowPaths, crossings, distinct, flow_keys
from producers.plan_settings import PlanSettings
from schemas.nodes import PROBER_BASE
from schemas.rows import Leg

I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

_TARGETS_AT_ONCE = 20_000
_NO_PORT = -1


@dataclass(frozen=True, slots=True)
class ChoiceReport:
    """How good a choice is. `total`, `crossable`, `crossed`: elements by class; `flows`: in the cover;
    `least`: a number that no cover with the known flows can go below; `apart`: share of the groups whose
    members share no switch but those that all known ways of the target share."""

    total: dict[str, int]
    crossable: dict[str, int]
    crossed: dict[str, int]
    flows: int
    least: int
    apart: float
    missing: tuple[str, ...]  # elements that no known flow crosses, some of them


def choose(
    flows: FlowPaths, elements: Elements, settings: PlanSettings, seed: int = 0
) -> tuple[FlowChoice, ChoiceReport]:
    """The choice, and how good it is. Flows with source ports outside the settings' range, and those of
    which not every leg is known, are not used."""
    first, count = settings.source_port_first, settings.source_port_count
    usable = flows.complete & (flows.source_port >= first) & (flows.source_port < first + count)
    flows = flows.take(usable)
    crossed = crossings(flows, elements)
    cover = choose_cover(flows, crossed, elements, seed)
    size = settings.group_size
    choice, apart = _fill(flows, cover, size, max(1, settings.flows_per_target // size))
    return choice, _report(flows, crossed, elements, cover, apart)


def choose_cover(flows: FlowPaths, crossed: Crossings, elements: Elements, seed: int = 0) -> I8:
    """Rows of the fewest flows found that cross everything that can be crossed."""
    wanted = elements.crossable
    bare = flows.via < 0
    by_bare = np.zeros(elements.count, np.bool_)
    by_bare[crossed.of(np.flatnonzero(bare))] = True
    east_west = _few_steps(flows, crossed, wanted & ~by_bare, seed)
    wanted = _open(wanted, crossed, east_west)
    picked = greedy_cover(crossed, wanted, bare, seed)
    other = one_flow_per_target(crossed, wanted, flows.target, picked, seed)
    everything = np.ones(len(flows), np.bool_)
    rest = greedy_cover(crossed, _open(wanted, crossed, other), everything, seed)
    other = without_spare(crossed, np.concatenate([other, rest]), wanted)
    return np.concatenate([east_west, min(picked, other, key=len)])


def chosen_of(choice: FlowChoice, flows: FlowPaths) -> Bools:
    """Which of some flows are chosen: bool[flows]."""
    rows: list[tuple[int, int, int, int]] = []
    for number, mine in choice.probers.items():
        prober = PROBER_BASE + number
        rows += [(prober, target, -1, port) for target, ports in mine.targets.items() for port in ports]
        rows += [(prober, t, via, port) for (via, t), ports in mine.pairs.items() for port in ports]
    columns = np.array(rows, np.int64).reshape(-1, 4)
    wanted = flow_keys(*columns.T)
    keys = flow_keys(
        *(c.astype(np.int64) for c in (flows.prober, flows.target, flows.via, flows.source_port))
    )
    return np.isin(keys, wanted)


def falls_short(choice: FlowChoice, flows: FlowPaths, elements: Elements) -> bool:
    """Whether known flows cross something that can be crossed and that chosen ones, as far as their ways are
    known, do not: routes have changed, and other flows should be chosen."""
    usable = flows.complete
    crossed = crossings(flows, elements)
    chosen = chosen_of(choice, flows) & usable
    known, seen = np.zeros((2, elements.count), np.bool_)
    known[crossed.of(np.flatnonzero(usable))] = True
    seen[crossed.of(np.flatnonzero(chosen))] = True
    return bool((elements.crossable & known & ~seen).any())


def _few_steps(flows: FlowPaths, crossed: Crossings, wanted: Bools, seed: int) -> I8:
    """Flows that cross what East-West flows alone can, by few pairs of ToR and server: a plan goes through
    these pairs one after the other, and sends whole groups by each."""
    bounds = _targets(flows)
    step = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    key = distinct(step[crossed.flow] << 32 | crossed.element)
    start = np.searchsorted(key >> 32, np.arange(len(bounds)))
    by_step = Crossings(start.astype(np.int64), (key & 0xFFFFFFFF).astype(np.int32))
    steps = greedy_cover(by_step, wanted, flows.via[bounds[:-1]] >= 0, seed)
    return greedy_cover(crossed, wanted, np.isin(step, steps), seed)


def _open(wanted: Bools, crossed: Crossings, picked: I8) -> Bools:
    """What is still wanted when some flows are picked."""
    left = wanted.copy()
    left[crossed.of(picked)] = False
    return left


def _fill(flows: FlowPaths, cover: I8, size: int, groups: int) -> tuple[FlowChoice, float]:
    """Ports for every target that has flows: of the cover, then those that share least with their group."""
    first_use = np.full(len(flows), len(flows), np.int64)
    first_use[cover] = np.arange(len(cover))
    bounds = _targets(flows)
    in_cover = first_use < len(flows)
    # East-West only where the cover wants it: the other pairs go on rotating.
    keep = (flows.via[bounds[:-1]] < 0) | (np.add.reduceat(in_cover, bounds[:-1]) > 0 if len(flows) else True)
    starts, stops = bounds[:-1][keep], bounds[1:][keep]
    ports: list[I4] = []
    apart = whole = 0
    for at in range(0, len(starts), _TARGETS_AT_ONCE):
        chunk = slice(at, at + _TARGETS_AT_ONCE)
        some, good, number = _fill_some(flows, first_use, starts[chunk], stops[chunk], size, groups)
        ports.append(some)
        apart, whole = apart + good, whole + number
    table = np.concatenate(ports) if ports else np.empty((0, size * groups), np.int32)
    probers: dict[int, ProberFlows] = {}
    columns = (flows.prober[starts], flows.target[starts], flows.via[starts])
    for prober, target, via, row in zip(*(c.tolist() for c in columns), table.tolist(), strict=True):
        mine = probers.setdefault(prober - PROBER_BASE, ProberFlows({}, {}))
        chosen = tuple(port for port in row if port != _NO_PORT)
        chosen = chosen[: len(chosen) // size * size]
        if chosen and via < 0:
            mine.targets[target] = chosen  # type: ignore[index]
        elif chosen:
            mine.pairs[via, target] = chosen  # type: ignore[index]
    return FlowChoice(size, probers), apart / max(1, whole)


def _targets(flows: FlowPaths) -> I8:
    """Where the flows of each Prober, target and via begin, and the end: i8[targets + 1]."""
    new = np.ones(len(flows), np.bool_)
    for column in (flows.prober, flows.target, flows.via):
        new[1:] &= column[1:] == column[:-1]
    new[1:] = ~new[1:]
    return np.append(np.flatnonzero(new), len(flows))


def _fill_some(
    flows: FlowPaths, first_use: I8, starts: I8, stops: I8, size: int, groups: int
) -> tuple[I4, int, int]:
    """Ports of some targets, i4[targets, width], _NO_PORT where there are no more; how many of their groups
    are over ways as far apart as the known ways allow, and how many groups there are."""
    number = stops - starts
    place = np.arange(int(number.max(initial=0)))
    row = np.minimum(starts[:, None] + place, len(flows) - 1)
    free = place < number[:, None]
    # Leg 0 is the same for all members: routers on it see the outer addresses only.
    hops = flows.switches[:, Leg.PROBE :].reshape(len(flows), -1)[row]
    wish = np.where(free, first_use[row], len(flows))
    wanted = (wish < len(flows)).sum(axis=1)
    slots = size * max(groups, -(-int(wanted.max(initial=0)) // size))
    picked = np.full((len(starts), slots), -1, np.int64)
    everyone = np.arange(len(starts))
    shared = np.zeros(free.shape, np.int64)
    for slot in range(slots):
        if slot % size == 0:
            shared[:] = 0
        # Those of the cover come first, in the order in which they were chosen; then whatever is most apart.
        cost = np.where(wish < len(flows), wish - len(flows), shared)
        cost = np.where(free, cost, np.iinfo(np.int64).max)
        best = cost.argmin(axis=1)
        # Groups beyond the usual number are for the cover alone.
        take = free[everyone, best] & ((slot < size * groups) | (slot < -(-wanted // size) * size))
        picked[take, slot] = best[take]
        free[everyone[take], best[take]] = False
        mine = hops[everyone, best]
        shared += np.where(
            take[:, None], ((hops == mine[:, None, :]) & (mine >= 0)[:, None, :]).sum(axis=2), 0
        )
    ports = np.where(picked >= 0, flows.source_port[row[everyone[:, None], picked]], _NO_PORT)
    good, whole = _apart(hops, place < number[:, None], picked, size)
    return ports.astype(np.int32), good, whole


def _apart(hops: I4, known: Bools, picked: I8, size: int) -> tuple[int, int]:
    """Groups that meet, at each hop, as many switches as members or known ways allow; and all groups."""
    allowed = np.minimum(_distinct(np.where(known[:, :, None], hops, -1)), size)
    good = whole = 0
    for slot in range(0, picked.shape[1], size):
        group = picked[:, slot : slot + size]
        full = (group >= 0).all(axis=1)
        members = hops[np.flatnonzero(full)[:, None], group[full]]
        good += int((_distinct(members) >= allowed[full]).all(axis=1).sum())
        whole += int(full.sum())
    return good, whole


def _distinct(values: I4) -> I8:
    """How many different values that are not -1 stand along axis 1: i4[n, m, k] -> i8[n, k]."""
    ordered = np.sort(values, axis=1)
    new = ordered >= 0
    new[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    distinct: I8 = new.sum(axis=1)
    return distinct


def _report(
    flows: FlowPaths, crossed: Crossings, elements: Elements, cover: I8, apart: float
) -> ChoiceReport:
    seen = np.zeros(elements.count, np.bool_)
    seen[crossed.of(cover)] = True
    crossable = elements.crossable
    to_prober = (flows.target >= PROBER_BASE).astype(np.int32)
    missing = np.flatnonzero(crossable & ~seen)
    return ChoiceReport(
        total={each: len(seen[elements.span(each)]) for each in ELEMENT_CLASSES},
        crossable={each: int(crossable[elements.span(each)].sum()) for each in ELEMENT_CLASSES},
        crossed={each: int((seen & crossable)[elements.span(each)].sum()) for each in ELEMENT_CLASSES},
        flows=len(cover),
        least=least_flows(crossed, crossable, _labels(elements), to_prober),
        apart=apart,
        missing=tuple(elements.name(int(each)) for each in missing[:20]),
    )


def _labels(elements: Elements) -> I4:
    """Elements that are alike: links by the tiers they join, ports by what hangs on them, pairs."""
    fabric: Fabric = elements.fabric
    index = fabric.index
    label = np.zeros(elements.count, np.int32)
    rank = np.append(index.rank, np.int8(-1)).astype(np.int32) + 1  # row -1: a server or a Prober
    kind = rank[elements.from_row] * 8 + rank[elements.to_row]
    for column in (elements.from_port, elements.link):
        known = column >= 0
        label[column[known]] = kind[known]
    label[: elements.ports] += 64
    label[elements.pair_first :] = 128 + rank[elements.pair_switch]
    return label
