"""Node numbers to names, for whole columns at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fabric.lookup import ColumnLookup
from fabric.model import CHIP_SEPARATOR, Fabric, Prober, Server, Switch
from schemas.nodes import UNKNOWN_NODE


class NodeNames:
    """Names of the nodes of one fabric. Immutable."""

    def __init__(self, fabric: Fabric) -> None:
        self._names: NDArray[np.object_]
        nodes: list[Switch | Server | Prober] = [*fabric.switches, *fabric.servers, *fabric.probers]
        self._fabric = fabric
        self._names = np.array([node.name for node in nodes], dtype=object)
        keys = np.array([node.node for node in nodes], dtype=np.uint64)
        self._rows = ColumnLookup(keys, np.arange(len(nodes), dtype=np.int32))
        self._chips = {s.node: [chip.name for chip in s.chips] for s in fabric.switches}

    def __call__(self, nodes: NDArray[np.int32]) -> NDArray[np.object_]:
        """i4[n] -> str[n]: the name; empty for -1, "not known"; `node:N` for a number that the inventory
        does not have (evidence outlives inventories)."""
        nodes = np.asarray(nodes, dtype=np.int64)
        rows = self._rows(nodes.astype(np.uint64))
        unknown = np.flatnonzero(rows < 0)
        if not len(unknown):
            return self._names[rows]
        names = np.empty(len(nodes), dtype=object)
        known = rows >= 0
        names[known] = self._names[rows[known]]
        values, where = np.unique(nodes[unknown], return_inverse=True)
        new = ["" if n == UNKNOWN_NODE else self._fabric.node_name(int(n)) for n in values]
        names[unknown] = np.array(new, dtype=object)[where]
        return names

    def chips(self, switches: NDArray[np.int32], places: NDArray[np.int16]) -> NDArray[np.object_]:
        """Switch and place in its list of chips, i4[n] and i2[n] -> str[n]: the chip's name; empty for -1,
        "not known"; `SWITCH/chip:N` where the inventory has no such chip."""
        pair = np.stack([np.asarray(switches, np.int64), np.asarray(places, np.int64)], axis=1)
        values, where = np.unique(pair, axis=0, return_inverse=True)
        named = np.array([self._chip(switch, place) for switch, place in values.tolist()], dtype=object)
        return named[where.ravel()]

    def _chip(self, switch: int, place: int) -> str:
        if place == -1:
            return ""
        chips = self._chips.get(switch, ())
        if 0 <= place < len(chips):
            return chips[place]
        return f"{self._fabric.node_name(switch)}{CHIP_SEPARATOR}chip:{place}"
