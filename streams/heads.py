"""The head of an evidence message: what was counted of a slot besides its EVIDENCE rows."""

from __future__ import annotations

from typing import Any

from schemas.rows import EVIDENCE_TABLES
from streams.evidence import Slot
from streams.settings import JoinSettings
from streams.slots import DueSlot
from streams.verdict import Verdict


def head(partition: int, due: DueSlot, slot: Slot, settings: JoinSettings) -> dict[str, Any]:
    """All fields of `link-evidence` but its rows, as a reader finds them; mapped arrays are bytes."""
    number = due.slot
    return {
        "partition": partition,
        "slot_us": number * settings.slot_us,
        "slot_length_us": settings.slot_us,
        "watermark_us": (number + 1) * settings.slot_us + settings.closing_us,
        "probes": int(slot.verdicts.sum()),
        "digests": slot.digests,
        "verdicts": {v.label: int(slot.verdicts[v]) for v in Verdict if slot.verdicts[v]},
        "late_outcomes": slot.late_outcomes,
        "late_digests": slot.late_digests,
        "duplicates": slot.duplicates,
        "silent_sources": list(due.silent),
        "exporters": [
            {"switch": switch, "received": received, "lost": lost, "damaged": slot.damaged[switch]}
            for switch in sorted({*slot.mirrors, *slot.damaged})
            for received, lost in [slot.mirrors.get(switch, (0, 0))]
        ],
        "examples": slot.examples,
        "commands": [],
        **dict.fromkeys(EVIDENCE_TABLES, b""),  # of slots without probes
        "pairs": slot.pairs.rows().tobytes(),
        **slot.tables,
    }
