"""What a probe can cross, as numbers: links, ways through chips, and what is only roughly known.

Where the way of a leg has been learnt it is its directed links, and within switches of several chips the way
from chip to chip. Where it has not, it is what is certain all the same: that it leaves its first switch,
crosses the leaves of a pod, the core, the leaves of another pod, and comes down to its last switch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fabric.model import PAIR_SEPARATOR, Fabric
from streams.localise.tomography.elements import Elements

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

Kind = Literal["link", "cable", "switch", "chip", "pair", "pod", "core", "up", "down", "server", "prober"]

#: Nats: how much stronger a case must be than that against a link.
COST: dict[Kind, float] = {
    "link": 0.0,
    "server": 0.0,
    "prober": 1.0,
    "cable": 1.0,
    "chip": 1.0,
    "pair": 0.5,
    "up": 1.0,
    "down": 1.0,
    "switch": 2.0,
    "core": 2.0,
    "pod": 5.0,
}
LEG_SWITCHES = 8
#: Cells of a leg at most: a link before, between and after the switches, and turns between links.
LEG_CELLS = 2 * LEG_SWITCHES + 1
UNKNOWN_CELLS = 5
#: Elements of what is only roughly known.
ROUGH: frozenset[Kind] = frozenset({"up", "down", "pod", "core"})
#: In areas: what is in no pod.
NO_POD = -1


@dataclass(frozen=True, slots=True)
class Named:
    """An element that may be blamed. names: elements of the fabric that it stands for: of a cable both
    directions, of what is only roughly known all that may be meant. row: of its link, switch, pod, server or
    Prober in the fabric's tables; of a cable that of one of its links."""

    kind: Kind
    names: tuple[str, ...]
    row: int


