"""What a network would need: one interval of its plan is simulated, and what comes of it is counted.

Rates of processes and bytes of stored rows are measured (docs/benchmarks.md, docs/operations.md); all else
follows from the plan, the network and the layouts of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabric.model import Fabric
from fabric.simulator import Simulator
from producers.plan import Plan
from producers.wire import packet_lengths
from schemas import topics
from schemas.nodes import PROBER_BASE
from schemas.partition import group_of, partition_of
from schemas.rows import DIGEST, OUTCOME, Leg

#: Per core and second, from docs/benchmarks.md ("reached").
PROBES_PER_CORE = 282_000
COPIES_PER_CORE = 1_100_000
DIGESTS_PER_CORE = 770_000
ROWS_PER_CORE = 1_320_000

#: What lz4 leaves of batches of outcomes and digests.
COMPRESSED = 0.42
#: Bytes on disk of a row of link_evidence, and of all other tables per byte of that one: of a demo of 75 s.
EVIDENCE_ROW_BYTES = 6.3
STORE_FACTOR = 1.5

ETHERNET_BYTES, ETHERNET_FRAME_BYTES_MIN = 14, 60
#: Around a mirrored frame: Ethernet 14, IPv4 20, GRE with sequence 8, ERSPAN Type II 8.
MIRROR_OVERHEAD_BYTES = 50
#: A core that is busy for longer than this share has nothing left to catch up with.
BUSY_MAX = 0.5

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Interval:
    """What one interval of all plans makes of a healthy network."""

    seconds: float
    probes: int
    probe_bytes: int  # of IP packets
    copies: int
    copy_bytes: int  # of Ethernet frames, as mirrored
    evidence_rows: int


def simulate_interval(fabric: Fabric, plans: Sequence[Plan], partitions: int, slot_us: int) -> Interval:
    """Send what all Probers plan for one interval through the simulated network. plans: at least one."""
    interval_us = plans[0].settings.interval_us
    probes = np.concatenate([plan.due(0, interval_us) for plan in plans])
    probes = probes[np.argsort(probes["sent_at_us"], kind="stable")]
    digests = Simulator(fabric, seed=1).run(probes).digests
    frames = np.maximum(digests["length"].astype(np.int64) + ETHERNET_BYTES, ETHERNET_FRAME_BYTES_MIN)
    return Interval(
        seconds=interval_us / 1e6,
        probes=len(probes),
        probe_bytes=int(packet_lengths(probes).sum()),
        copies=len(digests),
        copy_bytes=int((frames + MIRROR_OVERHEAD_BYTES).sum()),
        evidence_rows=_evidence_rows(fabric, probes, digests, partitions, slot_us),
    )


def sizing_document(fabric: Fabric, plans: Sequence[Plan], partitions: int, slot_us: int) -> dict[str, Any]:
    """Rates per second, cores and bytes. With no Prober everything is zero."""
    interval = (
        simulate_interval(fabric, plans, partitions, slot_us) if plans else Interval(1.0, 0, 0, 0, 0, 0)
    )
    probes, copies = interval.probes / interval.seconds, interval.copies / interval.seconds
    rows = interval.evidence_rows / interval.seconds
    outcome_bytes, digest_bytes = probes * OUTCOME.dtype.itemsize, copies * DIGEST.dtype.itemsize
    return {
        "fabric": fabric.name,
        "probers": len(fabric.probers),
        "collectors": len(fabric.collectors),
        "partitions": partitions,
        "probes_per_s": probes,
        "probe_bits_per_s": interval.probe_bytes * 8 / interval.seconds,
        "copies_per_s": copies,
        "copies_per_probe": interval.copies / max(1, interval.probes),
        "mirror_bits_per_s": interval.copy_bytes * 8 / interval.seconds,
        "evidence_rows_per_s": rows,
        "cores": {
            "prober": _cores(probes, PROBES_PER_CORE),
            "collector": _cores(copies, COPIES_PER_CORE),
            "worker": _cores(copies, DIGESTS_PER_CORE),
            "sink": _cores(rows, ROWS_PER_CORE),
        },
        "topics": {
            topics.OUTCOMES: _topic(topics.OUTCOMES, outcome_bytes, partitions),
            topics.DIGESTS: _topic(topics.DIGESTS, digest_bytes, partitions),
        },
        "store_bytes_per_day": rows * EVIDENCE_ROW_BYTES * STORE_FACTOR * _DAY_S,
    }


def sizing_text(document: dict[str, Any]) -> str:
    """The same for people."""
    d = document
    cores = ", ".join(f"{name} {need:.2f}" for name, need in d["cores"].items())
    lines = [
        f"fabric {d['fabric']}: {d['probers']} Prober(s), {d['collectors']} collector(s), "
        f"{d['partitions']} partitions",
        f"  probes           {d['probes_per_s']:,.0f}/s, {d['probe_bits_per_s'] / 1e6:,.1f} Mbit/s",
        f"  mirrored copies  {d['copies_per_s']:,.0f}/s, {d['mirror_bits_per_s'] / 1e6:,.1f} Mbit/s to the "
        f"collectors ({d['copies_per_probe']:.1f} a probe)",
        f"  evidence         {d['evidence_rows_per_s']:,.0f} rows/s",
        f"  cores            {cores} (half busy)",
    ]
    lines += [
        f"  {name:<15}  {topic['bytes_per_s'] / 1e6:,.2f} MB/s, kept for {topic['kept_s'] / 60:,.0f} min: "
        f"{topic['kept_bytes'] / 1e9:,.2f} GB for each copy of it"
        for name, topic in d["topics"].items()
    ]
    return "\n".join([*lines, f"  store            {d['store_bytes_per_day'] / 1e9:,.2f} GB a day"])


def _cores(rate: float, per_core: float) -> float:
    return rate / per_core / BUSY_MAX


def _topic(name: str, bytes_per_s: float, partitions: int) -> dict[str, float]:
    """What a topic takes on the brokers, compressed; it is cut by age or by size, whichever comes first."""
    spec = topics.topic(name)
    stored = bytes_per_s * COMPRESSED
    by_age_s = spec.retention_ms / 1e3
    by_size_s = spec.retention_bytes * partitions / stored if stored else by_age_s
    kept_s = min(by_age_s, by_size_s)
    return {"bytes_per_s": stored, "kept_s": kept_s, "kept_bytes": stored * kept_s}


def _evidence_rows(
    fabric: Fabric, probes: NDArray[np.void], digests: NDArray[np.void], partitions: int, slot_us: int
) -> int:
    """Rows of link evidence: one per partition, slot, directed link and leg that something crossed."""
    near, far, leg, probe = _crossings(probes, digests)
    by_probe = np.argsort(probes["probe_id"])
    mine = by_probe[np.searchsorted(probes["probe_id"], probe, sorter=by_probe)]
    slot = probes["sent_at_us"][mine].astype(np.int64) // slot_us
    partition = partition_of(group_of(probe), partitions).astype(np.int64)
    link = fabric.index.link_index(near, far).astype(np.int64)
    return len(np.unique(((slot * partitions + partition) * len(Leg) + leg) * len(fabric.links) + link))


def _crossings(
    probes: NDArray[np.void], digests: NDArray[np.void]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Every link that a packet crossed: node before, node after, leg and probe ID; i4, i4, i8, i8.

    A packet comes to its first switch from where its leg begins, and leaves its last one for where it ends.
    """
    by_probe = np.argsort(probes["probe_id"])
    hops = digests[np.lexsort((-digests["ttl"].astype(np.int32), digests["leg"], digests["probe_id"]))]
    probe, leg = hops["probe_id"].astype(np.int64), hops["leg"].astype(np.int64)
    switch = hops["switch"].astype(np.int32)
    mine = by_probe[np.searchsorted(probes["probe_id"], probe, sorter=by_probe)]
    via, target = probes["via_node"][mine], probes["target_node"][mine]
    prober = PROBER_BASE + (probe >> 32)
    same = np.append((probe[1:] == probe[:-1]) & (leg[1:] == leg[:-1]), False)
    first = np.append(True, ~same[:-1]) if len(same) else same
    starts = np.where(leg == Leg.REPLY, target, np.where((leg == Leg.PROBE) & (via >= 0), via, prober))
    ends = np.where(leg == Leg.REPLY, prober, np.where(leg == Leg.ENCAPSULATED, via, target))
    onward = np.where(same, np.append(switch[1:], 0) if len(switch) else switch, ends)
    near = np.concatenate([starts[first], switch])
    far = np.concatenate([switch[first], onward])
    # The last switch of an encapsulated leg is the one that decapsulates: it goes nowhere.
    real = near != far
    return (
        near[real].astype(np.int32),
        far[real].astype(np.int32),
        np.concatenate([leg[first], leg])[real],
        np.concatenate([probe[first], probe])[real],
    )
