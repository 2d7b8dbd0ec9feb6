"""The row layouts of the high-volume topics, and the numbers their fields take.

Points in time are microseconds since 1970 (a ``decimal`` of 8 bytes carries 18 digits; nanoseconds
since 1970 have 19), durations are nanoseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, IntFlag

import numpy as np

from schemas.layout import Field, Layout

NAMESPACE = "bytetracker"

#: `low_watermark_us` of a source that has ended: it will never send another row.
END_OF_SOURCE_US = 2**62


class Kind(IntEnum):
    """What a probe is for."""

    NORTH_SOUTH = 0
    EAST_WEST = 1
    INTER_PROBER = 2


class Leg(IntEnum):
    """Which stretch of a probe's way a mirrored copy was taken on."""

    ENCAPSULATED = 0  # Prober to the decapsulating ToR, IP-in-IP
    PROBE = 1  # the SYN itself
    REPLY = 2  # the answer, on its way to the Prober


class ReplyKind(IntEnum):
    NONE = 0
    RST = 1
    SYN_ACK = 2
    ICMP = 3


class Direction(IntEnum):
    """Whether the switch mirrored the packet as it came in or as it went out."""

    INGRESS = 0
    EGRESS = 1


class DigestFlag(IntFlag):
    TRUNCATED = 1  # the copy is shorter than the packet; its hash cannot be compared
    BAD_CHECKSUM = 2  # the TCP checksum of the packet is wrong
    PAYLOAD_ALTERED = 4  # the keyed payload is not what was sent


def _int(name: str, size_bytes: int, doc: str) -> Field:
    return Field(name, "int", size_bytes, doc)


OUTCOME = Layout(
    "ProbeOutcome",
    NAMESPACE,
    (
        _int("probe_id", 8, "prober << 32 | group << 3 | member"),
        _int("sent_at_us", 8, "send time of the group, the same for all its members, us since 1970"),
        _int("rtt_ns", 8, "round-trip time, ns; -1: no reply within the timeout"),
        Field("content_hash", "hash", 8, "hash of the normalised probe as sent"),
        Field("target", "bytes", 16, "address of the target, IPv6 or IPv4-mapped IPv6"),
        Field("via", "bytes", 16, "address of the decapsulating ToR; zeros: none"),
        _int("source_port", 4, "TCP source port, names the flow"),
        _int("destination_port", 4, "TCP destination port"),
        _int("reply_ttl", 2, "TTL or hop limit of the reply; -1: none"),
        _int("kind", 1, "0 North-South, 1 East-West, 2 inter-Prober"),
        _int("group_size", 1, "members of the group"),
        _int("reply_kind", 1, "0 none, 1 RST, 2 SYN-ACK, 3 ICMP"),
    ),
)

DIGEST = Layout(
    "MirrorDigest",
    NAMESPACE,
    (
        _int("probe_id", 8, "prober << 32 | group << 3 | member"),
        _int("observed_at_us", 8, "when the collector's kernel received the copy, us since 1970"),
        _int("exporter_time", 8, "raw ticks of the exporter's clock, not trusted; -1: none"),
        Field("content_hash", "hash", 8, "hash of the normalised packet"),
        _int("switch", 4, "number of the switch that mirrored it"),
        _int("port", 4, "number of the port it was mirrored at; -1: unknown"),
        _int("length", 4, "total length of the probe's IP packet, bytes"),
        _int("ttl", 2, "TTL or hop limit"),
        _int("flags", 2, "1 truncated, 2 bad TCP checksum, 4 payload altered"),
        _int("leg", 1, "0 encapsulated, 1 probe, 2 reply"),
        _int("direction", 1, "0 ingress, 1 egress"),
    ),
)

EVIDENCE = Layout(
    "LinkEvidence",
    NAMESPACE,
    (
        _int("from_node", 4, "node the packet left; see schemas.nodes"),
        _int("to_node", 4, "node it went to; -1: it was lost and the next hop is not known"),
        _int("leg", 1, "0 encapsulated, 1 probe, 2 reply"),
        _int("passed", 4, "copies seen on both sides"),
        _int("lost", 4, "probes last seen on the near side"),
        _int("altered", 4, "packets whose content differs between the two sides"),
        _int("mirror_missing", 4, "copies that the far side should have mirrored and did not"),
    ),
)

#: Of the ways between two switches, not of links: what became of the probes sent from one to the other.
PAIRS = Layout(
    "PairCount",
    NAMESPACE,
    (
        _int("kind", 1, "0 North-South, 1 East-West, 2 inter-Prober"),
        _int("from_node", 4, "decapsulating ToR; of kinds without one the switch that the Prober hangs on"),
        _int("to_node", 4, "ToR of the target; of a target that is a Prober the switch that it hangs on"),
        _int("probes", 4, "probes sent"),
        _int("answered", 4, "replies that came in time"),
        _int("network_lost", 4, "lost in the network, there or back: verdicts network_loss and loop"),
        _int("silent", 4, "not answered although the target's ToR saw them: verdict host_silent"),
        _int("altered", 4, "content altered on the way: verdicts altered and corrupted"),
        _int("rtt_sum_ns", 8, "sum of the round-trip times of those answered, ns"),
        _int("rtt_max_ns", 8, "longest of them, ns; 0: none was answered"),
    ),
)


