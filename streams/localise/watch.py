"""Faults of the watching itself: mirrors that are dark, sources that have fallen silent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streams.localise.finding import Finding, Kind
from streams.localise.history import EventLog, Traffic
from streams.localise.terrain import Terrain

WINDOW_US = 3_000_000
LATELY_US = 1_000_000
#: A mirror that loses more than this share of its copies, and at least so many, is a fault.
SHARE_MIN, MISSING_MIN = 0.10, 30
#: A switch of which so many copies were seen lately, and none now, has fallen silent.
GONE_MIN = 300
#: There are as many copies of all switches as usual, or less than usual by no more than this share.
GOING_ON_MIN = 0.7
#: What is lost is less than this share of what used to come to a switch: it is not missing for that.
LOST_SHARE = 0.5
#: If so many of a collector's exporters of which copies are missing are dark at once, and so many of all
#: its exporters, it is the collector.
OF_COLLECTOR_MIN = 0.5
OF_ALL_MIN = 0.2


@dataclass(frozen=True, slots=True)
class _Outage:
    kind: Kind
    name: str
    where: frozenset[str]
    missing: int
    copies: int  # that there should have been
    note: str


@dataclass(slots=True)
class Watch:
    """Silent sources and dark mirrors. JSON-able: `since_us` is when each began, `plain_us` when most of a
    collector's exporters were dark last."""

    terrain: Terrain
    since_us: dict[str, int] = field(default_factory=dict)
    plain_us: dict[str, int] = field(default_factory=dict)
    _exporters: dict[str, NDArray[np.int64]] = field(init=False)  # switch rows of each collector

    def __post_init__(self) -> None:
        fabric = self.terrain.fabric
        rows: dict[str, list[int]] = {collector.name: [] for collector in fabric.collectors}
        for row, switch in enumerate(fabric.switches):
            collector = fabric.collector_of(switch)
            if collector is not None:
                rows[collector.name].append(row)
        self._exporters = {name: np.array(mine, np.int64) for name, mine in rows.items()}

    def findings(
        self,
        silent: Iterable[str],
        traffic: Traffic,
        now_us: int,
        slot_us: int,
        others: Sequence[Finding],
        lost: EventLog,
    ) -> list[Finding]:
        """What is wrong at the end of a slot. `silent`: names of sources. `others`: what else is wrong;
        `lost`: what was lost where."""
        found = [self._silent(name) for name in sorted(silent)]
        no_source_silent = not found
        found += self._dark(traffic, now_us, {name for outage in found for name in outage.where})
        if no_source_silent:
            explained = {name for outage in found for name in outage.where} | _touched(others)
            lost_lately = int(lost.since(now_us - WINDOW_US).count.sum())
            found += self._gone(traffic, now_us, explained, lost_lately)
        names = {outage.name for outage in found}
        self.since_us = {name: at for name, at in self.since_us.items() if name in names}
        return [
            Finding(
                kind=outage.kind,
                suspects=((outage.name, 0.95),),
                where=outage.where,
                direction="",
                bad=outage.missing,
                total=outage.copies,
                first_seen_us=self.since_us.setdefault(outage.name, slot_us),
                last_seen_us=now_us,
                note=outage.note,
            )
            for outage in found
        ]

    def _silent(self, name: str) -> _Outage:
        if name in self.terrain.fabric.prober_by_name:
            note = "no outcome of its probes comes in"
            return _Outage("prober_outage", name, frozenset({name}), 0, 0, note)
        if name in self._exporters:
            return _Outage("mirror_outage", name, self._where(name), 0, 0, "no mirror copy comes from it")
        return _Outage("source_silent", name, frozenset({name}), 0, 0, "")

    def _where(self, collector: str) -> frozenset[str]:
        names = (self.terrain.switch_name(row) for row in self._exporters[collector].tolist())
        return frozenset({collector, *names})

    def _dark(self, traffic: Traffic, now_us: int, explained: set[str]) -> list[_Outage]:
        came, unseen = traffic.mirrored(now_us - WINDOW_US)
        is_dark = (unseen >= MISSING_MIN) & (unseen > SHARE_MIN * came)
        came_lately, unseen_lately = traffic.mirrored(now_us - LATELY_US)
        is_dark &= unseen_lately > SHARE_MIN * came_lately
        if not is_dark.any():
            return []
        found: list[_Outage] = []
        for collector, rows in self._exporters.items():
            suspect = rows[unseen[rows] > 0]
            dark = suspect[is_dark[suspect]]
            if len(dark) > max(1, OF_ALL_MIN * len(rows)) and len(dark) >= OF_COLLECTOR_MIN * len(suspect):
                self.plain_us[collector] = now_us
            # When it comes back, some of its exporters look dark for as long as the window reaches.
            if len(dark) and now_us - self.plain_us.get(collector, -WINDOW_US - 1) <= WINDOW_US:
                where = self._where(collector)
                if collector not in explained:
                    note = "copies of most of its switches are missing"
                    missing, copies = int(unseen[dark].sum()), int(came[dark].sum())
                    found.append(_Outage("mirror_outage", collector, where, missing, copies, note))
                explained = explained | where
        for row in np.flatnonzero(is_dark).tolist():
            name = self.terrain.switch_name(row)
            if name not in explained:
                note = f"{unseen[row] / came[row]:.0%} of its mirror copies are missing"
                where = frozenset({name})
                found.append(_Outage("mirror_outage", name, where, int(unseen[row]), int(came[row]), note))
        return found

    def _gone(self, traffic: Traffic, now_us: int, explained: set[str], lost: int) -> list[_Outage]:
        """Switches that were seen and are not any more: where several could have been passed instead, it
        does not show which copy is missing. Packets must still pass them: far fewer are lost than used to
        come there, and no fault is about them."""
        before, _ = traffic.mirrored(0)
        lately, _ = traffic.mirrored(now_us - WINDOW_US)
        share = WINDOW_US / max(WINDOW_US, traffic.length_us)
        if lately.sum() < GOING_ON_MIN * share * before.sum():
            return []  # probing itself has ended, or rests
        found = []
        for row in np.flatnonzero(lately == 0).tolist():
            name = self.terrain.switch_name(row)
            if name in explained or lost > LOST_SHARE * share * before[row]:
                continue
            if before[row] >= GONE_MIN or name in self.since_us:
                note = "none of its mirror copies comes any more"
                found.append(_Outage("mirror_outage", name, frozenset({name}), 0, 0, note))
        return found

    def snapshot(self) -> dict[str, dict[str, int]]:
        """Plain values."""
        return {"since_us": dict(self.since_us), "plain_us": dict(self.plain_us)}

    def restore(self, values: dict[str, dict[str, int]]) -> None:
        """Reverse of `snapshot`."""
        self.since_us, self.plain_us = dict(values["since_us"]), dict(values["plain_us"])


def _touched(findings: Sequence[Finding]) -> set[str]:
    """Names of the switches that findings are about."""
    names = {name for finding in findings for name, _ in finding.suspects if "~" not in name}
    return names | {name.split("/")[0] for name in names}
