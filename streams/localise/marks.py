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
from typing import Any, Literal

import numpy as np

from fabric.model import Fabric
from schemas.nodes import SERVER_BASE, UNKNOWN_NODE
from streams.localise.align import WholeSlot

MARKS_MIN = 5
ALTERED_MIN = 2
WINDOW_US = 10_000_000
#: A link's usual traffic: moving average over about so many slots.
USUAL_SLOTS = 20
#: The fall that makes a link the suspect, as a share of its usual traffic.
FALL_MIN = 0.10

Kind = Literal["network_loss", "alteration", "host_silent", "source_silent"]
Cell = tuple[int, int, int]  # from node, to node, leg


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong now. `suspects`: names with confidence, most likely first. `where`: the
    elements by which findings of later slots are recognised as the same."""

    kind: Kind
    suspects: tuple[tuple[str, float], ...]
    where: frozenset[str]
    direction: str
    bad: int
    total: int
    first_seen_us: int
    last_seen_us: int
    servers: tuple[str, ...]
    examples: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Marks:
    """Marks of the last WINDOW_US. `usual`: copies per slot that a link and leg carries when healthy."""

    fabric: Fabric
    usual: dict[Cell, float] = field(default_factory=dict)
    learnt_slots: int = 0
    window: deque[dict[str, Any]] = field(default_factory=deque)

    def add(self, slot: WholeSlot) -> list[Finding]:
        """Take in one slot; returns what is wrong at its end."""
        wrong = slot.rows[(slot.rows["lost"] > 0) | (slot.rows["altered"] > 0)].tolist()
        passed = {(f, t, leg): n for f, t, leg, n, *_ in slot.rows.tolist() if n}
        self.window.append(
            {
                "slot_us": slot.slot_us,
                "length_us": slot.slot_length_us,
                "lost": [[f, t, leg, lost] for f, t, leg, _, lost, _, _ in wrong if lost],
                "altered": [[f, t, leg, altered] for f, t, leg, _, _, altered, _ in wrong if altered],
                "passed": [[*cell, n] for cell, n in passed.items()],
                "examples": [
                    [e["from_node"], e["to_node"], e["leg"], e["sent_at_us"], e["probe_id"]]
                    for e in slot.examples
                ],
            }
        )
        while self.window[0]["slot_us"] <= slot.slot_us - WINDOW_US:
            self.window.popleft()
        findings = self._losses() + self._alterations() + self._silent(slot)
        self._learn(passed, {f for f, _, _, _ in self._cells("lost")})
        return findings

    def _cells(self, what: str) -> list[tuple[int, int, int, int]]:
        return [tuple(cell) for slot in self.window for cell in slot[what]]

    def _learn(self, passed: dict[Cell, int], marked: set[int]) -> None:
        """Usual traffic, learnt only where nothing is wrong. The first slot is not a whole one."""
        self.learnt_slots += 1
        if self.learnt_slots == 1:
            return
        weight = 1 / min(self.learnt_slots - 1, USUAL_SLOTS)
        for cell in self.usual.keys() | passed.keys():
            if cell[0] not in marked:
                before = self.usual.get(cell, 0.0)
                self.usual[cell] = before + (passed.get(cell, 0) - before) * weight

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
        slots = [s for s in self.window if any(f == node for f, _, _, _ in s["lost"])]
        link = self._fallen_link(node, {leg for _, _, leg in cells}, slots[0]["slot_us"])
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
        slots = [s for s in self.window if s["slot_us"] >= since_us]
        carried: dict[int, float] = defaultdict(float)
        for slot in slots:
            for f, t, leg, n in slot["passed"]:
                if f == node and leg in legs:
                    carried[t] += n
        usual: dict[int, float] = defaultdict(float)
        for (f, t, leg), n in self.usual.items():
            if f == node and leg in legs and self._is_up(f, t):
                usual[t] += n * len(slots)
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
        hit = [s for s in self.window if any(tuple(c[:3]) in wanted for c in s[what])]
        examples = sorted((e[3], e[4]) for s in hit for e in s["examples"] if tuple(e[:3]) in wanted)
        since = hit[0]["slot_us"]
        crossed = (
            n
            for s in self.window
            if s["slot_us"] >= since
            for *cell, n in s["passed"]
            if tuple(cell) in wanted
        )
        # Where the link is not known, neither is how many probes crossed it.
        total = bad + sum(crossed) if direction else 0
        first_us = examples[0][0] if examples else hit[0]["slot_us"]
        last = hit[-1]
        return Finding(
            kind,
            suspects,
            frozenset(where),
            direction,
            bad,
            total,
            first_us,
            last["slot_us"] + last["length_us"],
            servers,
            tuple((probe_id, sent_at_us) for sent_at_us, probe_id in examples[:5]),
        )


def _cable(near: str, far: str) -> str:
    """One name for both directions: a cable that is cut is one cause."""
    return "<>".join(sorted((near, far)))
