"""Results worth keeping, as records of the topic `probe-results`: names instead of numbers.

Few probes get here: anomalies and a sample. Yet in an outage they are thousands a second, so columns are
turned into lists before records are made of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabric.address import unpack_address
from schemas.partition import mix64
from schemas.rows import Leg, gather
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
        if not len(keep):
            return []
        probes, judgement = closed.probes, closed.judgement
        place, bytes_of = judgement.place[keep], altered.by_probe()
        rows = gather(probes.rows, keep)
        columns: dict[str, list[Any]] = {
            "row": keep.tolist(),
            "probe_id": probes.probe_id[keep].tolist(),
            "sent_at_us": probes.sent_at_us[keep].tolist(),
            "kind": probes.kind[keep].tolist(),
            "verdict": [Verdict(verdict) for verdict in judgement.verdict[keep].tolist()],
            "leg": [LEG_NAMES[leg] if leg >= 0 else None for leg in judgement.leg[keep].tolist()],
            "last": self._names(np.where(place >= 0, self._places.from_node[place], -1)),
            "next": self._names(np.where(place >= 0, self._places.to_node[place], -1)),
            "prober": self._names(probes.prober_node[keep]),
            "target": self._names(probes.target_node[keep]),
            "address": [unpack_address(address.tobytes()) for address in rows["target"]],
            "via": self._names(probes.via_node[keep]),
            "hops": self._hops(closed, keep),
        }
        for name in ("source_port", "destination_port", "rtt_ns", "reply_kind", "reply_ttl"):
            columns[name] = rows[name].tolist()
        each = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        return [_record(one, bytes_of.get(one["row"], [])) for one in each]

    def _names(self, nodes: NDArray[np.int32]) -> list[str]:
        """Names of nodes, empty where there is none: i4[n]."""
        return [self._name(node) if node >= 0 else "" for node in nodes.tolist()]

    def _hops(self, closed: Closed, keep: NDArray[np.intp]) -> list[list[dict[str, Any]]]:
        """The hops of each probe, leg after leg."""
        start, end = closed.legs.start[keep, Leg.ENCAPSULATED], closed.legs.end[keep, Leg.REPLY]
        first = np.cumsum(end - start) - (end - start)
        hop = np.arange(int((end - start).sum())) + np.repeat(start - first, end - start)
        hops, copies = closed.hops, closed.copies
        columns = (
            hops.leg[hop].tolist(),
            self._names(hops.switch[hop]),
            copies.port[hop].tolist(),
            hops.ttl[hop].tolist(),
            copies.observed_at_us[hop].tolist(),
            closed.altered.bad_copy[hop].tolist(),
            copies.content_hash[hop].tolist(),
        )
        records = [
            {
                "leg": LEG_NAMES[leg],
                "switch": switch,
                "port": port,
                "ttl": ttl,
                "observed_at_us": observed_at_us,
                "altered": altered,
                "content_hash": content_hash.to_bytes(8, "big"),
            }
            for leg, switch, port, ttl, observed_at_us, altered, content_hash in zip(*columns, strict=True)
        ]
        bounds = zip(first.tolist(), (first + end - start).tolist(), strict=True)
        return [records[one:other] for one, other in bounds]


def _record(probe: dict[str, Any], altered: list[tuple[int, int, int]]) -> dict[str, Any]:
    """A record from the columns of `Recorder`, and the altered bytes: offset, as sent, as seen."""
    verdict: Verdict = probe["verdict"]
    reason = _REASONS[verdict].format(
        last=probe["last"] or "the sender",
        next=probe["next"] or "an unknown next hop",
        leg=probe["leg"] or "",
    )
    return {
        "probe_id": probe["probe_id"],
        "sent_at_us": probe["sent_at_us"],
        "kind": KINDS[probe["kind"]],
        "verdict": verdict.label,
        "reason": reason,
        "sampled": verdict is Verdict.OK,
        "prober": probe["prober"],
        "target": probe["target"] or probe["address"],
        "target_address": probe["address"],
        "via": probe["via"],
        "source_port": probe["source_port"],
        "destination_port": probe["destination_port"],
        "rtt_ns": probe["rtt_ns"] if probe["rtt_ns"] >= 0 else None,
        "reply_kind": REPLIES[probe["reply_kind"]],
        "reply_ttl": probe["reply_ttl"] if probe["reply_ttl"] >= 0 else None,
        "last_seen": probe["last"],
        "next_node": probe["next"],
        "fault_leg": probe["leg"],
        "hops": probe["hops"],
        "alterations": [
            {"byte_offset": at, "xor_mask": sent ^ seen, "sent": sent, "seen": seen}
            for at, sent, seen in altered
        ],
    }
