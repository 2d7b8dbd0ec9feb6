"""A finding as the fields of an event of the topic `faults`."""

from __future__ import annotations

import math
from typing import Any

from streams.localise.causes import BITS_MAX, EXAMPLES_MAX, SERVERS_MAX
from streams.localise.finding import Finding
from streams.localise.story import story

#: A loss rate below it can wait until the morning.
SMALL_RATE = 1e-3

_SEVERITY = {
    "network_loss": "critical",
    "black_hole": "critical",
    "alteration": "critical",
    "loop": "critical",
    "wrong_route": "critical",
    "host_silent": "info",
    "mirror_outage": "warning",
    "prober_outage": "warning",
    "source_silent": "warning",
    "coverage_gap": "warning",
}
SEVERITIES = ("info", "warning", "critical")


def describe(finding: Finding) -> dict[str, Any]:
    """All fields of the event but those of its life. Plain values."""
    rate = low = high = None
    if finding.total:
        rate = finding.bad / finding.total
        low, high = wilson(finding.bad, finding.total)
    bits = sorted(finding.bits, key=lambda b: (-(b.to_one + b.to_zero), b.byte_offset, b.bit))
    return {
        "kind": finding.kind,
        "severity": severity(finding, rate),
        "suspects": [{"element": element, "confidence": float(c)} for element, c in finding.suspects],
        "direction": finding.direction,
        "loss_rate": rate,
        "loss_rate_low": low,
        "loss_rate_high": high,
        "probes_bad": int(finding.bad),
        "probes_total": int(finding.total),
        "affected_servers": list(finding.servers[:SERVERS_MAX]),
        "example_probes": [
            {"probe_id": int(p), "sent_at_us": int(s)} for p, s in finding.examples[:EXAMPLES_MAX]
        ],
        "story": story(finding),
        "legs": list(finding.legs),
        "bits": [
            {"byte_offset": b.byte_offset, "bit": b.bit, "to_one": b.to_one, "to_zero": b.to_zero}
            for b in bits[:BITS_MAX]
        ],
    }


def severity(finding: Finding, rate: float | None) -> str:
    """`info`, `warning` or `critical`."""
    if finding.kind == "network_loss" and rate is not None and rate < SMALL_RATE:
        return "warning"
    return _SEVERITY[finding.kind]


def wilson(bad: int, total: int) -> tuple[float, float]:
    """95 % interval of a share. Source: Wilson, JASA 1927."""
    z = 1.959964
    share = bad / total
    centre = share + z * z / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
