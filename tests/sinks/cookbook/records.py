"""Messages that are planted, with what is usual in them filled in."""

from __future__ import annotations

from itertools import count
from typing import Any

_numbers = count(1)


def probe(at_us: int, verdict: str, target: str, **changes: Any) -> dict[str, Any]:
    """One row of probe-results."""
    usual: dict[str, Any] = {
        "probe_id": (1 << 32) + 8 * next(_numbers) + 1_000_000,
        "sent_at_us": at_us,
        "kind": "north_south",
        "verdict": verdict,
        "reason": verdict.replace("_", " "),
        "sampled": False,
        "prober": "prober-1",
        "target": target,
        "target_address": "10.0.0.1",
        "via": "",
        "source_port": 40_001,
        "destination_port": 65_111,
        "rtt_ns": None,
        "reply_kind": "none",
        "reply_ttl": None,
        "last_seen": "",
        "next_node": "",
        "fault_leg": None,
        "hops": [],
        "alterations": [],
    }
    return usual | changes


def hops(start_us: int, *steps: tuple[str, str, int], altered_from: int = 99) -> list[dict[str, Any]]:
    """Copies 40 us apart: (leg, switch, TTL)."""
    return [
        {
            "leg": leg,
            "switch": switch,
            "port": 1 + number,
            "ttl": ttl,
            "observed_at_us": start_us + 40 * (number + 1),
            "altered": number >= altered_from,
            "content_hash": bytes(8),
        }
        for number, (leg, switch, ttl) in enumerate(steps)
    ]


def fault(fault_id: str, version: int, state: str, kind: str, suspect: str, **changes: Any) -> dict[str, Any]:
    """One event of the life of a fault."""
    usual: dict[str, Any] = {
        "fault_id": fault_id,
        "version": version,
        "state": state,
        "kind": kind,
        "severity": "critical",
        "suspects": [{"element": suspect, "confidence": 0.97}],
        "direction": suspect if "~" in suspect else "",
        "loss_rate": None,
        "loss_rate_low": None,
        "loss_rate_high": None,
        "probes_bad": 0,
        "probes_total": 0,
        "affected_servers": [],
        "example_probes": [],
        "story": f"{kind.replace('_', ' ')} at {suspect}.",
        "legs": ["probe"],
        "bits": [],
        "silenced": "",
        "flaps": 0,
        "part_of": "",
    }
    return usual | changes
