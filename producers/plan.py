"""Which probe is due when: a pure function of inventory, settings and time.

A plan is a table of groups. Each group is due once per interval (a *round*), at its own phase; phases are
evenly spaced, so packets leave at a steady pace. Groups are numbered in the order of their phases, and a
group's number in a round is `round * groups + index`, modulo 2**29. Rounds are counted from 1970: a
restarted Prober goes on where time is, never where it was, and does not reuse recent IDs.

The members of a group leave together, over distinct flows (source ports). A target has a window of
`flows_per_target` ports, through which successive rounds walk; the window moves by one port each
`rotation_us`. So a five-tuple, hence its path, is met again every few rounds.

Kinds. North-South: every address of every server, also of servers known to be silent: their switch port is
covered by the mirrors, and their silence is no fault. East-West: one group per ordered pair of pods, by a
decapsulating ToR of the first to a server of the second; both turn every `east_west_dwell_rounds`; silent
servers and drained ToRs are left out. Inter-Prober: every other Prober.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from fabric.address import pack_address, pack_addresses, unpack_address
from fabric.model import Fabric, Prober
from producers.wire import PROBE_DTYPE, is_ipv4, packet_lengths
from schemas.nodes import UNKNOWN_NODE
from schemas.partition import MEMBER_BITS, mix64
from schemas.rows import Kind

GROUP_BITS = 29
MEMBERS_MAX = 1 << MEMBER_BITS

PLANNED_DTYPE = np.dtype(
    [
        *[(name, PROBE_DTYPE[name]) for name in PROBE_DTYPE.names or ()],
        ("kind", np.int8),
        ("group_size", np.int8),
        ("target_node", np.int32),
        ("via_node", np.int32),  # -1: not encapsulated
    ]
)
"""One probe to send: PROBE_DTYPE, so `wire.build` reads it, and what outcomes and simulators need."""


class PlanRefused(ValueError):
    """The plan would do what it must not; the message says what to change."""


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """What to probe and how often."""

    #: us from one group to a target to the next
    interval_us: int = 1_000_000
    #: parallel probes to a target, over distinct flows
    group_size: int = 3
    #: source ports that a target is probed with
    flows_per_target: int = 8
    #: us after which a target's window of source ports moves by one
    rotation_us: int = 60_000_000
    #: lowest source port; below the ephemeral ports of Linux (32768 and up)
    source_port_first: int = 20_000
    #: rounds that an East-West pair keeps its ToR and server: long enough to meet each flow again
    east_west_dwell_rounds: int = 10
    #: number of source ports
    source_port_count: int = 8_192
    #: probes/s, a hard ceiling
    rate_max_pps: int = 150_000
    #: kinds of probes to send
    kinds: frozenset[Kind] = frozenset(Kind)
    #: prefixes that targets must be in; empty: those of the inventory
    target_prefixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.group_size <= MEMBERS_MAX:
            raise PlanRefused(f"group_size must be 1..{MEMBERS_MAX}, not {self.group_size}")
        if not self.group_size <= self.flows_per_target <= self.source_port_count:
            raise PlanRefused(
                f"flows_per_target must be at least group_size ({self.group_size}) and at most "
                f"source_port_count ({self.source_port_count}), not {self.flows_per_target}"
            )
        if not 1024 <= self.source_port_first <= 65_536 - self.source_port_count:
            raise PlanRefused("source ports must lie in 1024..65535; change source_port_first or _count")
        if self.east_west_dwell_rounds < 1:
            raise PlanRefused("east_west_dwell_rounds must be at least 1")
        if self.interval_us < 1_000 or self.rotation_us < self.interval_us:
            raise PlanRefused("interval_us must be at least 1000, and rotation_us at least interval_us")


@dataclass(frozen=True, slots=True)
class EastWest:
    """The rotating part of the East-West groups. Rows of `via` and `target` tables, per ordered pod pair."""

    stagger: NDArray[np.int64]  # rounds by which a pair turns earlier than the first, i64[p]
    via_start: NDArray[np.int64]
    via_count: NDArray[np.int64]
    target_start: NDArray[np.int64]
    target_count: NDArray[np.int64]
    via: NDArray[np.void]  # V16[ToRs]
    via_node: NDArray[np.int32]
    target: NDArray[np.void]  # V16[server addresses]
    target_node: NDArray[np.int32]


@dataclass(frozen=True)
class Plan:
    """All groups of one Prober. `template`: PLANNED_DTYPE[groups], in the order of phases."""

    prober: Prober
    settings: PlanSettings
    template: NDArray[np.void]
    phase_us: NDArray[np.int64]
    flow_offset: NDArray[np.int64]  # where in the port range a group's window starts
    pair_of: NDArray[np.int32]  # row of `east_west` of each group, -1: none
    east_west: EastWest
    uncovered: Mapping[str, int] = field(default_factory=dict)  # reason -> addresses or pod pairs

    @property
    def groups(self) -> int:
        return len(self.template)

    @property
    def rate_pps(self) -> float:
        """Probes per second."""
        return self.groups * self.settings.group_size * 1e6 / self.settings.interval_us

    def due(self, from_us: int, until_us: int) -> NDArray[np.void]:
        """Probes due at from_us <= t < until_us (us since 1970), in the order of sending.

        Returns PLANNED_DTYPE[n]; members of a group stand together and share `sent_at_us`. Splitting a
        stretch of time into calls in any way gives the same probes.
        """
        parts = [self._due_of(*piece) for piece in self._pieces(from_us, until_us)]
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty(0, PLANNED_DTYPE)

    def count(self, from_us: int, until_us: int) -> int:
        """How many probes `due` would give, at no cost however long the stretch is."""
        groups = self._groups_before(until_us) - self._groups_before(from_us) if until_us > from_us else 0
        return groups * self.settings.group_size

    def _groups_before(self, time_us: int) -> int:
        round_, into_us = divmod(time_us, self.settings.interval_us)
        return round_ * self.groups + int(np.searchsorted(self.phase_us, into_us))

    def _pieces(self, from_us: int, until_us: int) -> Iterator[tuple[int, int, int]]:
        """(round, first group, group after the last) of each round that the stretch touches."""
        interval_us = self.settings.interval_us
        for round_ in range(from_us // interval_us, -(-until_us // interval_us)):
            start_us = round_ * interval_us
            first, stop = np.searchsorted(self.phase_us, (from_us - start_us, until_us - start_us)).tolist()
            if first < stop:
                yield round_, first, stop

    def _due_of(self, round_: int, first: int, stop: int) -> NDArray[np.void]:
        size = self.settings.group_size
        probes = np.repeat(self.template[first:stop], size)
        index = np.arange(first, stop, dtype=np.int64)
        sent_at_us = round_ * self.settings.interval_us + self.phase_us[first:stop]
        number = (round_ * self.groups + index) & ((1 << GROUP_BITS) - 1)
        base = self.prober.number << 32
        member = np.arange(size, dtype=np.int64)
        probes["probe_id"] = (base | (number << MEMBER_BITS)[:, None] | member).reshape(-1)
        probes["sent_at_us"] = np.repeat(sent_at_us, size)
        probes["source_port"] = self._ports(round_, index, sent_at_us, member).reshape(-1)
        if len(self.east_west.stagger):
            self._rotate_pairs(probes, round_, first, stop)
        return probes

    def _ports(
        self, round_: int, index: NDArray[np.int64], sent_at_us: NDArray[np.int64], member: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        settings = self.settings
        step = sent_at_us // settings.rotation_us
        flow = (round_ * settings.group_size + member) % settings.flows_per_target
        window = (self.flow_offset[index] + step)[:, None]
        return settings.source_port_first + (window + flow) % settings.source_port_count

    def _rotate_pairs(self, probes: NDArray[np.void], round_: int, first: int, stop: int) -> None:
        pair = np.repeat(self.pair_of[first:stop], self.settings.group_size)
        rows = np.flatnonzero(pair >= 0)
        if not len(rows):
            return
        table = self.east_west
        pair = pair[rows]
        vias, targets = table.via_count[pair], table.target_count[pair]
        # Both turn by one; the extra step after a common period makes every ToR meet every server.
        turn = (round_ + table.stagger[pair]) // self.settings.east_west_dwell_rounds
        via = table.via_start[pair] + turn % vias
        target = table.target_start[pair] + (turn + turn // np.lcm(vias, targets)) % targets
        probes["via"][rows] = table.via[via]
        probes["via_node"][rows] = table.via_node[via]
        probes["target"][rows] = table.target[target]
        probes["target_node"][rows] = table.target_node[target]


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
    if plan.groups >= 1 << GROUP_BITS:
        raise PlanRefused(f"{plan.groups} groups do not fit into {GROUP_BITS} bits")
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
        wraps_after_s=(1 << GROUP_BITS) / max(1, plan.groups) * plan.settings.interval_us / 1e6,
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
