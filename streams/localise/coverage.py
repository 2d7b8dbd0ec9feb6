"""What probes have crossed lately, and what they have not: nobody would see a fault there.

An element (fabric.coverage) is *seen* in a slot if packets crossed it, or were lost or altered on it: then
there is something to judge it by. So a port to a server that is down is seen, and a port that nothing is
sent to is not. An element that can be crossed and stays unseen is a coverage gap.

The times of the last sightings are dense, one number an element. After a restart they are rebuilt from the
history of the log that is read again; those that are older than that are stored, to the second.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Set
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabric.coverage import ELEMENT_CLASSES, Elements
from streams.localise.counts import SlotCounts
from streams.localise.finding import Finding
from streams.localise.gaps import Gaps
from streams.localise.terrain import Terrain

I4 = NDArray[np.int32]
I8 = NDArray[np.int64]

#: Unseen for so long is a gap. The default plan leaves nothing unseen for so long in any built-in fabric
#: (docs/decisions/0020); with chosen flows a tenth of it would do.
GAP_AFTER_US = 300_000_000
REPORT_EVERY_US = 10_000_000
UNSEEN_MAX = 1_000

_NEVER_US = -1
_LOOK_EVERY_US = 1_000_000
#: Sightings younger than this are in the history that is read again after a restart.
_AGE_MIN_S = 20
_AGE_MAX_S = 65_535


class CoverageMonitor:
    """Last sightings of all elements of a fabric. Pure: time is that of the slots."""

    def __init__(self, terrain: Terrain, gap_after_us: int = GAP_AFTER_US) -> None:
        self.elements = elements = Elements(terrain.fabric)
        self._gap_after_us = gap_after_us
        self._crossable = np.flatnonzero(elements.crossable).astype(np.int32)
        self._links = terrain.links
        # Sightings are kept by link and turn, as slots tell them; an element is seen when one of its two is.
        self._seen_by = _sources(elements, terrain)
        self._seen_us: I8 = np.full(terrain.links + terrain.turns + 1, _NEVER_US, np.int64)
        #: Times of elements as restored from a snapshot.
        self._restored_us: I8 = np.full(elements.count, _NEVER_US, np.int64)
        #: When something else was last known to explain why an element that is overdue is not crossed.
        self._excused_us: I8 = np.full(elements.count, _NEVER_US, np.int64)
        #: Before this nothing was looked at, so nothing counts as unseen.
        self._since_us = _NEVER_US
        self._reported_us = _NEVER_US
        self._now_us = _NEVER_US
        self._looked_us = _NEVER_US
        self._gaps = Gaps(elements)
        self._unseen: I4 = np.empty(0, np.int32)
        self._found: list[Finding] = []

    def add(self, counts: SlotCounts) -> None:
        """Take in a slot; one that was taken in before changes nothing."""
        end_us = counts.end_us
        if self._since_us == _NEVER_US:
            self._since_us = counts.slot_us
            self._reported_us = end_us // REPORT_EVERY_US * REPORT_EVERY_US
        for rows in (
            counts.links,
            counts.lost.cell[counts.lost.cell < self._links],
            counts.altered.cell[counts.altered.cell < self._links],
            counts.turn + self._links,
        ):
            self._seen_us[rows] = end_us if end_us > self._now_us else np.maximum(self._seen_us[rows], end_us)
        self._now_us = max(self._now_us, end_us)

    def findings(self, now_us: int, explained: Set[str] = frozenset()) -> list[Finding]:
        """All coverage gaps at the end of a slot; looks for new ones once a second.

        explained: names of everything that is known to be wrong. What lies there is not crossed because of
        that, and its time begins anew when it is over.
        """
        limit_us = now_us - self._gap_after_us
        if self._since_us == _NEVER_US or self._since_us > limit_us:
            return []
        if now_us - self._looked_us >= _LOOK_EVERY_US:
            self._looked_us = now_us
            last_us = self.last_seen_us()
            unseen = self._crossable[last_us[self._crossable] <= limit_us]
            if len(unseen) and explained:
                excused = self._gaps.explained(unseen, explained)
                self._excused_us[unseen[excused]] = now_us
            unseen = unseen[self._excused_us[unseen] <= limit_us]
            if not np.array_equal(unseen, self._unseen):
                self._unseen = unseen
                self._found = self._gaps.of(unseen, np.maximum(last_us, self._since_us))
        return [replace(finding, last_seen_us=now_us) for finding in self._found]

    def last_seen_us(self) -> I8:
        """When each element was last seen, _NEVER_US: never."""
        first, second = self._seen_by
        found: I8 = np.maximum(self._seen_us[first], self._seen_us[second])
        return np.maximum(found, self._restored_us, out=found)

    def reports(self, now_us: int) -> list[dict[str, Any]]:
        """Records of the topic coverage that are due at the end of a slot: one every REPORT_EVERY_US."""
        at_us = now_us // REPORT_EVERY_US * REPORT_EVERY_US
        if self._since_us == _NEVER_US or at_us <= self._reported_us:
            return []
        self._reported_us = at_us
        return [self.report(at_us)]

    def report(self, now_us: int) -> dict[str, Any]:
        """Record of the topic coverage."""
        elements = self.elements
        last_us = self.last_seen_us()
        seen = last_us > max(0, now_us - self._gap_after_us)
        unseen = self._crossable[~seen[self._crossable]]
        return {
            "slot_us": now_us,
            "window_us": self._gap_after_us,
            "classes": [
                {
                    "element_class": each,
                    "total": len(seen[elements.span(each)]),
                    "crossable": int(np.count_nonzero(elements.crossable[elements.span(each)])),
                    "seen": int(np.count_nonzero((seen & elements.crossable)[elements.span(each)])),
                }
                for each in ELEMENT_CLASSES
            ],
            "unseen": [
                {
                    "element_class": elements.class_of(element),
                    "element": elements.name(element),
                    "last_seen_us": int(last_us[element]),
                }
                for element in unseen[:UNSEEN_MAX].tolist()
            ],
        }

    # -- restarts -------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Plain values: a few bytes an element at most, and next to nothing while all of them are seen."""
        return {
            "now_us": self._now_us,
            "since_us": self._since_us,
            "reported_us": self._reported_us,
            "fabric": self._fingerprint(),
            "seen": _packed(self.last_seen_us(), self._now_us),
            "excused": _packed(self._excused_us, self._now_us),
        }

    def restore(self, values: dict[str, Any]) -> None:
        """Reverse of `snapshot`; the history is then added again. With another inventory all elements count
        as seen when the snapshot was made: a gap is then found later, never falsely."""
        self._now_us = values["now_us"]
        self._since_us, self._reported_us = values["since_us"], values["reported_us"]
        if values["fabric"] == self._fingerprint():
            self._restored_us = _unpacked(values["seen"], self._now_us)
            self._excused_us = _unpacked(values["excused"], self._now_us)
        else:
            self._restored_us[:] = self._now_us

    def _fingerprint(self) -> int:
        index = self.elements.fabric.index
        ends = np.stack([index.link_from, index.link_to, index.link_from_port, index.link_to_port])
        return zlib.crc32(ends.tobytes(), self.elements.pairs)


