"""When nobody is to be alerted: silences that operators ask for, and planned maintenance.

Time is event time throughout, so that a replay silences the same events. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fabric.model import Fabric
from fabric.within import within
from schemas.errors import BadMessage

#: More than that are refused: they are part of the localiser's state.
SILENCES_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Silence:
    """From `from_us` until just before `until_us`, us since 1970."""

    element: str
    from_us: int
    until_us: int
    why: str
    by: str

    @property
    def reason(self) -> str:
        """What a silenced fault says."""
        asked = f" ({self.by})" if self.by else ""
        return f"silence of {self.element}: {self.why}{asked}"


@dataclass(slots=True)
class Silences:
    """At most one silence an element; a new one takes the place of the old. JSON-able."""

    fabric: Fabric
    by_element: dict[str, Silence] = field(default_factory=dict)
    _within: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def apply(self, command: Mapping[str, Any]) -> None:
        """Do what a checked command of `link-evidence` says. Raises BadMessage when there are too many."""
        element = command["element"]
        if command["action"] == "unsilence":
            self.by_element.pop(element, None)
            return
        if len(self.by_element) >= SILENCES_MAX and element not in self.by_element:
            raise BadMessage("bad_command", f"there are {SILENCES_MAX} silences already; {element} is not")
        self.by_element[element] = Silence(
            element, command["from_us"], command["until_us"], command["why"], command["by"]
        )

    def expire(self, now_us: int) -> None:
        """Forget what is over."""
        over = [element for element, silence in self.by_element.items() if silence.until_us <= now_us]
        for element in over:
            del self.by_element[element]

    def reason(self, suspect: str, now_us: int) -> str:
        """Why a fault at `suspect` alarms nobody now; empty if it does. Of several reasons the one that
        holds longest."""
        if not self.by_element and not self.fabric.maintenance:
            return ""
        names = self._within.get(suspect)
        if names is None:
            names = self._within[suspect] = within(self.fabric, suspect)
        silences = [self.by_element[name] for name in names if name in self.by_element]
        reasons = [(s.until_us, s.reason) for s in silences if s.from_us <= now_us < s.until_us]
        reasons += [
            (m.until_us, f"maintenance of {m.element}: {m.why}")
            for m in self.fabric.maintenance
            if m.element in names and m.from_us <= now_us < m.until_us
        ]
        return max(reasons)[1] if reasons else ""

    def snapshot(self) -> list[dict[str, Any]]:
        """Plain values."""
        return [asdict(self.by_element[element]) for element in sorted(self.by_element)]

    @classmethod
    def restore(cls, fabric: Fabric, values: list[dict[str, Any]]) -> Silences:
        """Reverse of `snapshot`."""
        return cls(fabric, {value["element"]: Silence(**value) for value in values})
