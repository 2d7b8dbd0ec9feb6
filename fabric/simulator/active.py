"""Injected faults, bound to the rows of a fabric: where they act, when, and by what chance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fabric.faults import FaultSpec
from fabric.index import FabricIndex
from fabric.model import Chip, ChipPair, Collector, Link, PortRef, Prober, Server, Switch
from fabric.simulator.draws import draw_uniform

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U8 = NDArray[np.uint64]
Bools = NDArray[np.bool_]

FOREVER_US = 2**62
ANYWHERE = -1

_DROPPING = ("loss", "link_down", "black_hole")
_MIRRORING = ("mirror_loss", "mirror_outage", "mirror_truncate", "mirror_corrupt")
_ANSWERING = ("host_down", "host_slow", "rst_limit", "reboot")
_BY_FLOW = 3_000_001  # what a draw decides; see fabric.simulator.draws


@dataclass(frozen=True, slots=True)
class ActiveFault:
    """One injected fault. Which of the rows are set says where it acts."""

    number: int
    spec: FaultSpec
    start_us: int
    end_us: int
    link_rows: tuple[int, ...] = ()  # both ways of a port or of a link that is down
    back_row: int = ANYWHERE  # of a loop: the same cable the other way
    chip: int = ANYWHERE  # row of the chip table of Chips
    to_chip: int = ANYWHERE  # of a pair of chips, `chip` then being the first
    switch_rows: tuple[int, ...] = ()  # of a chip: its switch; of a collector: those that mirror to it
    node: int = ANYWHERE  # server or Prober
    collector: int = ANYWHERE  # its place in the fabric's list

    @property
    def kind(self) -> str:
        return self.spec.kind

    @property
    def drops(self) -> bool:
        return self.kind in _DROPPING

    @property
    def acts_on_packets(self) -> bool:
        """Whether it drops or alters single packets on a cable or in a switch."""
        return self.drops or self.kind == "flip"

    @property
    def stops_switch(self) -> bool:
        return self.kind == "switch_down" or (self.kind == "reboot" and bool(self.switch_rows))

    @property
    def acts_on_copies(self) -> bool:
        return self.kind in _MIRRORING

    @property
    def acts_on_server(self) -> bool:
        return self.kind in _ANSWERING and self.node >= 0

    @property
    def is_of_exporter(self) -> bool:
        return bool(self.switch_rows) and self.collector < 0 and self.chip < 0

    @property
    def rate(self) -> float:
        return float(self.spec.params.get("rate", 1.0))

    def is_on(self, at_us: I8) -> Bools:
        """At which of these times it is on: i8[n], us -> bool[n]."""
        return (at_us >= self.start_us) & (at_us < self.end_us)

    def hits(self, lot: U8, seed: int, *where: int) -> Bools:
        """Which of the packets at its element its `rate` hits: u8[n] -> bool[n]."""
        if self.rate >= 1:
            return np.ones(len(lot), dtype=np.bool_)
        return draw_uniform(lot, seed, self.number, *where) < self.rate

    def hits_flow(self, flow: U8, seed: int) -> Bools:
        """Which five-tuples its `share` hits, wherever and whenever they come: u8[n] -> bool[n]."""
        share = float(self.spec.params.get("share", 1.0))
        if share >= 1:
            return np.ones(len(flow), dtype=np.bool_)
        return draw_uniform(flow, seed, self.number, _BY_FLOW) < share


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

    def crossed(self, switch: I4, in_link: I4, out_link: I4, choice: U8) -> tuple[I4, I4, I4]:
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
    fault = ActiveFault(number, spec, start_us, end_us)
    fabric = index.fabric
    match fabric.element(spec.element):
        case Link(from_name=near, to_name=far):
            there, back = _cable(index, near, far)
            both = spec.kind == "link_down"
            fault = replace(fault, link_rows=(there, back) if both else (there,), back_row=back)
        case PortRef(switch=near, port=port):
            fault = replace(fault, link_rows=_cable(index, near, port.peer))
        case Chip(name=name, switch=switch):
            rows = _switch_rows(index, [fabric.node(switch)])
            fault = replace(fault, chip=chips.row_of[name], switch_rows=rows)
        case ChipPair(switch=switch, from_chip=first, to_chip=second):
            rows = _switch_rows(index, [fabric.node(switch)])
            chip, to_chip = (chips.row_of[Chip(switch, label).name] for label in (first, second))
            fault = replace(fault, chip=chip, to_chip=to_chip, switch_rows=rows)
        case Switch(node=node):
            fault = replace(fault, switch_rows=_switch_rows(index, [node]))
        case Collector() as collector:
            mine = [s.node for s in fabric.switches if fabric.collector_of(s) == collector]
            place = fabric.collectors.index(collector)
            fault = replace(fault, collector=place, switch_rows=_switch_rows(index, mine))
        case Server(node=node) | Prober(node=node):
            fault = replace(fault, node=node)
    return fault


def _cable(index: FabricIndex, near: str, far: str) -> tuple[int, int]:
    """Rows of the link table, there and back."""
    ends = np.array([index.fabric.node(near), index.fabric.node(far)], dtype=np.int32)
    there, back = index.link_index(ends, ends[::-1]).tolist()
    return there, back


def _switch_rows(index: FabricIndex, nodes: list[int]) -> tuple[int, ...]:
    return tuple(index.switch_row(np.array(nodes, dtype=np.int32)).tolist())


def _owners(owner_of_port: dict[tuple[int, int], int], nodes: I4, ports: I4) -> I4:
    pairs = zip(nodes.tolist(), ports.tolist(), strict=True)
    return np.array([owner_of_port.get(pair, -1) for pair in pairs], dtype=np.int32)
