"""Packets that went where they should not: loops and wrong routes. A healthy network shows none."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from schemas.nodes import UNKNOWN_NODE
from schemas.rows import STRAYS, Leg
from streams.localise.align import WholeSlot
from streams.localise.finding import Finding, Kind
from streams.localise.findings import LEG_NAMES
from streams.localise.terrain import Terrain

WINDOW_US = 20_000_000
STRAYS_MIN = 3
ASIDE_MAX = 0.02
_KINDS: dict[int, Kind] = {5: "loop", 6: "wrong_route"}
_VERDICTS = {"loop": 5, "unexpected_path": 6}


@dataclass(slots=True)
class Strays:
    """Strays of the last WINDOW_US: (slot, verdict, from node, to node, leg, probes). JSON-able."""

    terrain: Terrain
    seen: deque[tuple[int, int, int, int, int, int]] = field(default_factory=deque)

    def add(self, slot: WholeSlot) -> None:
        """Take in a slot."""
        while self.seen and self.seen[0][0] <= slot.slot_us - WINDOW_US:
            self.seen.popleft()
        rows = np.frombuffer(b"".join(slot.table("strays")), STRAYS.dtype)
        for verdict, near, far, leg, probes in rows.tolist():
            self.seen.append((slot.slot_us, verdict, near, far, leg, probes))

    def findings(self, length_us: int) -> list[Finding]:
        """Every switch that sends packets astray now."""
        by_way: dict[tuple[int, int], list[tuple[int, int, int, int]]] = defaultdict(list)
        for slot_us, verdict, near, far, leg, probes in self.seen:
            by_way[verdict, near].append((slot_us, far, leg, probes))
        found = []
        most = max((sum(w[3] for w in ways) for ways in by_way.values()), default=0)
        for (verdict, near), ways in sorted(by_way.items()):
            total = sum(w[3] for w in ways)
            # A few packets are thrown off course elsewhere by a switch that throws off many.
            if verdict in _KINDS and total >= max(STRAYS_MIN, ASIDE_MAX * most):
                found.append(self._finding(_KINDS[verdict], near, ways, total, length_us))
        return found

    def _finding(
        self, kind: Kind, near: int, ways: list[tuple[int, int, int, int]], total: int, length_us: int
    ) -> Finding:
        name = self.terrain.fabric.node_name
        by_far: dict[int, int] = defaultdict(int)
        for _, far, _, probes in ways:
            by_far[far] += probes
        far = max(sorted(by_far), key=lambda f: by_far[f])
        switch = name(near)
        link = f"{switch}~{name(far)}" if far != UNKNOWN_NODE else ""
        suspects = ((link, 0.75), (switch, 0.2)) if link else ((switch, 0.8),)
        where = {switch, *(["<>".join(sorted((switch, name(far))))] if link else [])}
        return Finding(
            kind=kind,
            suspects=suspects,
            where=frozenset(where),
            direction=link,
            bad=total,
            total=0,
            first_seen_us=ways[0][0],
            last_seen_us=ways[-1][0] + length_us,
            legs=tuple(LEG_NAMES[Leg(leg)] for leg in sorted({w[2] for w in ways})),
        )

    def snapshot(self) -> list[list[Any]]:
        """Plain values."""
        return [list(s) for s in self.seen]

    def restore(self, values: list[list[Any]]) -> None:
        """Reverse of `snapshot`."""
        self.seen = deque(tuple(v) for v in values)
