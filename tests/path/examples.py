"""Probes of the fabric `lab`, and the way of their flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bytetracker.path.probe import Hop, Probe, Way

SENT_US = 1_773_000_000_000_000
OUT = ("border-1", "spine-1", "leaf-1-2", "tor-1-2")
BACK = ("tor-1-2", "leaf-1-1", "spine-2", "border-1")
WAYS = (
    Way("prober-1", "", 40_001, "probe", OUT, SENT_US + 60_000_000),
    Way("prober-1", "", 40_001, "reply", BACK, SENT_US + 60_000_000),
    Way("prober-1", "", 40_002, "reply", ("tor-1-2", "nowhere"), SENT_US),  # another flow
)


def copies(
    leg: str, switches: Sequence[str], start_us: int = 0, altered: Sequence[str] = (), ttl: int = 64
) -> tuple[Hop, ...]:
    """Copies 40 us apart, with falling TTLs."""
    return tuple(
        Hop(leg, switch, 1 + n, ttl - n, SENT_US + start_us + 40 * (n + 1), switch in altered)
        for n, switch in enumerate(switches)
    )


def probe(**changes: Any) -> Probe:
    """One that was answered and seen everywhere."""
    usual: dict[str, Any] = {
        "probe_id": 4_294_971_394,
        "sent_at_us": SENT_US,
        "kind": "north_south",
        "verdict": "ok",
        "reason": "answered in time, path and content as expected",
        "prober": "prober-1",
        "target": "server-1-2-1",
        "target_address": "10.1.2.10",
        "via": "",
        "source_port": 40_001,
        "destination_port": 65_111,
        "rtt_ns": 412_345,
        "reply_kind": "rst",
        "last_seen": "",
        "next_node": "",
        "fault_leg": "",
        "hops": copies("probe", OUT) + copies("reply", BACK, 200),
        "alterations": (),
    }
    return Probe(**(usual | changes))


def lost(leg: str, last_seen: str, next_node: str, hops: tuple[Hop, ...], **changes: Any) -> Probe:
    """One that the network lost."""
    return probe(
        verdict="network_loss", reason=f"no reply; last seen at {last_seen}", rtt_ns=None, reply_kind="none",
        last_seen=last_seen, next_node=next_node, fault_leg=leg, hops=hops, **changes,
    )  # fmt: skip
