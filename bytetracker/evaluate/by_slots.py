"""Methods that read the evidence: the published rule, and one like Pingmesh."""

from __future__ import annotations

import numpy as np

from bytetracker.evaluate.lives import FORGOTTEN_AFTER_US, Claim, PlainLives
from bytetracker.evaluate.methods import PINGMESH
from bytetracker.evaluate.pipeline import LoggedEvent
from fabric.model import Fabric
from schemas.rows import PAIRS
from streams.localise.align import WholeSlot
from streams.localise.marks import Marks
from streams.localise.tomography.pingmesh import detect

PAIR_MARK = "=>"


class MarksMethod:
    """The published rule: 5 marks within 10 s. See streams.localise.marks."""

    name = "5 marks"

    def __init__(self, fabric: Fabric) -> None:
        self.events: list[LoggedEvent] = []
        self._marks = Marks(fabric)
        self._lives = PlainLives()

    def add(self, slot: WholeSlot, log_us: int) -> None:
        claims = [Claim(f.kind, f.suspects, f.where) for f in self._marks.add(slot)]
        self.events += self._lives.step(claims, log_us)


class PingmeshMethod:
    """Pairs of switches that lose more than 1e-3 of their probes in a window. It names no element."""

    name = PINGMESH

    def __init__(self, fabric: Fabric, window_us: int) -> None:
        self.events: list[LoggedEvent] = []
        self._fabric = fabric
        self._window_us = window_us
        self._lives = PlainLives(max(FORGOTTEN_AFTER_US, 2 * window_us))
        self._rows: list[np.ndarray] = []
        self._end_us: int | None = None

    def add(self, slot: WholeSlot, log_us: int) -> None:
        if self._end_us is None:
            self._end_us = slot.slot_us + self._window_us
        self._rows += [np.frombuffer(part, PAIRS.dtype) for part in slot.table("pairs")]
        if slot.slot_us + slot.slot_length_us >= self._end_us:
            self._end_us += self._window_us
            rows, self._rows = np.concatenate(self._rows), []
            self.events += self._lives.step(self._claims(rows), log_us)

    def _claims(self, rows: np.ndarray) -> list[Claim]:
        sent, lost = rows["probes"].astype(np.int64), (rows["probes"] - rows["answered"]).astype(np.int64)
        claims = []
        for found in detect(rows["from_node"].astype(np.int32), rows["to_node"].astype(np.int32), sent, lost):
            name = pair_name(self._fabric, found.from_node, found.to_node)
            claims.append(Claim("network_loss", ((name, 1.0),), frozenset({name})))
        return claims


def pair_name(fabric: Fabric, from_node: int, to_node: int) -> str:
    """How a pair of switches is called where elements are expected."""
    return f"{fabric.node_name(from_node)}{PAIR_MARK}{fabric.node_name(to_node)}"
