"""Faults of the watching itself: mirrors that are dark, sources that have fallen silent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streams.localise.finding import Finding
from streams.localise.history import Traffic
from streams.localise.terrain import Terrain

WINDOW_US = 3_000_000
#: A mirror that loses more than this share of its copies, and at least so many, is a fault.
SHARE_MIN, MISSING_MIN = 0.10, 30
#: If so many of a collector's exporters are dark at once, it is the collector.
OF_COLLECTOR_MIN = 0.5


@dataclass(slots=True)
class Watch:
    """Silent sources and dark mirrors. JSON-able: `since_us` is when each began."""

    terrain: Terrain
    since_us: dict[str, int] = field(default_factory=dict)

    def findings(self, silent: Iterable[str], traffic: Traffic, now_us: int, slot_us: int) -> list[Finding]:
        """What is wrong at the end of a slot. `silent`: names of sources."""
        found = [self._silent(name) for name in sorted(silent)]
        found += self._dark(traffic, now_us, {element for f in found for element in f[2]})
        names = {f[1] for f in found}
        self.since_us = {name: at for name, at in self.since_us.items() if name in names}
        result = []
        for kind, name, where, bad, total, note in found:
            begun_us = self.since_us.setdefault(name, slot_us)
            result.append(
                Finding(
                    kind=kind,
                    suspects=((name, 0.95),),
                    where=frozenset(where),
                    direction="",
                    bad=bad,
                    total=total,
                    first_seen_us=begun_us,
                    last_seen_us=now_us,
                    note=note,
                )
            )
        return result

    def _silent(self, name: str) -> tuple[Any, str, set[str], int, int, str]:
        fabric = self.terrain.fabric
        if name in fabric.prober_by_name:
            return "prober_outage", name, {name}, 0, 0, "no outcome of its probes comes in"
        if any(c.name == name for c in fabric.collectors):
            exporters = {s.name for s in fabric.switches if _collector(fabric, s) == name}
            return "mirror_outage", name, {name, *exporters}, 0, 0, "no mirror copy comes from it"
        return "source_silent", name, {name}, 0, 0, ""

    def _dark(
        self, traffic: Traffic, now_us: int, explained: set[str]
    ) -> list[tuple[Any, str, set[str], int, int, str]]:
        terrain, fabric = self.terrain, self.terrain.fabric
        came, gone = traffic.mirrored(now_us - WINDOW_US)
        dark = np.flatnonzero((gone >= MISSING_MIN) & (gone > SHARE_MIN * came))
        names = {terrain.switch_name(int(s)): int(s) for s in dark}
        found: list[tuple[Any, str, set[str], int, int, str]] = []
        for collector in fabric.collectors:
            mine = {s.name for s in fabric.switches if _collector(fabric, s) == collector.name}
            seen = {name for name in mine if came[fabric.index.switch_row(_one(fabric.node(name)))[0]] > 0}
            if len(seen) > 1 and len(seen & names.keys()) >= OF_COLLECTOR_MIN * len(seen):
                if collector.name not in explained:
                    rows = [names[n] for n in sorted(seen & names.keys())]
                    found.append(
                        (
                            "mirror_outage",
                            collector.name,
                            {collector.name, *mine},
                            int(gone[rows].sum()),
                            int(came[rows].sum()),
                            "copies of most of its switches are missing",
                        )
                    )
                explained = explained | mine
        for name, s in sorted(names.items()):
            if name not in explained:
                share = gone[s] / came[s]
                found.append(
                    (
                        "mirror_outage",
                        name,
                        {name},
                        int(gone[s]),
                        int(came[s]),
                        f"{share:.0%} of its mirror copies are missing",
                    )
                )
        return found

    def snapshot(self) -> dict[str, int]:
        """Plain values."""
        return dict(self.since_us)

    def restore(self, values: dict[str, int]) -> None:
        """Reverse of `snapshot`."""
        self.since_us = dict(values)


def _collector(fabric: Any, switch: Any) -> str:
    collector = fabric.collector_of(switch)
    return collector.name if collector is not None else ""


def _one(node: int) -> np.ndarray:
    return np.array([node], np.int32)
