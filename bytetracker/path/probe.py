"""One probe and the way of a flow, as the store knows them. Times are us since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bytetracker.moments import us_since_1970

LEGS = ("encapsulated", "probe", "reply")


@dataclass(frozen=True, slots=True)
class Hop:
    """One mirrored copy."""

    leg: str
    switch: str
    port: int  # number of the port that it came in by; -1: not known
    ttl: int  # as it came in
    seen_at_us: int  # by the collector's clock
    altered: bool  # content differs from what was sent


@dataclass(frozen=True, slots=True)
class Alteration:
    """One altered byte of the IP packet."""

    byte_offset: int
    sent: int
    seen: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A row of probe_results."""

    probe_id: int
    sent_at_us: int
    kind: str
    verdict: str
    reason: str
    prober: str
    target: str
    target_address: str
    via: str  # decapsulating ToR; empty: none
    source_port: int
    destination_port: int
    rtt_ns: int | None  # None: no reply
    reply_kind: str
    last_seen: str
    next_node: str
    fault_leg: str  # empty: nothing went wrong on the way
    hops: tuple[Hop, ...]
    alterations: tuple[Alteration, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """Where a flow to a known target went on one leg, when it was said last."""

    prober: str
    via: str
    source_port: int
    leg: str
    switches: tuple[str, ...]
    said_at_us: int


_SAME = (
    *("probe_id", "kind", "verdict", "reason", "prober", "target", "target_address", "via", "source_port"),
    *("destination_port", "rtt_ns", "reply_kind", "last_seen", "next_node", "fault_leg"),
)
_HOPS = tuple(f"hops.{name}" for name in ("leg", "switch", "port", "ttl", "observed_at", "altered"))
_ALTERATIONS = tuple(f"alterations.{name}" for name in ("byte_offset", "sent", "seen"))
#: What `probe_of` wants of the table probe_results.
PROBE_COLUMNS = ("sent_at", *_SAME, *_HOPS, *_ALTERATIONS)
#: And `way_of` of flow_paths.
WAY_COLUMNS = ("prober", "via", "source_port", "leg", "switches", "slot")


def probe_of(row: Mapping[str, Any]) -> Probe:
    """From a row with PROBE_COLUMNS."""
    same: dict[str, Any] = {name: row[name] for name in _SAME}
    return Probe(
        sent_at_us=us_since_1970(row["sent_at"]),
        hops=tuple(
            Hop(leg, switch, port, ttl, us_since_1970(seen_at), bool(altered))
            for leg, switch, port, ttl, seen_at, altered in zip(*(row[name] for name in _HOPS), strict=True)
        ),
        alterations=tuple(
            Alteration(*each) for each in zip(*(row[name] for name in _ALTERATIONS), strict=True)
        ),
        **same,
    )


def way_of(row: Mapping[str, Any]) -> Way:
    """From a row with WAY_COLUMNS."""
    return Way(
        prober=row["prober"],
        via=row["via"],
        source_port=row["source_port"],
        leg=row["leg"],
        switches=tuple(row["switches"]),
        said_at_us=us_since_1970(row["slot"]),
    )
