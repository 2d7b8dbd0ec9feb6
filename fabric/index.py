"""A fabric as columns: what node, what rank, which server, which link, for a million rows at a time."""

from __future__ import annotations

from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fabric.address import address_words, pack_address
from fabric.lookup import AddressLookup, ColumnLookup
from fabric.model import TIER_RANK, Fabric
from schemas.nodes import PROBER_BASE, SERVER_BASE, UNKNOWN_NODE

NO_RANK = -1
NO_POD = -1

I1 = NDArray[np.int8]
I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
U8 = NDArray[np.uint64]
Bools = NDArray[np.bool_]
_T = TypeVar("_T", bound=np.generic)


class FabricIndex:
    """Columnar view of a fabric. Immutable; build it once (`Fabric.index`) and share it.

    Switch columns are of shape (S,), in the order of `fabric.switches`; `switch_row` leads from node to row:

        switch_node i4, rank i1 (see TIER_RANK), pod i2 (index into `pods`, -1 none), drained bool

    Server columns are of shape (N,), in the order of `fabric.servers`:

        server_node i4, server_tor i4 (node of its ToR), answers bool

    Link columns are of shape (L,), in the order of `fabric.links`:

        link_from i4, link_to i4 (nodes), link_from_port i4, link_to_port i4,
        link_from_chip i2, link_to_chip i2 (places in `Switch.chips`; -1 at servers and Probers)
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        switches, servers, links = fabric.switches, fabric.servers, fabric.links
        self.pods: tuple[str, ...] = tuple(dict.fromkeys(s.pod for s in switches if s.pod is not None))
        pod_row = {pod: row for row, pod in enumerate(self.pods)}

        self.switch_node: I4 = np.array([s.node for s in switches], dtype=np.int32)
        self.rank: I1 = np.array([TIER_RANK[s.tier] for s in switches], dtype=np.int8)
        self.pod: I2 = np.array([pod_row.get(s.pod or "", NO_POD) for s in switches], dtype=np.int16)
        self.drained: Bools = np.array([s.drained for s in switches], dtype=np.bool_)

        self.server_node: I4 = np.array([s.node for s in servers], dtype=np.int32)
        self.server_tor: I4 = np.array([fabric.node(s.tor) for s in servers], dtype=np.int32)
        self.answers: Bools = np.array([s.answers for s in servers], dtype=np.bool_)

        self.link_from: I4 = np.array([fabric.node(link.from_name) for link in links], dtype=np.int32)
        self.link_to: I4 = np.array([fabric.node(link.to_name) for link in links], dtype=np.int32)
        self.link_from_port: I4 = np.array([link.from_port for link in links], dtype=np.int32)
        self.link_to_port: I4 = np.array([link.to_port for link in links], dtype=np.int32)

        self._switch_rows = _node_lookup(self.switch_node)
        self._server_rows = _node_lookup(self.server_node)
        self._links = ColumnLookup(_pair(self.link_from, self.link_to), np.arange(len(links), dtype=np.int32))
        self._addresses = _address_lookup(
            [(a, s.node) for s in servers for a in s.addresses]
            + [(p.address, p.node) for p in fabric.probers]
            + [(s.address, s.node) for s in switches]
        )
        self._exporters = _address_lookup([(a, s.node) for s in switches for a in s.exporter_addresses])

    def switch_row(self, node: I4) -> I4:
        """Row of the switch columns of each node: i4[n] -> i4[n], -1 if it is no switch of this fabric."""
        return self._switch_rows(_unsigned(node))

    def rank_of(self, node: I4) -> I1:
        """Rank of each node: i4[n] -> i1[n], -1 if it is no switch."""
        return _take(self.rank, self.switch_row(node), NO_RANK)

    def pod_of(self, node: I4) -> I2:
        """Pod of each switch or server (that of its ToR): i4[n] -> i2[n], -1 if it has none."""
        tor = self.tor_of_server(node)
        return _take(self.pod, self.switch_row(np.where(tor >= 0, tor, node)), NO_POD)

    def drained_of(self, node: I4) -> Bools:
        """Whether each node is a drained switch: i4[n] -> bool[n]."""
        return _take(self.drained, self.switch_row(node), False)

    def server_row(self, node: I4) -> I4:
        """Row of the server columns of each node: i4[n] -> i4[n], -1 if it is no server of this fabric."""
        return self._server_rows(_unsigned(node))

    def tor_of_server(self, node: I4) -> I4:
        """Node of the ToR of each server: i4[n] -> i4[n], -1 if it is no server."""
        return _take(self.server_tor, self._server_rows(_unsigned(node)), UNKNOWN_NODE)

    def answers_of(self, node: I4) -> Bools:
        """Whether each node is a server that is expected to answer: i4[n] -> bool[n]."""
        return _take(self.answers, self._server_rows(_unsigned(node)), False)

    def node_of(self, address: NDArray[np.void]) -> I4:
        """Node that owns each address (a switch by its loopback): V16[n] -> i4[n], -1 unknown."""
        return self._addresses(*address_words(address))

    def server_of(self, address: NDArray[np.void]) -> I4:
        """Node of the server with each address: V16[n] -> i4[n], -1 if no server has it."""
        node = self.node_of(address)
        return np.where((node >= SERVER_BASE) & (node < PROBER_BASE), node, np.int32(UNKNOWN_NODE))

    def switch_of_exporter(self, address: NDArray[np.void]) -> I4:
        """Node of the switch that sends mirror packets from each address: V16[n] -> i4[n], -1 unknown."""
        return self._exporters(*address_words(address))

    def link_index(self, from_node: I4, to_node: I4) -> I4:
        """Row of the directed link between nodes: i4[n], i4[n] -> i4[n], -1 if there is no such cable.

        Links between switches and servers or Probers are in the table too.
        """
        known = (np.asarray(from_node) >= 0) & (np.asarray(to_node) >= 0)
        return np.where(known, self._links(_pair(from_node, to_node)), np.int32(-1))

    @cached_property
    def link_from_chip(self) -> I2:
        """Chip by which each link leaves its switch: i2[L], its place in `Switch.chips`, -1: no switch."""
        return self._chips_of(self.link_from, self.link_from_port)

    @cached_property
    def link_to_chip(self) -> I2:
        """Chip by which each link enters its switch: i2[L], its place in `Switch.chips`, -1: no switch."""
        return self._chips_of(self.link_to, self.link_to_port)

    def _chips_of(self, nodes: I4, ports: I4) -> I2:
        chips = np.where(self.switch_row(nodes) >= 0, np.int16(0), np.int16(-1))
        several = [switch for switch in self.fabric.switches if switch.is_multi_chip]
        place = {
            (switch.node, port.number): [chip.label for chip in switch.chips].index(port.chip)
            for switch in several
            for port in switch.ports
        }
        rows = np.flatnonzero(np.isin(nodes, [switch.node for switch in several]))
        ends = zip(nodes[rows].tolist(), ports[rows].tolist(), strict=True)
        chips[rows] = [place[end] for end in ends]
        return chips

    def link_name(self, row: int) -> str:
        """Name `A~B` of a row of the link table."""
        return self.fabric.links[row].name


def _unsigned(node: I4) -> U8:
    return np.asarray(node, dtype=np.int64).astype(np.uint64)


def _pair(from_node: I4, to_node: I4) -> U8:
    return (_unsigned(from_node) << np.uint64(32)) | _unsigned(to_node)


def _node_lookup(nodes: I4) -> ColumnLookup:
    return ColumnLookup(_unsigned(nodes), np.arange(len(nodes), dtype=np.int32))


def _address_lookup(owners: list[tuple[str, int]]) -> AddressLookup:
    packed = np.frombuffer(b"".join(pack_address(a) for a, _ in owners), dtype="V16")
    return AddressLookup(*address_words(packed), np.array([node for _, node in owners], dtype=np.int32))


def _take(column: NDArray[_T], row: I4, absent: int | bool) -> NDArray[_T]:
    """column[row], or `absent` where row is -1."""
    if not len(column):
        return np.full(len(row), absent, dtype=column.dtype)
    taken = column[row]
    taken[row < 0] = absent
    return taken
