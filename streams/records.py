"""Results worth keeping, as records of the topic `probe-results`: names instead of numbers.

Few probes get here (anomalies and a sample), so plain Python is fast enough.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.partition import mix64
from schemas.rows import Leg
from streams.altered_bytes import AlteredBytes
from streams.closing import Closed
from streams.places import Places
from streams.probes import Probes
from streams.verdict import Verdict

KINDS = ("north_south", "east_west", "inter_prober")
LEG_NAMES = ("encapsulated", "probe", "reply")
REPLIES = ("none", "rst", "syn_ack", "icmp")

_REASONS: dict[Verdict, str] = {
    Verdict.OK: "answered in time, path and content as expected",
    Verdict.NETWORK_LOSS: "no reply; last seen at {last} on the {leg} leg",
    Verdict.HOST_SILENT: "no reply although {last} saw the SYN for {next}",
    Verdict.CORRUPTED: "no reply; its content changed between {last} and {next}, so the receiver dropped it",
    Verdict.ALTERED: "answered, but its content changed between {last} and {next}",
    Verdict.LOOP: "no reply; it went round a loop through {last}",
    Verdict.UNEXPECTED_PATH: "answered, but over a path that is not valley-free, not cabled or drained",
    Verdict.UNEXPECTED_REPLY: "answered by something else than an RST",
    Verdict.LATE_REPLY: "the reply came back after the timeout",
    Verdict.DUPLICATE_REPLY: "the reply came back more than once",
    Verdict.UNOBSERVED: "no reply and no mirrored copy; lost before the first switch, or mirrors are silent",
}


def sampled(probes: Probes, one_in: int) -> NDArray[np.bool_]:
    """Which probes belong to the sample: a function of the probe alone, so that a replay draws the same."""
    mixed = mix64(probes.probe_id.astype(np.uint64) ^ mix64(probes.sent_at_us.astype(np.uint64)))
    chosen: NDArray[np.bool_] = mixed % np.uint64(one_in) == 0
    return chosen


class Recorder:
    """Builds records; holds the names of a fabric."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._name = places.index.fabric.node_name

    def __call__(self, closed: Closed, keep: NDArray[np.intp], altered: AlteredBytes) -> list[dict[str, Any]]:
        """Records of the probes in rows `keep`, in that order."""
        of_probe = altered.by_probe()
        return [self._record(i, closed, of_probe.get(i, [])) for i in keep.tolist()]

    def _record(self, i: int, closed: Closed, altered: list[tuple[int, int, int]]) -> dict[str, Any]:
        probes, judgement, hops = closed.probes, closed.judgement, closed.hops
        legs, copies = closed.legs, closed.copies
        row = probes.rows[i]
        verdict = Verdict(int(judgement.verdict[i]))
        place, leg = int(judgement.place[i]), int(judgement.leg[i])
        last = self._node(int(self._places.from_node[place])) if place >= 0 else ""
        following = self._node(int(self._places.to_node[place])) if place >= 0 else ""
        target_address = _address(row["target"])
        probe_id = int(probes.probe_id[i])
        mine = range(int(legs.start[i, 0]), int(legs.end[i, Leg.REPLY]))
        return {
            "probe_id": probe_id,
            "sent_at_us": int(probes.sent_at_us[i]),
            "kind": KINDS[int(probes.kind[i])],
            "verdict": verdict.label,
            "reason": _REASONS[verdict].format(
                last=last or "the sender",
                next=following or "an unknown next hop",
                leg=LEG_NAMES[leg] if leg >= 0 else "",
            ),
            "sampled": verdict is Verdict.OK,
            "prober": self._node(int(probes.prober_node[i])),
            "target": self._node(int(probes.target_node[i])) or target_address,
            "target_address": target_address,
            "via": self._node(int(probes.via_node[i])),
            "source_port": int(row["source_port"]),
            "destination_port": int(row["destination_port"]),
            "rtt_ns": int(row["rtt_ns"]) if row["rtt_ns"] >= 0 else None,
            "reply_kind": REPLIES[int(row["reply_kind"])],
            "reply_ttl": int(row["reply_ttl"]) if row["reply_ttl"] >= 0 else None,
            "last_seen": last,
            "next_node": following,
            "fault_leg": LEG_NAMES[leg] if leg >= 0 else None,
            "hops": [
                {
                    "leg": LEG_NAMES[int(hops.leg[h])],
                    "switch": self._node(int(hops.switch[h])),
                    "port": int(copies.port[h]),
                    "ttl": int(hops.ttl[h]),
                    "observed_at_us": int(copies.observed_at_us[h]),
                    "altered": bool(closed.altered.bad_copy[h]),
                    "content_hash": int(copies.content_hash[h]).to_bytes(8, "big"),
                }
                for h in mine
            ],
            "alterations": [
                {"byte_offset": at, "xor_mask": sent ^ seen, "sent": sent, "seen": seen}
                for at, sent, seen in altered
            ],
        }

    def _node(self, node: int) -> str:
        return self._name(node) if node >= 0 else ""


def _address(packed: np.void) -> str:
    address = ipaddress.IPv6Address(packed.tobytes())
    return str(address.ipv4_mapped or address)
