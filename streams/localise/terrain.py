"""What the localiser reasons about, as columns: cells that lose packets, and the elements that hold them.

A *cell* is a directed link (its row in the fabric's link table) or, after all links, "beyond a switch":
a packet was last seen there, on its way up, and its next hop is not known. A *turn* is a pair of chips
inside a switch that has several: the chip that packets came in by, and the one that they left by.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from schemas.nodes import PROBER_BASE, SERVER_BASE, UNKNOWN_NODE

I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

NO_TURNS = -1


class Terrain:
    """Columns over the cells, switches and turns of a fabric; immutable.

    `from_row`, `to_row`: i4[L], switch rows of a link's ends, -1 for servers and Probers. `reverse`:
    i4[L], the other direction of the cable. `to_server`, `to_prober`, `at_prober`, `up`: bool[L].
    `turn_switch`, `turn_in`, `turn_out`: [T], of every turn; `turn_out` is the number of chips where packets
    were lost and the way out is not known.
    """

    def __init__(self, fabric: Fabric) -> None:
        index = fabric.index
        self.fabric = fabric
        self.index = index
        self.links = len(index.link_from)
        self.switches = len(index.switch_node)
        self.cells = self.links + self.switches
        self.from_row: I4 = index.switch_row(index.link_from)
        self.to_row: I4 = index.switch_row(index.link_to)
        self.reverse: I4 = index.link_index(index.link_to, index.link_from)
        self.to_server: Bools = (index.link_to >= SERVER_BASE) & (index.link_to < PROBER_BASE)
        self.to_prober: Bools = index.link_to >= PROBER_BASE
        self.at_prober: Bools = (index.link_to >= PROBER_BASE) | (index.link_from >= PROBER_BASE)
        between = (self.from_row >= 0) & (self.to_row >= 0)
        self.up: Bools = between & (index.rank[self.to_row] > index.rank[self.from_row])
        serves = np.zeros(self.switches + 1, np.bool_)
        serves[index.switch_row(index.server_tor)] = True
        #: Links that a packet may have had a choice to take: not those to a ToR.
        self.chosen: Bools = between & ~serves[self.to_row]
        #: Switches at the end of ways: servers or Probers hang on them.
        self.at_end: Bools = serves[:-1].copy()
        self.at_end[self.to_row[self.at_prober & (self.to_row >= 0)]] = True
        self._out, self._out_start = _grouped(self.from_row, self.switches)
        self._in, self._in_start = _grouped(self.to_row, self.switches)
        self._lay_turns(fabric)

    def _lay_turns(self, fabric: Fabric) -> None:
        self.chips: I4 = np.array([len(s.chips) for s in fabric.switches], np.int32)
        several = self.chips > 1
        size = np.where(several, self.chips * (self.chips + 1), 0)
        base = np.cumsum(size) - size
        self.turn_base: I4 = np.where(several, base, NO_TURNS).astype(np.int32)
        self.turns = int(size.sum())
        self.turn_switch: I4 = np.repeat(np.arange(self.switches, dtype=np.int32), size)
        within = np.arange(self.turns) - base[self.turn_switch]
        width = self.chips[self.turn_switch] + 1
        self.turn_in: I2 = (within // width).astype(np.int16)
        self.turn_out: I2 = (within % width).astype(np.int16)
        place = {
            (s.node, p.number): [c.label for c in s.chips].index(p.chip)
            for s in fabric.switches
            if len(s.chips) > 1
            for p in s.ports
        }
        index = self.index
        #: Chip by which each link leaves its switch, 0 where there is but one.
        self.departs_by: I2 = np.array(
            [
                place.get(end, 0)
                for end in zip(index.link_from.tolist(), index.link_from_port.tolist(), strict=True)
            ],
            np.int16,
        )

    def out_links(self, switch: int) -> I4:
        """Rows of the links that leave a switch."""
        return self._out[self._out_start[switch] : self._out_start[switch + 1]]

    def in_links(self, switch: int) -> I4:
        """Rows of the links from switches and Probers to a switch (a server's cable into its ToR says
        nothing: a reply that it loses is one that was never seen)."""
        links = self._in[self._in_start[switch] : self._in_start[switch + 1]]
        from_server = (self.index.link_from[links] >= SERVER_BASE) & (
            self.index.link_from[links] < PROBER_BASE
        )
        return links[~from_server]

    def beyond(self, switch: int) -> int:
        """The cell of packets last seen at a switch."""
        return self.links + switch

    def cell_of(self, from_node: I4, to_node: I4) -> I8:
        """Cells of evidence rows: i4[n], i4[n] -> i8[n], -1 if the fabric has no such link or switch."""
        known = to_node != UNKNOWN_NODE
        link = self.index.link_index(from_node, to_node).astype(np.int64)
        row = self.index.switch_row(from_node).astype(np.int64)
        return np.where(known, link, np.where(row >= 0, self.links + row, -1))

    def turn_of(self, switch_node: I4, from_chip: I2, to_chip: I2) -> I8:
        """Turns of rows: [n] each -> i8[n], -1 where there is none."""
        row = self.index.switch_row(switch_node)
        chips = self.chips[row]
        out = np.where(to_chip < 0, chips, to_chip)
        known = (row >= 0) & (self.turn_base[row] >= 0) & (from_chip >= 0) & (from_chip < chips)
        known &= out <= chips
        found = self.turn_base[row].astype(np.int64) + from_chip.astype(np.int64) * (chips + 1) + out
        return np.where(known, found, -1)

    def switch_name(self, switch: int) -> str:
        return self.fabric.switches[switch].name

    def link_name(self, link: int) -> str:
        return self.index.link_name(int(link))

    def chip_name(self, switch: int, chip: int) -> str:
        return self.fabric.switches[switch].chips[chip].name

    def cell_names(self, cell: int) -> set[str]:
        """Names by which a cause at a cell is recognised: that of the cable, or that of the switch."""
        if cell >= self.links:
            return {self.switch_name(cell - self.links)}
        return {self.cable_name(cell)}

    def cable_name(self, link: int) -> str:
        """One name for both directions: a cable that is cut is one cause."""
        return "<>".join(sorted(self.link_name(link).split("~")))


def _grouped(row: I4, groups: int) -> tuple[I4, I8]:
    """Positions of each row value: i4[n] -> positions sorted by value, and where each value's begin."""
    order = np.argsort(row, kind="stable").astype(np.int32)
    order = order[row[order] >= 0]
    start = np.searchsorted(row[order], np.arange(groups + 1))
    return order, start
