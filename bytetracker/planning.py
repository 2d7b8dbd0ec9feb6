"""`bytetracker plan`: what would be probed and what that covers, as a document and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fabric.model import Fabric
from producers.flow_watch import planned
from producers.plan import Plan, PlanSettings, summarise


def plan_document(fabric: Fabric, settings: PlanSettings | None = None) -> dict[str, Any]:
    """What the Probers of a fabric would do, one entry each. Raises PlanRefused."""
    return prober_document(
        fabric, [planned(fabric, prober, settings or PlanSettings()) for prober in fabric.probers]
    )


def prober_document(fabric: Fabric, plans: Sequence[Plan]) -> dict[str, Any]:
    """The same for given plans."""
    return {
        "fabric": fabric.name,
        "probe_port": fabric.probe_port,
        "dscp": fabric.dscp,
        "probers": [asdict(summarise(plan)) for plan in plans],
    }


def plan_text(document: dict[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"fabric {document['fabric']}: probes go to TCP port {document['probe_port']}, "
        f"with DSCP {document['dscp']}"
    ]
    for prober in document["probers"]:
        groups = ", ".join(f"{count} {kind.replace('_', '-')}" for kind, count in prober["groups"].items())
        lines += [
            "",
            f"{prober['prober']}",
            f"  groups a round      {groups}",
            f"  probes              {prober['probes_per_s']:,.0f} a second, "
            f"{prober['bits_per_s'] / 1e6:,.1f} Mbit/s",
            f"  replies             {prober['reply_bits_per_s'] / 1e6:,.1f} Mbit/s",
            f"  server addresses    {prober['server_addresses']}",
            f"  pods                {prober['pods']}, {prober['pod_pairs']} ordered pairs",
            f"  decapsulating ToRs  {prober['decapsulating_tors']}",
            f"  flows per target    {prober['flows_per_target']}",
            f"  chosen flows        {prober['chosen_flows']}",
            f"  probe IDs repeat    after {prober['wraps_after_s'] / 3600:,.1f} h",
        ]
        lines += [
            f"  not covered         {count} x {reason}" for reason, count in prober["uncovered"].items()
        ]
    return "\n".join(lines)
