"""What a network without mirrors tells, out of the simulator: ways of flows, and probes by flow.

The ways are those that mirrors of the same network showed when it was healthy.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fabric.faults import parse_spec
from fabric.model import Fabric
from fabric.simulator import Simulator, SimulatorSettings
from producers.plan import PlanSettings, build_plan
from schemas.nodes import PROBER_BASE
from schemas.partition import group_of
from schemas.rows import BLIND, PAIRS, PATHS, Kind, Leg, rows_of
from tests.streams.logs import START_US

I4 = NDArray[np.int32]
S = 1_000_000
#: Hosts and cables of a healthy network.
NOISE = SimulatorSettings(loss_rate=1e-6, host_silent_rate=1e-3)
HOPS_MAX = 8
FLOW = ("prober", "target", "via", "source_port")


@dataclass(frozen=True)
class Blind:
    """A run of a network: its probes as they were planned, by time, and which of them were lost."""

    fabric: Fabric
    planned: np.ndarray  # PLANNED_DTYPE[n]
    lost: np.ndarray  # bool[n]
    group_lost: np.ndarray  # bool[n], and with it all members of its group
    nodes: dict[str, I4] = field(repr=False)  # FLOW columns, i4[n]

    def slots(self, length_us: int = 250_000) -> list[tuple[int, np.ndarray]]:
        """(slot_us, BLIND rows) of each slot, in order."""
        return [(slot_us, self.rows(mine)) for slot_us, mine in self.by_slot(length_us)]

    def by_slot(self, length_us: int = 250_000) -> list[tuple[int, np.ndarray]]:
        """(slot_us, places of its probes) of each slot, in order."""
        slot = self.planned["sent_at_us"].astype(np.int64) // length_us
        numbers = np.arange(slot[0], slot[-1] + 2)
        bounds = np.searchsorted(slot, numbers)
        return [
            (int(number) * length_us, np.arange(first, stop))
            for number, first, stop in zip(numbers[:-1], bounds[:-1], bounds[1:], strict=True)
        ]

    def rows(self, keep: np.ndarray | slice = slice(None)) -> np.ndarray:
        """BLIND rows of some of the probes, one a flow."""
        columns = {name: self.nodes[name][keep] for name in FLOW}
        flows, at = np.unique(np.stack(list(columns.values())), axis=1, return_inverse=True)
        at = at.reshape(-1)
        count = flows.shape[1]
        return rows_of(
            BLIND,
            {
                **{name: flows[i] for i, name in enumerate(FLOW)},
                "sent": np.bincount(at, minlength=count),
                "lost": np.bincount(at, self.lost[keep], count).astype(np.int64),
                "group_lost": np.bincount(at, self.group_lost[keep], count).astype(np.int64),
            },
            count,
        )

    def pairs(self, keep: np.ndarray | slice = slice(None)) -> np.ndarray:
        """PAIRS rows of some of the probes: how many there were; nothing else is asked of them."""
        index = self.fabric.index
        nodes = {name: column[keep] for name, column in self.nodes.items()}
        attached = {p.node: self.fabric.node(p.switch) for p in self.fabric.probers}
        hangs_on = index.tor_of_server(nodes["target"])
        for target in np.flatnonzero(hangs_on < 0).tolist():
            hangs_on[target] = attached[int(nodes["target"][target])]
        origin = np.array([attached[int(node)] for node in nodes["prober"]], np.int32)
        kind = self.planned["kind"][keep].astype(np.int64)
        keys = np.stack([kind, np.where(kind == Kind.EAST_WEST, nodes["via"], origin), hangs_on])
        found, count = np.unique(keys, axis=1, return_counts=True)
        rows = np.zeros(found.shape[1], PAIRS.dtype)
        for name, column in zip(("kind", "from_node", "to_node"), found, strict=True):
            rows[name] = column
        rows["probes"] = count
        return rows


def planned(fabric: Fabric, seconds: float, settings: PlanSettings | None = None) -> np.ndarray:
    """Probes of all Probers from START_US on, by time."""
    until_us = START_US + round(seconds * S)
    due = [build_plan(fabric, prober, settings).due(START_US, until_us) for prober in fabric.probers]
    probes = np.concatenate(due)
    return probes[np.argsort(probes["sent_at_us"], kind="stable")]


def run(
    fabric: Fabric,
    faults: tuple[str, ...] = (),
    seconds: float = 12.0,
    seed: int = 1,
    settings: SimulatorSettings = NOISE,
    plan: PlanSettings | None = None,
) -> Blind:
    """Send what is planned through a network with faults."""
    simulator = Simulator(fabric, seed, replace(settings, mirror_loss_rate=1.0))
    for text in faults:
        spec = parse_spec(text, fabric)
        simulator.inject(spec, START_US + round(spec.after_s * S))
    probes = planned(fabric, seconds, plan)
    lost = simulator.run(probes).outcomes["rtt_ns"] < 0
    _, group = np.unique(group_of(probes["probe_id"].astype(np.int64)), return_inverse=True)
    all_lost = np.bincount(group, lost) == np.bincount(group)
    return Blind(fabric, probes, lost, all_lost[group], _nodes(probes))


def ways(fabric: Fabric, probes: np.ndarray, seed: int = 1) -> np.ndarray:
    """PATHS rows of the flows of some probes, as mirrors would show them."""
    nodes = _nodes(probes)
    _, first = np.unique(np.stack([nodes[name] for name in FLOW]), axis=1, return_index=True)
    mine = probes[np.sort(first)]
    nodes = _nodes(mine)
    digests = Simulator(fabric, seed).run(mine).digests
    by_id = np.argsort(mine["probe_id"])
    probe = by_id[np.searchsorted(mine["probe_id"][by_id], digests["probe_id"].astype(np.int64))]
    leg, ttl = digests["leg"].astype(np.int64), digests["ttl"].astype(np.int64)
    order = np.lexsort((-ttl, leg, probe))
    probe, leg = probe[order], leg[order]
    switch = digests["switch"].astype(np.int32)[order]
    key = probe * len(Leg) + leg
    found, start, count = np.unique(key, return_index=True, return_counts=True)
    assert count.max() <= HOPS_MAX
    switches = np.full((len(found), HOPS_MAX), -1, ">i4")
    row = np.repeat(np.arange(len(found)), count)
    switches[row, np.arange(len(key)) - np.repeat(start, count)] = switch
    rows = {name: nodes[name][found // len(Leg)] for name in FLOW}
    packed = np.ascontiguousarray(switches).view(f"V{4 * HOPS_MAX}").reshape(-1)
    return rows_of(PATHS, {**rows, "leg": found % len(Leg), "switches": packed}, len(found))


def _nodes(probes: np.ndarray) -> dict[str, I4]:
    return {
        "prober": (PROBER_BASE + (probes["probe_id"].astype(np.int64) >> 32)).astype(np.int32),
        "target": probes["target_node"].astype(np.int32),
        "via": probes["via_node"].astype(np.int32),
        "source_port": probes["source_port"].astype(np.int32),
    }
