"""The report of a run, as other programs read it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bytetracker.run.watch import Seen, SeenFault


@dataclass(slots=True)
class RunReport:
    """Counts of one run. `injected`: specification and time of each fault that was started."""

    probes_sent: int = 0
    digests_sent: int = 0
    injected: list[tuple[str, int]] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    store: dict[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Plain values, keys as documented in the README."""
        seen = self.seen
        return {
            "probes_sent": self.probes_sent,
            "probes_joined": seen.probes,
            "digests_sent": self.digests_sent,
            "digests_joined": seen.digests,
            "late_rows": seen.late_rows,
            "dead_letters": len(seen.dead_letters),
            "verdicts": dict(sorted(seen.verdicts.items())),
            "injected": [{"spec": spec, "started_ns": started_ns} for spec, started_ns in self.injected],
            "faults": [_fault(fault) for fault in seen.faults.values()],
            "store": dict(sorted(self.store.items())),
        }

    def write(self, path: Path) -> None:
        """Write it as JSON; the folder must exist."""
        path.write_text(json.dumps(self.document(), indent=2) + "\n", encoding="utf-8")


def _fault(fault: SeenFault) -> dict[str, Any]:
    event = fault.event
    return {
        "fault_id": event["fault_id"],
        "kind": event["kind"],
        "state": event["state"],
        "suspects": event["suspects"],
        "direction": event["direction"],
        "first_seen_ns": event["first_seen_us"] * 1_000,
        "detected_ns": fault.detected_ns,
        "loss_rate": event["loss_rate"],
        "story": event["story"],
    }