def _packed(times_us: I8, now_us: int) -> str:
    """Ages in seconds, two bytes each, compressed; ages that the history tells are not kept."""
    age_s = np.minimum((now_us - times_us) // 1_000_000, _AGE_MAX_S - 1)
    age_s[age_s < _AGE_MIN_S] = 0
    age_s[times_us == _NEVER_US] = _AGE_MAX_S
    return base64.b64encode(zlib.compress(age_s.astype("<u2").tobytes(), 1)).decode()


def _unpacked(packed: str, now_us: int) -> I8:
    age_s = np.frombuffer(zlib.decompress(base64.b64decode(packed)), "<u2").astype(np.int64)
    return np.where(age_s == _AGE_MAX_S, _NEVER_US, now_us - age_s * 1_000_000)


def _sources(elements: Elements, terrain: Terrain) -> tuple[I4, I4]:
    """The two links of each port, the link of each link, the turn of each pair, as positions in links, then
    turns, then nothing: i4[elements] each."""
    nothing = terrain.links + terrain.turns
    first = np.full(elements.count, nothing, np.int32)
    second = np.full(elements.count, nothing, np.int32)
    for column, into in (
        (elements.from_port, first),
        (elements.link, first),
        (elements.to_port, second),
    ):
        rows = np.flatnonzero(column >= 0)
        into[column[rows]] = rows
    pair = elements.of_turns(terrain.turn_switch, terrain.turn_in, terrain.turn_out)
    turns = np.flatnonzero(pair >= 0)
    first[pair[turns]] = terrain.links + turns
    return first, second