#: Inside switches of several chips: packets from one chip to another (or to itself).
TURNS = Layout(
    "ChipTurn",
    NAMESPACE,
    (
        _int("switch", 4, "node of the switch"),
        _int("from_chip", 2, "chip of the port that packets came in by: place in the switch's list of chips"),
        _int("to_chip", 2, "chip of the port that they left by; -1: lost, and the way out is not known"),
        _int("leg", 1, "0 encapsulated, 1 probe, 2 reply"),
        _int("passed", 4, "packets seen at the next hop"),
        _int("lost", 4, "probes last seen coming in"),
        _int("altered", 4, "packets whose content differs at the next hop"),
    ),
)

#: Where packets went that should not have gone there.
STRAYS = Layout(
    "Stray",
    NAMESPACE,
    (
        _int("verdict", 1, "5 loop, 6 unexpected_path"),
        _int("from_node", 4, "switch that sent the packet astray"),
        _int("to_node", 4, "where it went; -1: not known"),
        _int("leg", 1, "0 encapsulated, 1 probe, 2 reply"),
        _int("probes", 4, "probes"),
    ),
)

#: Which bits were altered on the way.
BITS = Layout(
    "AlteredBit",
    NAMESPACE,
    (
        _int("from_node", 4, "node after which the content differs"),
        _int("to_node", 4, "node before which it differs; -1: not known"),
        _int("leg", 1, "0 encapsulated, 1 probe, 2 reply"),
        _int("byte_offset", 4, "byte of the IP packet"),
        _int("bit", 1, "bit of that byte, 0 the least"),
        _int("to_one", 4, "packets in which it became 1"),
        _int("to_zero", 4, "packets in which it became 0"),
    ),
)

#: Probes of which no copy was seen at all, by flow: what is left to go by where nothing is mirrored.
BLIND = Layout(
    "BlindFlow",
    NAMESPACE,
    (
        _int("prober", 4, "node of the Prober"),
        _int("target", 4, "node of the target"),
        _int("via", 4, "node of the decapsulating ToR; -1: none"),
        _int("source_port", 4, "TCP source port"),
        _int("sent", 4, "probes"),
        _int("lost", 4, "of them not answered in time"),
        _int("group_lost", 4, "of them in groups of which no member was answered"),
    ),
)

#: The way of a flow, learnt from mirrors: said when it is new or has changed, and again now and then.
PATHS = Layout(
    "FlowPath",
    NAMESPACE,
    (
        _int("prober", 4, "node of the Prober"),
        _int("target", 4, "node of the target"),
        _int("via", 4, "node of the decapsulating ToR; -1: none"),
        _int("source_port", 4, "TCP source port"),
        _int("leg", 1, "0 encapsulated, 1 probe, 2 reply"),
        Field(
            "switches",
            "bytes",
            32,
            "the switches of the leg in order: eight big-endian i4, -1 after the last",
        ),
    ),
)

#: Flows whose last probe was lost, and what became of their next one.
FATES = Layout(
    "FlowFate",
    NAMESPACE,
    (
        _int("from_node", 4, "node the lost packet left"),
        _int("to_node", 4, "node it was to go to; -1: not known"),
        _int("leg", 1, "0 encapsulated, 1 probe, 2 reply"),
        _int("lost_again", 4, "probes lost here whose flow had lost its last one here too"),
        _int("recovered", 4, "probes answered whose flow had lost its last one here"),
    ),
)

#: Mapped arrays of an evidence message, in wire order; EVIDENCE rows follow.
EVIDENCE_TABLES = {
    "pairs": PAIRS,
    "turns": TURNS,
    "strays": STRAYS,
    "bits": BITS,
    "blind": BLIND,
    "paths": PATHS,
    "fates": FATES,
}


def rows_of(layout: Layout, columns: dict[str, np.ndarray | int], count: int) -> np.ndarray:
    """Build `count` rows from columns (each of shape (count,) or a scalar).

    Raises ValueError if a column is missing or unknown: a row with silent zeros is a lie.
    """
    names = set(layout.dtype.names or ())
    if set(columns) != names:
        raise ValueError(
            f"{layout.name}: missing {sorted(names - set(columns))}, unknown {sorted(set(columns) - names)}"
        )
    rows = np.empty(count, layout.dtype)
    for name, values in columns.items():
        rows[name] = values
    return rows


def gather(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
    """`rows[index]` of structured rows: [n], integers or bools -> [m].

    NumPy copies structured rows field by field; as opaque items they are copied nine times faster.
    """
    items = rows.view(np.dtype((np.void, rows.dtype.itemsize)))
    return np.asarray(items[index].view(rows.dtype))


def join(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Structured rows of one dtype, one part after another: at least one part. See `gather` for why."""
    dtype = parts[0].dtype
    item = np.dtype((np.void, dtype.itemsize))
    return np.asarray(
        np.concatenate([part.astype(dtype, copy=False).view(item) for part in parts]).view(dtype)
    )
