"""From an inventory to the plan of one Prober, and what that plan covers. See producers.schedule."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_network

import numpy as np
from numpy.typing import NDArray

from fabric.address import pack_address, pack_addresses, unpack_address
from fabric.model import Fabric, Prober
from producers.flow_file import FlowChoice, ProberFlows
from producers.flow_table import NO_ROW, FlowTable
from producers.plan_settings import PlanRefused, PlanSettings
from producers.schedule import GROUPS_MAX, PLANNED_DTYPE, Plan
from producers.targets import NOT_PROBED, Targets
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
    chosen_flows: int  # from the flow file
    wraps_after_s: float  # until probe IDs come round again
    uncovered: dict[str, int]  # reason -> addresses, pod pairs or Probers


def build_plan(
    fabric: Fabric, prober: Prober, settings: PlanSettings | None = None, flows: FlowChoice | None = None
) -> Plan:
    """The plan of one Prober. `flows`: what is in the file that `settings.flows` names.

    Raises PlanRefused if a target lies outside the allowed prefixes, the rate exceeds the ceiling, or the
    flow file was not read.
    """
    settings = settings or PlanSettings()
    if settings.flows is not None and flows is None:
        raise PlanRefused(f"the flow file {settings.flows} was not read")
    source = np.frombuffer(pack_address(prober.address), "V16")
    uncovered: Counter[str] = Counter()
    targets = Targets(fabric, prober, settings, uncovered)
    fixed = _fixed_groups(targets)
    chosen = (flows.probers.get(prober.number) if flows else None) or ProberFlows()
    listed = (
        [chosen.targets.get(node, ()) for node in fixed["target_node"].tolist()] if chosen.targets else []
    )
    east_west, step_ports = targets.east_west(chosen, len(listed))
    _count_unused(chosen, fixed, uncovered)
    pairs = len(east_west)
    template = np.zeros(len(fixed) + pairs, PLANNED_DTYPE)
    template[: len(fixed)] = fixed
    moving = template[len(fixed) :]
    moving["kind"] = Kind.EAST_WEST
    template["source"] = template["outer_source"] = source
    template["destination_port"] = fabric.probe_port
    template["group_size"] = settings.group_size
    chosen_of = np.full(len(template), NO_ROW, np.int32)
    chosen_of[: len(listed)] = [row if ports else NO_ROW for row, ports in enumerate(listed)]
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
        chosen=FlowTable.of(settings.group_size, [*listed, *step_ports]),
        chosen_of=chosen_of[order],
        uncovered=dict(uncovered),
    )
    if plan.rate_pps > settings.rate_max_pps:
        raise PlanRefused(
            f"the plan of {prober.name} would send {plan.rate_pps:.0f} probes/s, more than rate_max_pps "
            f"{settings.rate_max_pps}; raise interval_us or the ceiling, or let Probers share the targets "
            f"(probers_per_target)"
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
        chosen_flows=int(plan.chosen.groups.sum()) * plan.chosen.size,
        wraps_after_s=(1 << ROUND_BITS) * plan.settings.interval_us / 1e6,
        uncovered=dict(plan.uncovered),
    )


def _fixed_groups(targets: Targets) -> NDArray[np.void]:
    """Groups whose target never changes: North-South and inter-Prober."""
    addresses, nodes, kinds = targets.fixed()
    groups = np.zeros(len(addresses), PLANNED_DTYPE)
    groups["target"] = pack_addresses(addresses)
    groups["target_node"] = nodes
    groups["kind"] = kinds
    groups["via_node"] = UNKNOWN_NODE
    return groups


def _count_unused(chosen: ProberFlows, fixed: NDArray[np.void], uncovered: Counter[str]) -> None:
    unused = len(set(chosen.targets) - set(fixed["target_node"].tolist()))
    if unused:
        uncovered[NOT_PROBED] += unused


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