class Cells:
    """The cells of a fabric, and the elements that are made of them. Immutable.

    Elements are made when they are first asked for: while mirrors see everything nobody asks, and for a large
    fabric it takes a second.
    """

    def __init__(self, fabric: Fabric) -> None:
        index = fabric.index
        self.fabric, self.index = fabric, index
        self.links = len(index.link_from)
        self._switches, self._pods = len(index.switch_node), len(index.pods)
        self.core = self.links + 2 * self._switches + 2 * self._pods
        several = np.array([switch.is_multi_chip for switch in fabric.switches], np.bool_)
        self._chips: I4 = np.array([len(switch.chips) for switch in fabric.switches], np.int32)
        squares = np.where(several, self._chips.astype(np.int64) ** 2, 0)
        self._turn: I8 = np.where(several, self.core + 1 + np.cumsum(squares) - squares, -1)
        self.cells = self.core + 1 + int(squares.sum())
        self._to_row = index.switch_row(index.link_to)
        self.attached: dict[int, int] = {p.node: fabric.node(p.switch) for p in fabric.probers}

    # -- numbers --------------------------------------------------------------------------------

    def up(self, switch: I4) -> I4:
        """The unknown link by which a leg leaves each switch (row): i4[n] -> i4[n]."""
        return switch + np.int32(self.links)

    def down(self, switch: I4) -> I4:
        """The unknown link by which a leg comes to each switch (row)."""
        return switch + np.int32(self.links + self._switches)

    def pod_out(self, pod: I4) -> I4:
        """Unknown leaves of each pod, on the way out of it."""
        return pod + np.int32(self.links + 2 * self._switches)

    def pod_in(self, pod: I4) -> I4:
        """Unknown leaves of each pod, on the way into it."""
        return pod + np.int32(self.links + 2 * self._switches + self._pods)

    def cells_of(self, kind: Kind, row: int) -> tuple[int, ...]:
        """Cells of the switch, pod, server or Prober of a row; of nothing that a switch has several of."""
        return self.elements.links(self._number[kind, row])

    def turns(self, link_in: I4, link_out: I4) -> I4:
        """The way through a switch's chips between two links: i4[n] twice -> i4[n], -1 if it has but one."""
        switch = self._to_row[link_in]
        first = self._turn[switch]
        turn = (
            first
            + self.index.link_to_chip[link_in].astype(np.int64) * self._chips[switch]
            + self.index.link_from_chip[link_out]
        )
        return np.where((link_in >= 0) & (link_out >= 0) & (switch >= 0) & (first >= 0), turn, -1).astype(
            np.int32
        )

    # -- ways -----------------------------------------------------------------------------------

    def leg(self, first: I4, switches: I4, last: I4) -> tuple[I4, Bools]:
        """Cells of known legs.

        first, last: i4[n], nodes of the switches where they begin and end; switches: i4[n, LEG_SWITCHES],
        nodes seen, -1 after the last. Returns i4[n, LEG_CELLS], -1 where there is none, and which legs are
        whole: bool[n], False if no cable joins two of its switches.
        """
        sequence = np.concatenate([first[:, None], switches, last[:, None]], axis=1)
        sequence = np.where(sequence < 0, last[:, None], sequence)
        near, far = sequence[:, :-1].reshape(-1), sequence[:, 1:].reshape(-1)
        link = np.where(near == far, np.int32(-1), self.index.link_index(near, far))
        shape = (len(first), LEG_SWITCHES + 1)
        whole = ((link >= 0) | (near == far)).reshape(shape).all(axis=1)
        links = link.reshape(shape)
        turns = self.turns(links[:, :-1].reshape(-1), links[:, 1:].reshape(-1))
        return np.concatenate([links, turns.reshape(len(first), LEG_SWITCHES)], axis=1), whole

    def unknown(self, first: I4, last: I4) -> I4:
        """Cells of legs of which only the ends (nodes) are known: i4[n, UNKNOWN_CELLS]."""
        cells = np.full((len(first), UNKNOWN_CELLS), -1, np.int32)
        a, b = self.index.switch_row(first), self.index.switch_row(last)
        apart = (a >= 0) & (b >= 0) & (a != b)
        pod_a, pod_b = (self.index.pod_of(node).astype(np.int32) for node in (first, last))
        # Between switches of one pod there is nothing but its leaves; borders are in no pod.
        outside = apart & ((pod_a != pod_b) | (pod_a < 0))
        for column, (where, cell) in enumerate(
            (
                (apart, self.up(a)),
                (outside & (pod_a >= 0), self.pod_out(pod_a)),
                (outside, np.full(len(a), self.core, np.int32)),
                (outside & (pod_b >= 0), self.pod_in(pod_b)),
                (apart, self.down(b)),
            )
        ):
            cells[where, column] = cell[where]
        return cells

    def area(self, element: int) -> frozenset[int]:
        """Where an element lies: rows of the pods that it touches, and NO_POD if it touches the rest."""
        named, index = self.named[element], self.index
        if named.kind in ("link", "cable"):
            ends = (index.link_from[named.row], index.link_to[named.row])
            return frozenset(index.pod_of(np.array(ends, np.int32)).tolist())
        if named.kind == "server":
            return frozenset(index.pod_of(index.server_node[[named.row]]).tolist())
        if named.kind == "pod":
            return frozenset({named.row})
        if named.kind in ("core", "prober"):
            return frozenset({NO_POD})
        out = index.link_to[[row for row in self._links_out[named.row] if self._to_row[row] >= 0]]
        beside = index.pod_of(out).tolist() if named.kind not in ROUGH else []
        return frozenset({int(index.pod[named.row]), *beside})

    # -- elements -------------------------------------------------------------------------------

    @property
    def named(self) -> tuple[Named, ...]:
        """What may be blamed."""
        return self._made[0]

    @property
    def elements(self) -> Elements:
        """The cells of each of `named`."""
        return self._made[1]

    @cached_property
    def _made(self) -> tuple[tuple[Named, ...], Elements]:
        made = list(self._named())
        elements = Elements.of(((cells, COST[each.kind]) for each, cells in made), self.cells)
        return tuple(each for each, _ in made), elements

    @cached_property
    def _number(self) -> dict[tuple[Kind, int], int]:
        return {(each.kind, each.row): number for number, each in enumerate(self.named)}

    @cached_property
    def _links_out(self) -> dict[int, list[int]]:
        """Links that leave each switch (row)."""
        out: dict[int, list[int]] = {}
        for row, switch in enumerate(self.index.switch_row(self.index.link_from).tolist()):
            out.setdefault(switch, []).append(row)
        return out

    def _named(self) -> Iterator[tuple[Named, list[int]]]:
        yield from self._links()
        yield from self._ends()
        yield from self._of_switches()
        fabric, index = self.fabric, self.index
        for row, pod in enumerate(index.pods):
            pods = np.array([row], np.int32)
            leaves = np.flatnonzero((index.pod == row) & (index.rank > 0)).tolist()
            own = [int(self.pod_in(pods)[0]), int(self.pod_out(pods)[0])]
            out = [cell for leaf in leaves for cell in self._out_of(leaf)]
            yield Named("pod", (pod, *(fabric.switches[leaf].name for leaf in leaves)), row), out + own
        top = [s.name for s, rank in zip(fabric.switches, index.rank, strict=True) if rank >= 2]
        yield Named("core", tuple(top), -1), [self.core]

    def _links(self) -> Iterator[tuple[Named, list[int]]]:
        between = self.index.switch_row(self.index.link_from) >= 0
        between &= self._to_row >= 0
        back = self.index.link_index(self.index.link_to, self.index.link_from)
        for row in np.flatnonzero(between).tolist():
            name = self.index.link_name(row)
            yield Named("link", (name,), row), [row]
            if back[row] > row:
                yield Named("cable", (name, self.index.link_name(int(back[row]))), row), [row, int(back[row])]

    def _ends(self) -> Iterator[tuple[Named, list[int]]]:
        """Servers and Probers with their cables, which nothing seen from afar tells apart."""
        index = self.index
        into = index.link_index(index.server_tor, index.server_node)
        for row, (server, link) in enumerate(zip(self.fabric.servers, into.tolist(), strict=True)):
            if link >= 0:
                cables = (f"{server.tor}~{server.name}", f"{server.name}~{server.tor}")
                yield Named("server", (server.name, *cables), row), [link]
        for row, prober in enumerate(self.fabric.probers):
            out, back = f"{prober.name}~{prober.switch}", f"{prober.switch}~{prober.name}"
            ends = np.array([prober.node, self.attached[prober.node]], np.int32)
            link = int(index.link_index(ends[:1], ends[1:])[0])
            yield Named("prober", (prober.name, out, back), row), [link]

    def _of_switches(self) -> Iterator[tuple[Named, list[int]]]:
        for row, switch in enumerate(self.fabric.switches):
            rows = np.array([row], np.int32)
            yield Named("switch", (switch.name,), row), self._out_of(row)
            yield Named("up", (switch.name,), row), self.up(rows).tolist()
            yield Named("down", (switch.name,), row), self.down(rows).tolist()
            if not switch.is_multi_chip:
                continue
            count, first = len(switch.chips), int(self._turn[row])
            owners = [i for i, chip in enumerate(switch.chips) if chip.role != "fabric"]
            for a in owners:
                mine = {first + a * count + b for b in owners} | {first + b * count + a for b in owners}
                yield Named("chip", (switch.chips[a].name,), row), sorted(mine)
                for b in owners:
                    name = f"{switch.chips[a].name}{PAIR_SEPARATOR}{switch.chips[b].label}"
                    yield Named("pair", (name,), row), [first + a * count + b]

    def _out_of(self, switch: int) -> list[int]:
        """Cells by which packets leave a switch (row): each packet through it crosses one of them."""
        return [*self._links_out.get(switch, ()), int(self.up(np.array([switch], np.int32))[0])]
