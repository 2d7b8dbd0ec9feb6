"""The published rule, as a baseline: at least 5 last-seen marks on one switch within a short time.

A probe without a reply marks the switch where it was last seen. The next hop is not in the
evidence; it is guessed from the link out of the marked switch on which copies went missing compared
with what that link usually carries (the paper looks for a fall by more than 10 %). Source: ByteTracker,
SIGCOMM 2025. Its holes are known (see docs/decisions): marks are counted absolutely, so a heavy
fault together with mirror loss accuses upstream switches.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from schemas.nodes import SERVER_BASE, UNKNOWN_NODE
from streams.localise.align import WholeSlot
from streams.localise.finding import Finding, Kind

MARKS_MIN = 5
ALTERED_MIN = 2
WINDOW_US = 10_000_000
#: A link's usual traffic: its mean over so much time before the first mark on its near switch.
USUAL_US = 20_000_000
#: All that is said follows from evidence of so much time, and from what `Marks.snapshot` gives.
HISTORY_US = WINDOW_US + USUAL_US
#: The fall that makes a link the suspect, as a share of its usual traffic.
FALL_MIN = 0.10

Cell = tuple[int, int, int]  # from node, to node, leg


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is kept of a slot. `passed`: EVIDENCE rows in native order, of links up between switches and
    of all cells that lost or altered something in the window: nothing else is ever asked for."""

    slot_us: int
    length_us: int
    lost: list[tuple[int, int, int, int]]
    altered: list[tuple[int, int, int, int]]
    passed: NDArray[np.void]
    examples: list[tuple[int, int, int, int, int]]


