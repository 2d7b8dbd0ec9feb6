"""From an inventory to the plan of one Prober, and what that plan covers. See producers.schedule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from fabric.address import pack_address, pack_addresses, unpack_address
from fabric.model import Fabric, Prober
from producers.plan_settings import PlanRefused, PlanSettings
from producers.schedule import GROUPS_MAX, PLANNED_DTYPE, EastWest, Plan
from producers.wire import is_ipv4, packet_lengths
from schemas.nodes import UNKNOWN_NODE
from schemas.partition import ROUND_BITS, mix64
from schemas.rows import Kind

__all__ = [
    "GROUPS_MAX",
    "PLANNED_DTYPE",
    "Plan",
    "PlanRefused",
    "PlanSettings",
    "PlanSummary",
    "build_plan",
    "summarise",
]


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a plan does, for people: `bytetracker plan`."""

    prober: str
    groups: dict[str, int]  # kind -> groups per round
    probes_per_s: float
    bits_per_s: float  # probes, IP packets with encapsulation
    reply_bits_per_s: float  # if every probe is answered by a RST
    server_addresses: int  # probed North-South
    pods: int
    pod_pairs: int  # ordered
    decapsulating_tors: int
    flows_per_target: int
    wraps_after_s: float  # until probe IDs come round again
    uncovered: dict[str, int]  # reason -> addresses, pod pairs or Probers


def build_plan(fabric: Fabric, prober: Prober, settings: PlanSettings | None = None) -> Plan:
    """The plan of one Prober.

    Raises PlanRefused if a target lies outside the allowed prefixes or the rate exceeds the ceiling.
    """
    settings = settings or PlanSettings()
    source = np.frombuffer(pack_address(prober.address), "V16")
    uncovered: Counter[str] = Counter()
    fixed = _fixed_groups(fabric, prober, settings, source, uncovered)
    east_west = _east_west(fabric, settings, source, uncovered)
    pairs = len(east_west.stagger)
    template = np.zeros(len(fixed) + pairs, PLANNED_DTYPE)
    template[: len(fixed)] = fixed
    moving = template[len(fixed) :]
    moving["kind"] = Kind.EAST_WEST
    template["source"] = template["outer_source"] = source
    template["destination_port"] = fabric.probe_port
    template["group_size"] = settings.group_size
    _check_prefixes(fabric, settings, np.concatenate([fixed["target"], east_west.target]))
    # Neighbours in the inventory share a ToR; a permutation keeps one ToR's servers apart in time. It
    # differs from Prober to Prober.
    seed = np.uint64(prober.number << 40)
    order = np.argsort(mix64(np.arange(1, len(template) + 1, dtype=np.uint64) | seed), kind="stable")
    pair_of = np.full(len(template), -1, np.int32)
    pair_of[len(fixed) :] = np.arange(pairs)
    plan = Plan(
        prober=prober,
        settings=settings,
        template=template[order],
        phase_us=np.arange(len(template), dtype=np.int64) * settings.interval_us // max(1, len(template)),
        flow_offset=(mix64(order.astype(np.uint64) ^ seed) % np.uint64(settings.source_port_count)).astype(
            np.int64
        ),
        pair_of=pair_of[order],
        east_west=east_west,
        uncovered=dict(uncovered),
    )
    if plan.rate_pps > settings.rate_max_pps:
        raise PlanRefused(
            f"the plan of {prober.name} would send {plan.rate_pps:.0f} probes/s, more than rate_max_pps "
            f"{settings.rate_max_pps}; raise interval_us, share the targets, or raise the ceiling"
        )
    if plan.groups > GROUPS_MAX:
        raise PlanRefused(f"{plan.groups} groups are more than the {GROUPS_MAX} that one Prober can number")
    return plan


def summarise(plan: Plan) -> PlanSummary:
    """What the plan does per second and what it cannot cover."""
    kinds = plan.template["kind"]
    one_round = plan.due(0, plan.settings.interval_us)
    rounds_per_s = 1e6 / plan.settings.interval_us
    bits = float(packet_lengths(one_round).sum()) * 8 * rounds_per_s
    reply_bytes = np.where(is_ipv4(one_round["target"]), 40, 60)
    north_south = plan.template[kinds == Kind.NORTH_SOUTH]
    table = plan.east_west
    return PlanSummary(
        prober=plan.prober.name,
        groups={kind.name.lower(): int(np.count_nonzero(kinds == kind)) for kind in Kind},
        probes_per_s=plan.rate_pps,
        bits_per_s=bits,
        reply_bits_per_s=float(reply_bytes.sum()) * 8 * rounds_per_s,
        server_addresses=len(north_south),
        pods=len(np.unique(table.target_start)),
        pod_pairs=len(table.stagger),
        decapsulating_tors=len(table.via),
        flows_per_target=plan.settings.flows_per_target,
        wraps_after_s=(1 << ROUND_BITS) * plan.settings.interval_us / 1e6,
        uncovered=dict(plan.uncovered),
    )


