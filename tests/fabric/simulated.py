"""Small simulated runs, and plain readings of them: who crosses what, told from mirrors of a healthy run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

import numpy as np

from fabric.builtin import builtin_fabric
from fabric.faults import parse_spec
from fabric.model import Fabric
from fabric.simulator import Simulator, SimulatorSettings, Slice
from producers.plan import build_plan
from schemas.rows import Leg

START_US = 1_700_000_000_000_000
DEMO = builtin_fabric("demo")
SMALL = builtin_fabric("small")

Way = tuple[int, ...]


def in_ipv6(fabric: Fabric) -> Fabric:
    """The same fabric with IPv6 addresses on everything that probes and replies name."""

    def six(address: str) -> str:
        return str(IPv6Address(int(IPv6Address("2001:db8::")) + int(IPv4Address(address))))

    return replace(
        fabric,
        switches=tuple(replace(s, address=six(s.address)) for s in fabric.switches),
        servers=tuple(replace(s, addresses=tuple(map(six, s.addresses))) for s in fabric.servers),
        probers=tuple(replace(p, address=six(p.address)) for p in fabric.probers),
        target_prefixes=("2001:db8::/32",),
    )


SMALL_6 = in_ipv6(SMALL)


def due(seconds: float, fabric: Fabric = DEMO, start_us: int = START_US) -> np.ndarray:
    """Probes of all Probers, in the order of sending."""
    plans = [build_plan(fabric, prober) for prober in fabric.probers]
    probes = np.concatenate([plan.due(start_us, start_us + int(seconds * 1e6)) for plan in plans])
    return probes[np.argsort(probes["sent_at_us"], kind="stable")]


def run(
    *specs: str, seconds: float = 2.0, settings: SimulatorSettings | None = None, fabric: Fabric = DEMO
) -> Slice:
    """One slice, all faults on from its start (`after` counts)."""
    return simulator(*specs, settings=settings, fabric=fabric).run(due(seconds, fabric))


def simulator(
    *specs: str, settings: SimulatorSettings | None = None, fabric: Fabric = DEMO, seed: int = 1
) -> Simulator:
    made = Simulator(fabric, seed=seed, settings=settings)
    for text in specs:
        spec = parse_spec(text, fabric)
        made.inject(spec, START_US + round(spec.after_s * 1e6))
    return made


@cache
def healthy(seconds: float = 2.0, fabric_name: str = "demo") -> Slice:
    return run(seconds=seconds, fabric=builtin_fabric(fabric_name))


def hops_of(result: Slice) -> dict[tuple[int, int], list[np.void]]:
    """(probe ID, leg) -> rows of digests in the order of the path, told by TTL."""
    legs = defaultdict(list)
    for row in result.digests[np.argsort(-result.digests["ttl"].astype(int), kind="stable")]:
        legs[int(row["probe_id"]), int(row["leg"])].append(row)
    return legs


def ways_of(result: Slice, fabric: Fabric = DEMO) -> dict[tuple[int, int], Way]:
    """(probe ID, leg) -> nodes of the leg, ends included, of probes that nothing happened to."""
    ways = {}
    hops = hops_of(result)
    for probe in result.probes:
        probe_id, via, target = int(probe["probe_id"]), int(probe["via_node"]), int(probe["target_node"])
        prober = fabric.node(f"prober-{probe_id >> 32}")
        seen = {leg: tuple(int(row["switch"]) for row in hops[probe_id, leg]) for leg in (0, 1, 2)}
        if via >= 0:
            ways[probe_id, 0] = (prober, *seen[0])
        ways[probe_id, 1] = (via if via >= 0 else prober, *seen[1], target)
        ways[probe_id, 2] = (target, *seen[2], prober)
    return ways


def cables(way: Way) -> list[tuple[int, int]]:
    return list(pairwise(way))


def turns(way: Way) -> list[tuple[int, int, int]]:
    """Node before, switch, node after."""
    return list(zip(way, way[1:], way[2:], strict=False))


def link_of(name: str, fabric: Fabric = DEMO) -> tuple[int, int]:
    near, far = name.split("~")
    return fabric.node(near), fabric.node(far)


def chip_towards(fabric: Fabric, switch: str, node: int) -> str:
    """Label of the chip that owns the port to a neighbour."""
    peer = fabric.node_name(node)
    return next(port.chip for port in fabric.switch_by_name[switch].ports if port.peer == peer)


def within(count: int, trials: int, rate: float) -> bool:
    """Whether a count of hits is within 5 standard deviations of what independent draws give."""
    return abs(count - trials * rate) <= 5 * float(np.sqrt(trials * rate * (1 - rate)))


def first_leg(ways: dict[tuple[int, int], Way], probe_id: int, crosses) -> int | None:  # type: ignore[no-untyped-def]
    """The first leg of a probe whose way `crosses`; None if none does."""
    legs = [leg for leg in Leg if (probe_id, leg) in ways and crosses(ways[probe_id, leg])]
    return int(legs[0]) if legs else None