@dataclass(slots=True)
class Marks:
    """Evidence of the last HISTORY_US, and the usual traffic of the links of marked switches: copies per
    slot and leg, learnt from the time before the first mark and kept until there are no more marks."""

    fabric: Fabric
    usual: dict[int, dict[Cell, float]] = field(default_factory=dict)
    #: The first slot with evidence is not a whole one; nothing is learnt from it.
    first_us: int | None = None
    history: deque[_Seen] = field(default_factory=deque)
    window: list[_Seen] = field(default_factory=list)

    def add(self, slot: WholeSlot) -> list[Finding]:
        """Take in one slot; returns what is wrong at its end."""
        self.remember(slot)
        self._learn({f for f, t, _, _ in self._cells("lost") if t == UNKNOWN_NODE})
        return self._losses() + self._alterations() + self._silent(slot)

    def remember(self, slot: WholeSlot) -> None:
        """Take in a slot that has been judged already, after a restart."""
        if self.first_us is None and len(slot.rows):
            self.first_us = slot.slot_us
        rows = slot.rows
        wrong = rows[(rows["lost"] > 0) | (rows["altered"] > 0)].tolist()
        lost = [(f, t, leg, lost) for f, t, leg, _, lost, _, _ in wrong if lost]
        altered = [(f, t, leg, altered) for f, t, leg, _, _, altered, _ in wrong if altered]
        examples = [
            (e["from_node"], e["to_node"], e["leg"], e["sent_at_us"], e["probe_id"]) for e in slot.examples
        ]
        while self.history and self.history[0].slot_us <= slot.slot_us - HISTORY_US:
            self.history.popleft()
        self.window = [s for s in self.history if s.slot_us > slot.slot_us - WINDOW_US]
        cells = {cell[:2] for seen in self.window for cell in seen.lost + seen.altered}
        cells |= {(f, t) for f, t, *_ in wrong}
        seen = _Seen(
            slot.slot_us, slot.slot_length_us, lost, altered, rows[self._is_asked_for(rows, cells)], examples
        )
        self.history.append(seen)
        self.window.append(seen)

    def snapshot(self) -> dict[str, Any]:
        """Plain values: what evidence of the last HISTORY_US does not tell."""
        usual = [[node, [[*cell, n] for cell, n in sorted(u.items())]] for node, u in self.usual.items()]
        return {"first_us": self.first_us, "usual": usual}

    def restore(self, values: dict[str, Any]) -> None:
        """Reverse of `snapshot`; the history has to be remembered next."""
        self.first_us = values["first_us"]
        self.usual = {node: {(f, t, leg): n for f, t, leg, n in u} for node, u in values["usual"]}

    def _is_asked_for(self, rows: NDArray[np.void], pairs: set[tuple[int, int]]) -> NDArray[np.bool_]:
        rank = self.fabric.index.rank_of
        near, far = rank(rows["from_node"]), rank(rows["to_node"])
        up: NDArray[np.bool_] = (near >= 0) & (far > near)
        if pairs:
            wanted = np.array([f << 32 | t & 0xFFFFFFFF for f, t in sorted(pairs)], np.int64)
            pair = rows["from_node"].astype(np.int64) << 32 | rows["to_node"].astype(np.int64) & 0xFFFFFFFF
            up |= np.isin(pair, wanted)
        return up & (rows["passed"] > 0)

    def _cells(self, what: str) -> list[tuple[int, int, int, int]]:
        return [cell for seen in self.window for cell in getattr(seen, what)]

    def _learn(self, marked: set[int]) -> None:
        """Usual traffic of newly marked switches, from the slots in which nothing was lost at them."""
        self.usual = {node: usual for node, usual in self.usual.items() if node in marked}
        for node in sorted(marked - self.usual.keys()):
            quiet = [
                seen
                for seen in self.history
                if seen.slot_us != self.first_us
                and len(seen.passed)
                and all(cell[:2] != (node, UNKNOWN_NODE) for cell in seen.lost)
            ]
            total: dict[Cell, int] = defaultdict(int)
            for seen in quiet:
                for f, t, leg, n in _passed_from(seen, {node}):
                    total[f, t, leg] += n
            self.usual[node] = {
                cell: copies / len(quiet) for cell, copies in total.items() if self._is_up(*cell[:2])
            }

    # -- losses ---------------------------------------------------------------------------------

    def _losses(self) -> list[Finding]:
        by_cell: dict[Cell, int] = defaultdict(int)
        for f, t, leg, lost in self._cells("lost"):
            by_cell[f, t, leg] += lost
        marks: dict[int, int] = defaultdict(int)
        findings: list[Finding] = []
        for (f, t, leg), lost in sorted(by_cell.items()):
            if t == UNKNOWN_NODE:
                marks[f] += lost
            elif lost >= MARKS_MIN:
                findings.append(self._at_known_link((f, t, leg), lost))
        at_switches = [self._at_switch(node, n) for node, n in sorted(marks.items()) if n >= MARKS_MIN]
        return findings + [f for f in at_switches if f is not None]

    def _at_known_link(self, cell: Cell, lost: int) -> Finding:
        f, t, _ = cell
        near, far = self.fabric.node_name(f), self.fabric.node_name(t)
        if SERVER_BASE <= t < 2 * SERVER_BASE:
            return self._finding(
                "host_silent", ((far, 0.95), (near, 0.05)), {far}, f"{near}~{far}", [cell], lost, (far,)
            )
        link = f"{near}~{far}"
        suspects = ((link, 0.8), (near, 0.1), (far, 0.1))
        return self._finding("network_loss", suspects, {_cable(near, far)}, link, [cell], lost)

    def _at_switch(self, node: int, lost: int) -> Finding | None:
        name = self.fabric.node_name(node)
        marked = {(f, t, leg) for f, t, leg, _ in self._cells("lost")}
        cells = sorted(cell for cell in marked if cell[:2] == (node, UNKNOWN_NODE))
        slots = [s for s in self.window if any(f == node for f, _, _, _ in s.lost)]
        link = self._fallen_link(node, {leg for _, _, leg in cells}, slots[0].slot_us)
        if link is None:
            # One slot more often shows which link it is.
            whole = self._finding("network_loss", ((name, 0.6),), {name}, "", cells, lost)
            return whole if len(slots) > 1 else None
        far = self.fabric.node_name(link[1])
        suspects = ((f"{name}~{far}", 0.7), (name, 0.15), (far, 0.15))
        crossed = [*cells, *((node, link[1], leg) for leg in (0, 1, 2))]
        where = {name, _cable(name, far)}
        return self._finding("network_loss", suspects, where, f"{name}~{far}", crossed, lost)

    def _fallen_link(self, node: int, legs: set[int], since_us: int) -> tuple[int, int] | None:
        """The link up from a switch whose traffic fell most clearly since the first mark: by more than
        FALL_MIN, and by the greatest number of standard deviations of a count. Only links up, because
        on the way down the join knows the next hop."""
        slots = [s for s in self.window if s.slot_us >= since_us]
        carried: dict[int, float] = defaultdict(float)
        for slot in slots:
            for _, t, leg, n in _passed_from(slot, {node}):
                if leg in legs:
                    carried[t] += n
        usual: dict[int, float] = defaultdict(float)
        for (_, t, leg), copies in self.usual[node].items():
            if leg in legs:
                usual[t] += copies * len(slots)
        fall = {t: n - carried[t] for t, n in usual.items() if n - carried[t] > FALL_MIN * n}
        return (node, max(sorted(fall), key=lambda t: fall[t] / math.sqrt(usual[t]))) if fall else None

    def _is_up(self, near: int, far: int) -> bool:
        ranks = self.fabric.index.rank_of(np.array([near, far], np.int32))
        return bool(ranks[1] > ranks[0])

    # -- altered content and silent sources -------------------------------------------------------

    def _alterations(self) -> list[Finding]:
        by_cell: dict[Cell, int] = defaultdict(int)
        for f, t, leg, altered in self._cells("altered"):
            by_cell[f, t, leg] += altered
        findings = []
        for (f, t, leg), altered in sorted(by_cell.items()):
            if altered >= ALTERED_MIN:
                near = self.fabric.node_name(f)
                if t == UNKNOWN_NODE:
                    suspects: tuple[tuple[str, float], ...] = ((near, 0.6),)
                    link = ""
                else:
                    far = self.fabric.node_name(t)
                    link = f"{near}~{far}"
                    suspects = ((link, 0.8), (near, 0.1), (far, 0.1))
                findings.append(
                    self._finding("alteration", suspects, {link or near}, link, [(f, t, leg)], altered)
                )
        return findings

    def _silent(self, slot: WholeSlot) -> list[Finding]:
        end_us = slot.slot_us + slot.slot_length_us
        return [
            Finding("source_silent", ((s, 1.0),), frozenset({s}), "", 0, 0, end_us, end_us, (), ())
            for s in slot.silent_sources
        ]

    # -- shared -----------------------------------------------------------------------------------

    def _finding(
        self,
        kind: Kind,
        suspects: tuple[tuple[str, float], ...],
        where: set[str],
        direction: str,
        cells: list[Cell],
        bad: int,
        servers: tuple[str, ...] = (),
    ) -> Finding:
        wanted = set(cells)
        what = "altered" if kind == "alteration" else "lost"
        hit = [s for s in self.window if any(c[:3] in wanted for c in getattr(s, what))]
        examples = sorted((e[3], e[4]) for s in hit for e in s.examples if e[:3] in wanted)
        since_us = hit[0].slot_us
        near = {f for f, _, _ in wanted}
        crossed = (
            n
            for s in self.window
            if s.slot_us >= since_us
            for f, t, leg, n in _passed_from(s, near)
            if (f, t, leg) in wanted
        )
        # Where the link is not known, neither is how many probes crossed it.
        total = bad + sum(crossed) if direction else 0
        first_us = examples[0][0] if examples else since_us
        last = hit[-1]
        return Finding(
            kind,
            suspects,
            frozenset(where),
            direction,
            bad,
            total,
            first_us,
            last.slot_us + last.length_us,
            servers,
            tuple((probe_id, sent_at_us) for sent_at_us, probe_id in examples[:5]),
        )


def _passed_from(seen: _Seen, nodes: set[int]) -> list[tuple[int, int, int, int]]:
    """From, to, leg and count of what passed on the links of some nodes."""
    mine = seen.passed[np.isin(seen.passed["from_node"], list(nodes))]
    return [(f, t, leg, n) for f, t, leg, n, *_ in mine.tolist()]


def _cable(near: str, far: str) -> str:
    """One name for both directions: a cable that is cut is one cause."""
    return "<>".join(sorted((near, far)))