def _fixed_groups(
    fabric: Fabric, prober: Prober, settings: PlanSettings, source: NDArray[np.void], uncovered: Counter[str]
) -> NDArray[np.void]:
    """Groups whose target never changes: North-South and inter-Prober."""
    targets: list[tuple[str, int, Kind]] = []
    if Kind.NORTH_SOUTH in settings.kinds:
        targets += [(a, s.node, Kind.NORTH_SOUTH) for s in fabric.servers for a in s.addresses]
    if Kind.INTER_PROBER in settings.kinds:
        others = (p for p in fabric.probers if p.number != prober.number)
        targets += [(p.address, p.node, Kind.INTER_PROBER) for p in others]
    groups = np.zeros(len(targets), PLANNED_DTYPE)
    groups["target"] = pack_addresses(address for address, _, _ in targets)
    groups["target_node"] = [node for _, node, _ in targets]
    groups["kind"] = [kind for _, _, kind in targets]
    groups["via_node"] = UNKNOWN_NODE
    alike = is_ipv4(groups["target"]) == is_ipv4(source)[0]
    if not alike.all():
        uncovered["address family that the Prober has no address in"] += int(np.count_nonzero(~alike))
    probeable: NDArray[np.void] = groups[alike]
    return probeable


def _east_west(
    fabric: Fabric, settings: PlanSettings, source: NDArray[np.void], uncovered: Counter[str]
) -> EastWest:
    """Every ordered pair of pods, with the ToRs and servers that it rotates through."""
    source_is_v4 = bool(is_ipv4(source)[0])
    vias: dict[str, list[tuple[str, int]]] = {pod: [] for pod in fabric.index.pods}
    targets: dict[str, list[tuple[str, int]]] = {pod: [] for pod in fabric.index.pods}
    for switch in fabric.switches:
        if switch.decapsulates and not switch.drained and switch.pod is not None:
            vias[switch.pod] += _of_family([switch.address], switch.node, source_is_v4)
    for server in fabric.servers:
        pod = fabric.switch_by_name[server.tor].pod
        if server.answers and pod is not None:
            targets[pod] += _of_family(server.addresses, server.node, source_is_v4)
    via_span, via_all = _spans(vias)
    target_span, target_all = _spans(targets)
    pairs: list[tuple[int, int, int, int]] = []
    for near, far in permutations(vias, 2) if Kind.EAST_WEST in settings.kinds else ():
        if not vias[near]:
            uncovered["pod pair: no decapsulating ToR in the first pod"] += 1
        elif not targets[far]:
            uncovered["pod pair: no answering server in the second pod"] += 1
        else:
            pairs.append((*via_span[near], *target_span[far]))
    columns = np.array(pairs, dtype=np.int64).reshape(-1, 4)
    return EastWest(
        stagger=np.arange(len(pairs), dtype=np.int64),
        via_start=columns[:, 0].copy(),
        via_count=columns[:, 1].copy(),
        target_start=columns[:, 2].copy(),
        target_count=columns[:, 3].copy(),
        via=pack_addresses(address for address, _ in via_all),
        via_node=np.array([node for _, node in via_all], dtype=np.int32),
        target=pack_addresses(address for address, _ in target_all),
        target_node=np.array([node for _, node in target_all], dtype=np.int32),
    )


def _of_family(addresses: Iterable[str], node: int, v4: bool) -> list[tuple[str, int]]:
    return [(address, node) for address in addresses if (":" not in address) == v4]


def _spans(
    table: dict[str, list[tuple[str, int]]],
) -> tuple[dict[str, tuple[int, int]], list[tuple[str, int]]]:
    """Start and count of each pod in one list of all entries."""
    spans: dict[str, tuple[int, int]] = {}
    entries: list[tuple[str, int]] = []
    for pod, mine in table.items():
        spans[pod] = (len(entries), len(mine))
        entries += mine
    return spans, entries


def _check_prefixes(fabric: Fabric, settings: PlanSettings, targets: NDArray[np.void]) -> None:
    allowed = np.zeros(len(targets), np.bool_)
    prefixes = settings.target_prefixes or fabric.target_prefixes
    packed = np.ascontiguousarray(targets).view(np.uint8).reshape(-1, 16)
    for prefix in prefixes:
        network = ip_network(prefix)
        bits = network.prefixlen + (96 if network.version == 4 else 0)
        mask = ((1 << 128) - (1 << (128 - bits))).to_bytes(16, "big")
        base = np.frombuffer(pack_address(network.network_address), np.uint8)
        allowed |= ((packed & np.frombuffer(mask, np.uint8)) == base).all(axis=1)
    if not allowed.all():
        bad = sorted({bytes(address) for address in targets[~allowed]})
        raise PlanRefused(
            f"{len(bad)} targets are outside the allowed prefixes "
            f"({', '.join(prefixes) or 'none configured'}), for one {unpack_address(bad[0])}; "
            f"correct the inventory or its target_prefixes"
        )
