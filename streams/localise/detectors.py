"""All detectors together: a slot of evidence in, everything that is wrong at its end out. Pure.

What is found follows from the evidence of the last HISTORY_US and from `snapshot`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from schemas.rows import BITS, BLIND, FATES, PAIRS, PATHS
from streams.localise.align import WholeSlot
from streams.localise.black_holes import BlackHoles
from streams.localise.blind import BlindDetector
from streams.localise.counts import SlotCounts, Spots, count
from streams.localise.coverage import CoverageMonitor
from streams.localise.explain import Alarms, Cause, explain
from streams.localise.finding import AlteredBit, Finding
from streams.localise.findings import ExampleStore, Reporter
from streams.localise.history import HISTORY_US, EventLog, Traffic, TurnTraffic, counted
from streams.localise.placing import Placing
from streams.localise.scene import Scene
from streams.localise.sequential import LOST_MIN
from streams.localise.strays import Strays
from streams.localise.suspicion import Suspicion, repeated
from streams.localise.terrain import Terrain
from streams.localise.watch import Watch

__all__ = ["HISTORY_US", "Detectors"]

#: Two altered packets at one place within this time are no accident.
ALTERED_WINDOW_US = 300_000_000
ALTERED_MIN = 2
#: An alteration is still there if there was a sign of it within this time.
ALTERED_QUIET_US = 30_000_000
BITS_MAX = 64
#: Probes without a copy, of which so many are answered, were not lost before the first mirror.
UNSEEN_SHARE = 0.1
#: A slot begins before the probes in it were sent.
SLOT_US_MAX = 1_000_000
#: Chance that a healthy place alters a packet: as good as none.
ALTERED_RATE = 1e-9

_LOST = frozenset({"network_loss", "host_silent", "unobserved"})
_ALTERED = frozenset({"altered", "corrupted"})


class Detectors:
    """State of all detectors of a fabric."""

    def __init__(self, fabric: Fabric) -> None:
        self._terrain = terrain = Terrain(fabric)
        self._traffic, self._turn_traffic = Traffic(terrain), TurnTraffic()
        self._suspicion = Suspicion(terrain)
        self._lost, self._lost_turns = EventLog(), EventLog()
        self._altered, self._altered_turns = EventLog(), EventLog()
        self._damaged = EventLog()  # copies, by the row of the switch that mirrored them
        self._lost_examples = ExampleStore(terrain, _LOST)
        self._altered_examples = ExampleStore(terrain, _ALTERED)
        self._bits: deque[tuple[int, int, int, int, int, int]] = deque()
        self._placing = Placing(terrain)
        self._black_holes = BlackHoles(terrain)
        self._strays = Strays(terrain)
        self._watch = Watch(terrain)
        self._coverage = CoverageMonitor(terrain)
        self._blind = BlindDetector(fabric)
        self._report = Reporter(terrain)

    def remember(self, slot: WholeSlot) -> None:
        """Take in a slot that has been judged already, after a restart."""
        counts = self._look(slot)
        self._suspicion.remember(counts)

    def add(self, slot: WholeSlot) -> list[Finding]:
        """Take in a slot; everything that is wrong at its end."""
        counts = self._look(slot)
        counts = replace(counts, lost=self._placing(counts.lost, counts.end_us))
        self._note_events(slot, counts)
        alarms = self._suspicion.step(counts, self._traffic)
        altered = self._alterations(counts)
        found = _not_of_altered(self._losses(alarms, counts), altered) + altered
        self._strays.add(slot)
        found += self._strays.findings(counts.length_us)
        found += self._watch.findings(
            slot.silent_sources, self._traffic, counts.end_us, counts.slot_us, found, self._lost
        )
        seen = {name for finding in found for name in finding.where}
        found += [f for f in self._blind.findings(counts.end_us) if not _names_of(f) & seen]
        # What lies behind a fault is not crossed because of it.
        explained = {name for finding in found for name in finding.where}
        return found + self._coverage.findings(counts.end_us, explained)

    def coverage_reports(self, now_us: int) -> list[dict[str, Any]]:
        """Records of the topic coverage that are due at the end of the slot that was added last."""
        return self._coverage.reports(now_us)

    def _look(self, slot: WholeSlot) -> SlotCounts:
        """The counts of a slot, after everything that only remembers has seen them."""
        blind = np.frombuffer(b"".join(slot.table("blind")), BLIND.dtype)
        counts = self._without_unseen(count(slot, self._terrain), blind)
        self._traffic.add(counts)
        self._turn_traffic.add(counts)
        self._coverage.add(counts)
        pairs = np.frombuffer(b"".join(slot.table("pairs")), PAIRS.dtype)
        self._blind.learn(slot.slot_us, np.frombuffer(b"".join(slot.table("paths")), PATHS.dtype))
        self._blind.add(slot.slot_us, slot.slot_length_us, blind, pairs)
        return counts

    def _without_unseen(self, counts: SlotCounts, blind: NDArray[np.void]) -> SlotCounts:
        """Probes that nobody saw were lost on the cable of their Prober, if none that was answered went
        unseen. If some did, nothing is mirrored, and the cable is not to blame."""
        if not len(blind):
            return counts
        prober, at = np.unique(blind["prober"].astype(np.int32), return_inverse=True)
        sent = np.bincount(at, blind["sent"].astype(np.int64))
        answered = sent - np.bincount(at, blind["lost"].astype(np.int64))
        dark = prober[answered > UNSEEN_SHARE * sent]
        near = self._terrain.index.link_from
        spots = counts.lost
        on_link = spots.cell < self._terrain.links
        keep = ~(on_link & np.isin(near[np.where(on_link, spots.cell, 0)], dark))
        return replace(counts, lost=Spots(spots.cell[keep], spots.leg[keep], spots.count[keep]))

    def _note_events(self, slot: WholeSlot, counts: SlotCounts) -> None:
        at, turn = counts.slot_us, counts.turn
        no_leg = np.zeros(len(turn), np.int64)
        for log, turn_log, spots, turns in (
            (self._lost, self._lost_turns, counts.lost, counts.turn_lost),
            (self._altered, self._altered_turns, counts.altered, counts.turn_altered),
        ):
            log.add_spots(at, spots)
            hit = turns > 0
            turn_log.add(at, turn[hit], no_leg[hit], turns[hit])
        if slot.damaged:
            nodes, number = np.array(slot.damaged, np.int64).T
            row = self._terrain.index.switch_row(nodes.astype(np.int32)).astype(np.int64)
            known = row >= 0
            self._damaged.add(at, row[known], np.zeros(int(known.sum()), np.int64), number[known])
        self._black_holes.add(at, np.frombuffer(b"".join(slot.table("fates")), FATES.dtype))
        records = slot.examples
        for store in (self._lost_examples, self._altered_examples):
            store.add(records, at - ALTERED_WINDOW_US)
        while self._bits and self._bits[0][0] <= at - ALTERED_WINDOW_US:
            self._bits.popleft()
        rows = np.frombuffer(b"".join(slot.table("bits")), BITS.dtype)
        cell = self._terrain.cell_of(rows["from_node"].astype(np.int32), rows["to_node"].astype(np.int32))
        for where, (_, _, _, byte, bit, one, zero) in zip(cell.tolist(), rows.tolist(), strict=True):
            self._bits.append((at, where, byte, bit, one, zero))

    # -- losses ---------------------------------------------------------------------------------------

    def _losses(self, alarms: Alarms, counts: SlotCounts) -> list[Finding]:
        if not (alarms.cells or alarms.switches or alarms.into or alarms.chips or alarms.pairs):
            return []
        scene = Scene(
            self._terrain,
            self._traffic,
            self._lost,
            self._lost_turns,
            self._turn_traffic,
            self._suspicion.background.expected,
            counts.end_us,
            LOST_MIN,
        )
        causes = explain(scene, alarms)
        examples = self._lost_examples.by_cell
        return self._report("network_loss", causes, scene, examples, counts.length_us, self._black_holes)

    # -- alterations ----------------------------------------------------------------------------------

    def _alterations(self, counts: SlotCounts) -> list[Finding]:
        since_us = counts.end_us - ALTERED_WINDOW_US
        switches = np.arange(self._terrain.switches)
        alarms = repeated(
            self._altered,
            self._terrain,
            self._altered_turns,
            since_us,
            ALTERED_MIN,
            self._suspicion.background.mirror_loss,
            counted(self._damaged.since(since_us), switches).astype(np.float64),
        )
        if not (alarms.cells or alarms.switches):
            return []
        scene = Scene(
            self._terrain,
            self._traffic,
            self._altered,
            self._altered_turns,
            self._turn_traffic,
            _never_altered,
            counts.end_us,
            ALTERED_MIN,
            at_servers=False,  # a server's kernel drops what was altered last, and nobody sees why
        )
        causes = [
            c
            for c in explain(scene, alarms)
            if counts.end_us - scene.span(c.hit, c.since_us)[1] <= ALTERED_QUIET_US
        ]
        found = self._report("alteration", causes, scene, self._altered_examples.by_cell, counts.length_us)
        return [self._with_bits(finding, causes) for finding in found]

    def _with_bits(self, finding: Finding, causes: list[Cause]) -> Finding:
        cells = {
            int(c)
            for cause in causes
            for c in (*cause.hit.tolist(), self._terrain.beyond(cause.switch))
            if self._terrain.cell_names(int(c)) & finding.where
        }
        total: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        for at, where, byte, bit, one, zero in self._bits:
            if where in cells and at + SLOT_US_MAX >= finding.first_seen_us:
                total[byte, bit][0] += one
                total[byte, bit][1] += zero
        bits = sorted(total.items(), key=lambda b: (-sum(b[1]), b[0]))[:BITS_MAX]
        return replace(
            finding, bits=tuple(AlteredBit(byte, bit, one, zero) for (byte, bit), (one, zero) in bits)
        )

    # -- state ----------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Plain values: what evidence of the last HISTORY_US does not tell."""
        return {
            "suspicion": self._suspicion.snapshot(),
            "lost": self._lost.snapshot(),
            "lost_turns": self._lost_turns.snapshot(),
            "altered": self._altered.snapshot(),
            "altered_turns": self._altered_turns.snapshot(),
            "damaged": self._damaged.snapshot(),
            "lost_examples": self._lost_examples.snapshot(),
            "altered_examples": self._altered_examples.snapshot(),
            "bits": [list(b) for b in self._bits],
            "placing": self._placing.snapshot(),
            "black_holes": self._black_holes.snapshot(),
            "strays": self._strays.snapshot(),
            "watch": self._watch.snapshot(),
            "coverage": self._coverage.snapshot(),
            "blind": self._blind.snapshot(),
        }

    def restore(self, values: dict[str, Any]) -> None:
        """Reverse of `snapshot`; the history has to be remembered next."""
        self._suspicion.restore(values["suspicion"])
        self._lost = EventLog.restore(values["lost"])
        self._lost_turns = EventLog.restore(values["lost_turns"])
        self._altered = EventLog.restore(values["altered"])
        self._altered_turns = EventLog.restore(values["altered_turns"])
        self._damaged = EventLog.restore(values["damaged"])
        self._lost_examples.restore(values["lost_examples"])
        self._altered_examples.restore(values["altered_examples"])
        self._bits = deque(tuple(b) for b in values["bits"])
        self._placing.restore(values["placing"])
        self._black_holes.restore(values["black_holes"])
        self._strays.restore(values["strays"])
        self._watch.restore(values["watch"])
        self._coverage.restore(values["coverage"])
        self._blind.restore(values["blind"])


def _never_altered(cells: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.full(len(cells), ALTERED_RATE)


def _names_of(finding: Finding) -> set[str]:
    """What a finding names, cables by the name of both directions."""
    suspects = {name for name, _ in finding.suspects}
    return set(finding.where) | {"<>".join(sorted(n.split("~"))) if "~" in n else n for n in suspects}


def _not_of_altered(losses: list[Finding], altered: list[Finding]) -> list[Finding]:
    """Losses without those that a switch which alters packets explains: its servers drop them."""
    altering = {finding.suspects[0][0] for finding in altered}
    return [
        loss
        for loss in losses
        if loss.suspects[0][0] not in altering
        and not (loss.kind == "host_silent" and loss.direction.split("~")[0] in altering)
    ]
