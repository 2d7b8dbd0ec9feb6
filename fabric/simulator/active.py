"""Injected faults as columns: which packets does a fault hit, on this cable or in this switch?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.faults import FLIP_OFFSET_FIRST, FaultSpec
from fabric.index import FabricIndex
from fabric.model import Chip, Link, Server, Switch
from fabric.simulator.draws import draw_bits, draw_uniform

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Bools = NDArray[np.bool_]

FOREVER_US = 2**62
ANYWHERE = -1


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """One injected fault. Which of link_rows, chip and switch_row is set says where it acts."""

    number: int
    spec: FaultSpec
    start_us: int
    end_us: int
    link_rows: tuple[int, ...] = ()
    chip: int = ANYWHERE  # row of the chip table of Chips
    switch_row: int = ANYWHERE
    node: int = ANYWHERE  # server

    @property
    def drops(self) -> bool:
        return self.spec.kind in ("loss", "link_down")

    @property
    def acts_on_packets(self) -> bool:
        return self.drops or self.spec.kind == "flip"

    @property
    def rate(self) -> float:
        return float(self.spec.params.get("rate", 1.0))

    def is_on(self, sent_at_us: I8) -> Bools:
        """Which probes were sent while the fault was on: i8[n] -> bool[n]."""
        return (sent_at_us >= self.start_us) & (sent_at_us < self.end_us)

    def hits(self, probe_id: I8, sent_at_us: I8, seed: int, *where: int) -> Bools:
        """Which of the packets at its element it hits: i8[n], i8[n] -> bool[n]."""
        hit = self.is_on(sent_at_us)
        if self.rate < 1:
            hit &= draw_uniform(probe_id, seed, self.number, *where) < self.rate
        return hit

    def alteration(self, probe_id: I8, seed: int, offsets: int, *where: int) -> tuple[I4, NDArray[np.uint8]]:
        """Byte of the TCP segment and bits of it that a flip alters: i8[n] -> i4[n], u1[n].

        offsets: random ones lie in FLIP_OFFSET_FIRST <= offset < FLIP_OFFSET_FIRST + offsets.
        """
        bits = draw_bits(probe_id, seed, self.number, *where, 1)
        offset = (FLIP_OFFSET_FIRST + (bits >> np.uint64(8)) % np.uint64(offsets)).astype(np.int32)
        mask = (np.uint64(1) << (bits & np.uint64(7))).astype(np.uint8)
        if "offset" in self.spec.params:
            offset[:] = self.spec.params["offset"]
        if "mask" in self.spec.params:
            mask[:] = self.spec.params["mask"]
        return offset, mask


class Chips:
    """Which chips a packet crosses inside a switch. Chip rows number all chips of a fabric."""

    def __init__(self, index: FabricIndex) -> None:
        self.row_of: dict[str, int] = {}
        first_fabric_chip: list[int] = []
        fabric_chips: list[int] = []
        owner_of_port: dict[tuple[int, int], int] = {}
        for switch in index.fabric.switches:
            for chip in sorted(switch.chips, key=lambda chip: chip.role == "fabric"):
                self.row_of[chip.name] = len(self.row_of)
            count = sum(chip.role == "fabric" for chip in switch.chips)
            first_fabric_chip.append(len(self.row_of) - count)
            fabric_chips.append(count)
            labels = {chip.label: self.row_of[chip.name] for chip in switch.chips}
            owner_of_port |= {(switch.node, p.number): labels[p.chip] for p in switch.ports}
        self.first_fabric_chip: I4 = np.array(first_fabric_chip, dtype=np.int32)
        self.fabric_chips: I4 = np.array(fabric_chips, dtype=np.int32)
        self.of_arrival: I4 = _owners(owner_of_port, index.link_to, index.link_to_port)
        self.of_departure: I4 = _owners(owner_of_port, index.link_from, index.link_from_port)

    def crossed(self, switch: I4, in_link: I4, out_link: I4, choice: NDArray[np.uint64]) -> tuple[I4, I4, I4]:
        """Ingress, fabric and egress chip of packets in a switch: i4[n] each, fabric chip -1 if none.

        Packets between ports of one line card stay on it. choice: u8[n], the switch's hash of the flow.
        """
        ingress, egress = self.of_arrival[in_link], self.of_departure[out_link]
        count = self.fabric_chips[switch]
        crosses = (ingress != egress) & (count > 0)
        # The lower half of the hash; its upper half chose the next hop.
        pick = ((choice & np.uint64(0xFFFFFFFF)) * count.astype(np.uint64)) >> np.uint64(32)
        middle = np.where(crosses, self.first_fabric_chip[switch] + pick.astype(np.int32), np.int32(-1))
        return ingress, middle.astype(np.int32), egress


def activate(spec: FaultSpec, number: int, start_us: int, index: FabricIndex, chips: Chips) -> ActiveFault:
    """Bind a specification to the rows of a fabric, from a time on (`after` is not added; `for` counts)."""
    end_us = FOREVER_US if spec.for_s is None else start_us + round(spec.for_s * 1e6)
    fabric = index.fabric
    match fabric.element(spec.element):
        case Link(from_name=near, to_name=far):
            ways = [(near, far), (far, near)] if spec.kind == "link_down" else [(near, far)]
            ends = np.array([[fabric.node(a), fabric.node(b)] for a, b in ways], dtype=np.int32)
            rows = index.link_index(ends[:, 0], ends[:, 1])
            return ActiveFault(number, spec, start_us, end_us, link_rows=tuple(rows.tolist()))
        case Chip(name=name):
            return ActiveFault(number, spec, start_us, end_us, chip=chips.row_of[name])
        case Switch(node=node):
            row = int(index.switch_row(np.array([node], dtype=np.int32))[0])
            return ActiveFault(number, spec, start_us, end_us, switch_row=row)
        case Server(node=node):
            return ActiveFault(number, spec, start_us, end_us, node=node)
        case other:
            raise ValueError(f"{spec.text}: no fault acts on {other}")


def _owners(owner_of_port: dict[tuple[int, int], int], nodes: I4, ports: I4) -> I4:
    pairs = zip(nodes.tolist(), ports.tolist(), strict=True)
    return np.array([owner_of_port.get(pair, -1) for pair in pairs], dtype=np.int32)
