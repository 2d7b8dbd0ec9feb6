"""Whom a Prober has to probe: what it has a way to, and its share where Probers share.

A Prober probes what it reaches by a shortest way that climbs once (fabric.ways): servers of another site, for
one, it does not (docs/decisions/0017). With `probers_per_target` a target, or a pair of pods, is given to so
many of the Probers that reach it, by a hash of both, so that all Probers agree without talking
(rendezvous hashing: Thaler and Ravishankar, IEEE/ACM Transactions on Networking 1998).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from fabric.address import pack_addresses
from fabric.model import Fabric, Prober
from fabric.ways import Ways
from producers.east_west import EastWest
from producers.flow_file import ProberFlows
from producers.plan_settings import PlanSettings
from schemas.partition import mix64
from schemas.rows import Kind

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

OTHER_FAMILY = "address family that the Prober has no address in"
NO_WAY = "address to which every way has a valley, as in another site"
NOT_PROBED = "chosen flows of nodes that the plan does not probe"


class Targets:
    """What one Prober of a fabric probes. `uncovered` collects what no Prober can, by reason."""

    def __init__(
        self, fabric: Fabric, prober: Prober, settings: PlanSettings, uncovered: Counter[str]
    ) -> None:
        self._fabric, self._prober, self._settings = fabric, prober, settings
        self._index = fabric.index
        self._uncovered = uncovered
        self._ways = Ways(self._index)
        rows = {p.number: self._rows([fabric.switch_by_name[p.switch].node]) for p in fabric.probers}
        reached = {int(row[0]): self._ways.to(row).valley_free for row in rows.values()}
        #: By Prober: the switches that it has a way to, bool[S].
        self._reached = {number: reached[int(row[0])] for number, row in rows.items()}

    def fixed(self) -> tuple[list[str], list[int], list[Kind]]:
        """Targets that never change: addresses, nodes and kinds of North-South and inter-Prober groups."""
        found: list[tuple[str, int, Kind]] = []
        if Kind.NORTH_SOUTH in self._settings.kinds:
            mine = self._shared(
                np.array([s.node for s in self._fabric.servers], np.int64), self._index.server_tor
            )
            for server, is_mine in zip(self._fabric.servers, mine.tolist(), strict=True):
                if is_mine:
                    found += [(a, server.node, Kind.NORTH_SOUTH) for a in server.addresses]
        if Kind.INTER_PROBER in self._settings.kinds:
            others = [p for p in self._fabric.probers if p.number != self._prober.number]
            at = self._rows([self._fabric.switch_by_name[p.switch].node for p in others])
            reached = self._reached[self._prober.number][at]
            self._refuse(NO_WAY, int(np.count_nonzero(~reached)))
            for other, is_reached in zip(others, reached.tolist(), strict=True):
                if is_reached:
                    found.append((other.address, other.node, Kind.INTER_PROBER))
        alike = [entry for entry in found if self._is_alike(entry[0])]
        self._refuse(OTHER_FAMILY, len(found) - len(alike))
        return [a for a, _, _ in alike], [node for _, node, _ in alike], [kind for _, _, kind in alike]

    def east_west(self, chosen: ProberFlows, first_row: int) -> tuple[EastWest, list[tuple[int, ...]]]:
        """Every ordered pair of pods, with the ToRs and servers that it rotates through and its chosen steps.

        first_row: row of the table of chosen flows at which the returned lists of ports will stand.
        """
        vias, targets = self._pods()
        via_span, via_all = _spans(vias)
        target_span, target_all = _spans(targets)
        pairs = self._pairs(vias, targets) if Kind.EAST_WEST in self._settings.kinds else []
        columns = np.array([(*via_span[a], *target_span[b]) for a, b in pairs], np.int64).reshape(-1, 4)
        steps, flows = self._steps(pairs, chosen, via_all, target_all)
        count = np.array([len(each) for each in steps], np.int64)
        places = np.array([place for each in steps for place in each], np.int64).reshape(-1, 2)
        return (
            EastWest(
                stagger=np.arange(len(pairs), dtype=np.int64),
                via_start=columns[:, 0].copy(),
                via_count=columns[:, 1].copy(),
                target_start=columns[:, 2].copy(),
                target_count=columns[:, 3].copy(),
                via=pack_addresses(address for address, _ in via_all),
                via_node=np.array([node for _, node in via_all], np.int32),
                target=pack_addresses(address for address, _ in target_all),
                target_node=np.array([node for _, node in target_all], np.int32),
                step_start=np.cumsum(count) - count,
                step_count=count,
                step_via=places[:, 0].copy(),
                step_target=places[:, 1].copy(),
                step_flows=np.arange(first_row, first_row + len(flows), dtype=np.int32),
            ),
            flows,
        )

    def _pods(self) -> tuple[dict[str, list[tuple[str, int]]], dict[str, list[tuple[str, int]]]]:
        """Addresses and nodes of decapsulating ToRs, and of answering servers, in pods that the Prober
        reaches."""
        reached = self._reached[self._prober.number].tolist()
        near = {s.pod for s, is_reached in zip(self._fabric.switches, reached, strict=True) if is_reached}
        vias: dict[str, list[tuple[str, int]]] = {pod: [] for pod in self._index.pods if pod in near}
        targets: dict[str, list[tuple[str, int]]] = {pod: [] for pod in vias}
        row_of = {switch.name: row for row, switch in enumerate(self._fabric.switches)}
        for row, switch in enumerate(self._fabric.switches):
            if switch.decapsulates and not switch.drained and switch.pod is not None and reached[row]:
                vias[switch.pod] += self._alike([switch.address], switch.node)
        for server in self._fabric.servers:
            row = row_of[server.tor]
            pod = self._fabric.switches[row].pod
            if server.answers and pod is not None and reached[row]:
                targets[pod] += self._alike(server.addresses, server.node)
        return vias, targets

    def _pairs(
        self, vias: dict[str, list[tuple[str, int]]], targets: dict[str, list[tuple[str, int]]]
    ) -> list[tuple[str, str]]:
        """Ordered pairs of pods that this Prober has to probe."""
        index = self._index
        tors = {
            pod: self._rows(np.unique(index.tor_of_server(_nodes(entries))))
            for pod, entries in targets.items()
        }
        leads = {pod: self._ways.to(rows).valley_free for pod, rows in tors.items() if len(rows)}
        via_rows = {pod: self._rows(_nodes(entries)) for pod, entries in vias.items()}
        possible: list[tuple[str, str]] = []
        for near, far in permutations(vias, 2):
            if not vias[near]:
                self._refuse("pod pair: no decapsulating ToR in the first pod", 1)
            elif not targets[far]:
                self._refuse("pod pair: no answering server in the second pod", 1)
            elif not leads[far][via_rows[near]].all():
                self._refuse("pod pair: every way has a valley", 1)
            else:
                possible.append((near, far))
        place = {pod: at for at, pod in enumerate(index.pods)}
        names = np.array([(place[a] + 1) << 20 | place[b] for a, b in possible], np.int64)
        ends = np.array([(via_rows[a][0], tors[b][0]) for a, b in possible], np.int64).reshape(-1, 2)
        able = [np.logical_and.reduce(reached[ends], axis=1) for reached in self._reached.values()]
        mine = self._is_mine(names, able)
        return [pair for pair, is_mine in zip(possible, mine.tolist(), strict=True) if is_mine]

    def _steps(
        self,
        pairs: list[tuple[str, str]],
        chosen: ProberFlows,
        via_all: list[tuple[str, int]],
        target_all: list[tuple[str, int]],
    ) -> tuple[list[list[tuple[int, int]]], list[tuple[int, ...]]]:
        """Chosen steps of each pair as rows of the tables of ToRs and targets, and the ports of all steps."""
        via_row = {node: row for row, (_, node) in reversed(list(enumerate(via_all)))}
        target_row = {node: row for row, (_, node) in reversed(list(enumerate(target_all)))}
        steps: dict[tuple[str, str], list[tuple[int, int]]] = {pair: [] for pair in pairs}
        flows: dict[tuple[str, str], list[tuple[int, ...]]] = {pair: [] for pair in pairs}
        for (via, target), ports in sorted(chosen.pairs.items()):
            if via in via_row and target in target_row:
                pods = self._index.pod_of(np.array([via, target], np.int32)).tolist()
                pair = self._index.pods[pods[0]], self._index.pods[pods[1]]
                if pair in steps:
                    steps[pair].append((via_row[via], target_row[target]))
                    flows[pair].append(ports)
                    continue
            self._refuse(NOT_PROBED, 1)
        return [steps[pair] for pair in pairs], [ports for pair in pairs for ports in flows[pair]]

    def _shared(self, node: I8, tor: I4) -> Bools:
        """Which servers this Prober probes."""
        row = self._index.switch_row(tor)
        reached = [each[row] for each in self._reached.values()]
        self._refuse(NO_WAY, int(np.count_nonzero(~self._reached[self._prober.number][row])))
        return self._is_mine(node, reached)

    def _is_mine(self, name: I8, reached: list[Bools]) -> Bools:
        """Which of some things fall to this Prober; `reached`: Prober by Prober, who can probe them."""
        numbers = np.array(list(self._reached), np.int64)
        mine = int(np.flatnonzero(numbers == self._prober.number)[0])
        able: Bools = np.array(reached).reshape(len(numbers), len(name))
        fallen: Bools = able[mine]
        if not self._settings.probers_per_target:
            return fallen
        # Upper and lower half apart, so that every Prober has draws of its own.
        draw = mix64((name << 16 | numbers[:, None]).astype(np.uint64))
        before = able & ((draw < draw[mine]) | ((draw == draw[mine]) & (numbers[:, None] < numbers[mine])))
        fallen &= np.count_nonzero(before, axis=0) < self._settings.probers_per_target
        return fallen

    def _is_alike(self, address: str) -> bool:
        return (":" in address) == (":" in self._prober.address)

    def _alike(self, addresses: Iterable[str], node: int) -> list[tuple[str, int]]:
        return [(address, node) for address in addresses if self._is_alike(address)]

    def _rows(self, nodes: Iterable[int] | I4) -> I4:
        return self._index.switch_row(np.array(list(nodes), np.int32))

    def _refuse(self, reason: str, count: int) -> None:
        if count:
            self._uncovered[reason] += count


def _nodes(entries: list[tuple[str, int]]) -> I4:
    return np.array([node for _, node in entries], np.int32)


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
