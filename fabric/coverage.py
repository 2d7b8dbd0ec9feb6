"""What probes should cross: every switch port, every directed link between switches, every chip pair.

- A *port* is covered when packets crossed its cable in at least one direction.
- A *link* is one direction of a cable between two switches.
- A *chip pair* is an ordered pair of the port-owning chips of a switch that has several: packets came in by
  the ports of the first and left by those of the second. A chip with two ports makes a pair with itself.
  Which of several fabric chips a packet took between two line cards is not seen by any mirror, so a pair
  stands for all of them.

Elements are numbered: ports first, then links, then chip pairs. Which of them a probe can cross at all is
worked out in fabric.crossable.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fabric.model import CHIP_SEPARATOR, PAIR_SEPARATOR, PORT_SEPARATOR, Fabric, Switch

I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
Bools = NDArray[np.bool_]

ElementClass = Literal["port", "link", "chip_pair"]
ELEMENT_CLASSES: tuple[ElementClass, ...] = get_args(ElementClass)

NO_ELEMENT = -1
_PORT_BITS = 32


class Elements:
    """The elements of a fabric as numbers 0..count-1. Immutable.

    `ports`, `links`, `pairs`: how many there are of each class. Over rows of the fabric's link table, shape
    (L,): `from_port`, `to_port`, `link`, the element or NO_ELEMENT; `chip_out`, `chip_in`, the place of the
    chip that a link leaves and enters by in its switch's list of chips, NO_ELEMENT at a server or Prober.
    Over elements, shape (count,): `switch_row`, the switch (of a link the near one).
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        index = fabric.index
        switches = fabric.switches
        degree = np.array([len(s.ports) for s in switches], dtype=np.int64)
        self.ports = int(degree.sum())
        self._first_port = np.cumsum(degree) - degree
        port_row = np.repeat(np.arange(len(switches), dtype=np.int32), degree)
        numbers = np.fromiter((p.number for s in switches for p in s.ports), np.int64, self.ports)
        chips = np.fromiter(
            (place for s in switches for place in _places(s)), dtype=np.int16, count=self.ports
        )

        self.from_row: I4 = index.switch_row(index.link_from)
        self.to_row: I4 = index.switch_row(index.link_to)
        key = port_row.astype(np.int64) << _PORT_BITS | numbers
        order = np.argsort(key, kind="stable")

        def port_of(row: I4, number: I4) -> I4:
            wanted = row.astype(np.int64) << _PORT_BITS | number
            at = order[np.minimum(np.searchsorted(key, wanted, sorter=order), max(0, self.ports - 1))]
            return np.where((row >= 0) & (key[at] == wanted), at, NO_ELEMENT).astype(np.int32)

        self.from_port = port_of(self.from_row, index.link_from_port)
        self.to_port = port_of(self.to_row, index.link_to_port)
        self.chip_out = _taken(chips, self.from_port)
        self.chip_in = _taken(chips, self.to_port)

        between = (self.from_row >= 0) & (self.to_row >= 0)
        self.links = int(np.count_nonzero(between))
        self._link_rows: I4 = np.flatnonzero(between).astype(np.int32)
        self.link: I4 = np.where(between, self.ports - 1 + np.cumsum(between), NO_ELEMENT).astype(np.int32)

        self._lay_pairs(port_row, chips)
        self.count = self.ports + self.links + self.pairs
        self.switch_row: I4 = np.concatenate([port_row, self.from_row[between], self.pair_switch])

    def _lay_pairs(self, port_row: I4, chips: I2) -> None:
        switches = self.fabric.switches
        self._chips: I4 = np.array([len(s.chips) for s in switches], dtype=np.int32)
        first = np.cumsum(self._chips) - self._chips
        owned = np.bincount(first[port_row] + chips, minlength=int(self._chips.sum()))
        squares = np.where(self._chips > 1, self._chips.astype(np.int64) ** 2, 0)
        base = np.cumsum(squares) - squares
        row = np.repeat(np.arange(len(switches), dtype=np.int32), squares)
        within = np.arange(int(squares.sum())) - base[row]
        chip_in, chip_out = within // self._chips[row], within % self._chips[row]
        ports_in, ports_out = owned[first[row] + chip_in], owned[first[row] + chip_out]
        exists = (ports_in > 0) & (ports_out > 0) & ((chip_in != chip_out) | (ports_in > 1))
        self.pairs = int(np.count_nonzero(exists))
        self._pair_base = np.where(self._chips > 1, base, NO_ELEMENT)
        self._pair_at = np.where(exists, self.ports + self.links - 1 + np.cumsum(exists), NO_ELEMENT)
        self.pair_switch: I4 = row[exists]
        self.pair_in: I2 = chip_in[exists].astype(np.int16)
        self.pair_out: I2 = chip_out[exists].astype(np.int16)

    @cached_property
    def crossable(self) -> Bools:
        """Which elements a probe can cross at all: bool[count]."""
        from fabric.crossable import crossable  # noqa: PLC0415 - it builds on this module

        return crossable(self)

    @property
    def pair_first(self) -> int:
        """Number of the first chip pair."""
        return self.ports + self.links

    def of_links(self, link: I4) -> I4:
        """Elements that packets cross with each link: i4[n] -> i4[m], in no order, repeats are possible."""
        found = np.concatenate([self.from_port[link], self.to_port[link], self.link[link]])
        return found[found >= 0]

    def of_turns(self, switch_row: I4, chip_in: I2, chip_out: I2) -> I4:
        """Chip pairs that packets cross inside switches: [n] each -> i4[n], NO_ELEMENT where there is none.

        A switch row or a chip of -1 is allowed and is none.
        """
        if not self.pairs:
            return np.full(len(switch_row), NO_ELEMENT, dtype=np.int32)
        chips = self._chips[switch_row]
        base = self._pair_base[switch_row]
        known = (switch_row >= 0) & (base >= 0) & (chip_in >= 0) & (chip_out >= 0)
        known &= (chip_in < chips) & (chip_out < chips)
        at = base + chip_in.astype(np.int64) * chips + chip_out
        return np.where(known, self._pair_at[np.where(known, at, 0)], NO_ELEMENT).astype(np.int32)

    def between_links(self, came: I4, left: I4) -> I4:
        """Chip pair that packets cross from one link to the next: i4[n], i4[n] -> i4[n], NO_ELEMENT if the
        switch has one chip."""
        return self.of_turns(self.to_row[came], self.chip_in[came], self.chip_out[left])

    def class_of(self, element: int) -> ElementClass:
        """port, link or chip_pair."""
        return ELEMENT_CLASSES[int(element >= self.ports) + int(element >= self.pair_first)]

    def span(self, element_class: ElementClass) -> slice:
        """The numbers of a class."""
        edges = (0, self.ports, self.pair_first, self.count)
        at = ELEMENT_CLASSES.index(element_class)
        return slice(edges[at], edges[at + 1])

    def name(self, element: int) -> str:
        """Port `S:NAME`, link `A~B`, chip pair `S/C1>C2`."""
        switch = self.fabric.switches[self.switch_row[element]]
        if element < self.ports:
            port = switch.ports[element - int(self._first_port[self.switch_row[element]])]
            return f"{switch.name}{PORT_SEPARATOR}{port.name}"
        if element < self.pair_first:
            return self.fabric.index.link_name(int(self._link_rows[element - self.ports]))
        pair = element - self.pair_first
        chips = switch.chips[self.pair_in[pair]], switch.chips[self.pair_out[pair]]
        return f"{switch.name}{CHIP_SEPARATOR}{chips[0].label}{PAIR_SEPARATOR}{chips[1].label}"


def _places(switch: Switch) -> Iterable[int]:
    """Of each port, the place of its chip in the switch's list of chips."""
    place = {chip.label: at for at, chip in enumerate(switch.chips)}
    return [place[port.chip] for port in switch.ports]


def _taken(column: I2, row: I4) -> I2:
    if not len(column):
        return np.full(len(row), NO_ELEMENT, dtype=np.int16)
    return np.where(row >= 0, column[row], np.int16(NO_ELEMENT)).astype(np.int16)
