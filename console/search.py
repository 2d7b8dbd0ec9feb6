"""What is called like that: elements of the inventory by the beginning of their names, then by any part."""

from __future__ import annotations

from collections.abc import Iterator

from console.models import Found
from fabric.model import LINK_SEPARATOR, Fabric, UnknownElement

FOUND_MAX = 20


class Search:
    """Names of one fabric. Immutable."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        kinds: list[tuple[str, list[str]]] = [
            ("pod", list(fabric.index.pods)),
            ("switch", [s.name for s in fabric.switches]),
            ("prober", [p.name for p in fabric.probers]),
            ("collector", [c.name for c in fabric.collectors]),
            ("server", [s.name for s in fabric.servers]),
        ]
        self._names = [(kind, name, name.lower()) for kind, names in kinds for name in names]
        # One text, so that looking for a part of a name is one search and not 100,000.
        self._text = "\n".join(lower for _, _, lower in self._names) + "\n"
        self._starts: list[int] = []
        at = 0
        for _, _, lower in self._names:
            self._starts.append(at)
            at += len(lower) + 1

    def __call__(self, asked: str) -> list[Found]:
        """At most FOUND_MAX: names that begin so before those that contain it, the shortest first."""
        wanted = " ".join(asked.split()).lower()
        if not wanted:
            return []
        found = [*self._composed(asked.strip())]
        rows = self._rows(wanted)
        rows.sort(key=lambda row: (not self._names[row][2].startswith(wanted), len(self._names[row][2]), row))
        found += [Found(kind=self._names[row][0], name=self._names[row][1]) for row in rows]  # type: ignore[arg-type]
        if wanted.isdecimal():
            found.append(Found(kind="probe", name=wanted))
        return found[:FOUND_MAX]

    def _rows(self, wanted: str) -> list[int]:
        """Rows whose name contains the text; not more than are needed to choose from."""
        from bisect import bisect_right  # noqa: PLC0415

        rows: list[int] = []
        at = self._text.find(wanted)
        while at >= 0 and len(rows) < 50 * FOUND_MAX:
            row = bisect_right(self._starts, at) - 1
            rows.append(row)
            at = self._text.find(wanted, self._starts[row] + len(self._names[row][2]) + 1)
        return rows

    def _composed(self, asked: str) -> Iterator[Found]:
        """A link, port or chip that is called exactly so."""
        for separator, kind in ((LINK_SEPARATOR, "link"), (":", "port"), ("/", "chip")):
            if separator in asked:
                try:
                    self._fabric.element(asked)
                except UnknownElement:
                    return
                yield Found(kind=kind, name=asked)  # type: ignore[arg-type]
                return
