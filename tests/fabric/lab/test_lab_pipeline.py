"""The live pipeline on real kernels: Prober, lab, collector, and what the stream stages conclude."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from lab_traffic import ETHERNET_HEADER, needs_root, packet_socket, packets_waiting
from lab_verdicts import PARTITIONS, Judged, TimedSink, judge

from fabric.address import unpack_address
from fabric.builtin import builtin_fabric
from fabric.faults import parse_spec
from fabric.lab.run import Lab
from producers.collector import Collector, wall_clock_us
from producers.matching import Matcher
from producers.mirror.inventory import ExporterMap, ProbeMap
from producers.packets import PacketBatch
from producers.plan import PlanSettings, build_plan
from producers.publish import BatchPublisher
from producers.replies import parse_replies
from producers.sources.ring import GRE_ONLY, RingOptions, RingSource
from producers.wire import build, content_hash_as_sent
from schemas import topics

pytestmark = [pytest.mark.root, pytest.mark.slow]

PLAN = PlanSettings(interval_us=200_000)
MARGIN_US = 100_000  # what the small Prober below may be late by


def publisher(topic: str, source: str, sink: TimedSink) -> BatchPublisher:
    return BatchPublisher(topic, source, wall_clock_us(), PARTITIONS, sink)


def collector(lab: Lab, sink: TimedSink) -> Collector:
    source = lab.open_in(
        "collector-1",
        lambda: RingSource(lab.collector_device, RingOptions(frames=2048, packet_filter=GRE_ONLY)),
    )
    return Collector(
        source,
        publisher(topics.DIGESTS, "collector-1", sink),
        ExporterMap.of(lab.fabric),
        ProbeMap.of(lab.fabric),
        clock_us=wall_clock_us,
    )


def probe(lab: Lab, sink: TimedSink, seconds: float) -> int:
    """Probe by the plan. Returns the number of probes sent."""
    prober = lab.fabric.probers[0]
    plan, matcher = build_plan(lab.fabric, prober, PLAN), Matcher(prober.number, 4096)
    sender = lab.open_in(
        prober.name, lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    )
    receiver = lab.open_in(prober.name, lambda: packet_socket(lab.prober_device))
    started_us = done_us = wall_clock_us()
    with sender, receiver, publisher(topics.OUTCOMES, prober.name, sink) as outcomes:
        while matcher.outstanding or done_us < started_us + seconds * 1e6:
            now_us = wall_clock_us()
            until_us = min(now_us, started_us + int(seconds * 1e6))
            probes = plan.due(done_us, until_us)
            done_us = max(until_us, done_us)
            packets, lengths = build(probes, lab.fabric.dscp)
            sent_ns = []
            for row, packet, length in zip(probes, packets, lengths, strict=True):
                first_hop = row["via"] if any(row["via"].tobytes()) else row["target"]
                sent_ns.append(time.time_ns())
                sender.sendto(packet[:length].tobytes(), (unpack_address(first_hop.tobytes()), 0))
            matcher.sent(probes, content_hash_as_sent(probes), np.array(sent_ns, np.int64))
            replies = packets_waiting(receiver)
            if replies:
                batch = PacketBatch.of([reply[ETHERNET_HEADER:] for reply in replies])
                received_ns = np.full(len(replies), time.time_ns())
                matcher.received(parse_replies(batch.data, batch.lengths), received_ns)
            rows = matcher.close(time.time_ns())
            outcomes.publish(rows, matcher.low_watermark_us(done_us) - MARGIN_US, now_us)
            time.sleep(0.01)
    return matcher.counts.sent


def live(seconds: float, during: Callable[[Lab], None] = lambda lab: None) -> tuple[Judged, int]:
    """A run of the whole pipeline. Returns what was concluded, and the number of probes sent."""
    outcomes, digests, stop = TimedSink(), TimedSink(), threading.Event()
    with ThreadPoolExecutor(1) as threads, Lab(builtin_fabric("lab")) as lab:
        collecting = threads.submit(collector(lab, digests).run, stop)
        try:
            during(lab)
            sent = probe(lab, outcomes, seconds)
            time.sleep(0.2)
        finally:
            stop.set()
        collecting.result(timeout=10)
        lab.check()
    return judge(lab.fabric, outcomes, digests), sent


def with_fault(text: str) -> Callable[[Lab], None]:
    return lambda lab: lab.faults.start(parse_spec(text, lab.fabric))


def suspects(judged: Judged, kind: str) -> set[str]:
    return {s["element"] for f in judged.faults if f["kind"] == kind for s in f["suspects"]}


def test_a_healthy_network_is_seen_whole_and_accused_of_nothing() -> None:
    needs_root()
    judged, sent = live(4)
    assert judged.closed == sent
    assert judged.verdicts == {"ok": sent}
    assert judged.faults == []
    assert judged.dead_letters == []
    by_kind = {
        kind: [r for r in judged.results if r["kind"] == kind] for kind in ("north_south", "east_west")
    }
    # Every switch on the way is seen: 4 out and 4 back, and 4 more for the encapsulated stretch.
    assert judged.joined == 8 * len(by_kind["north_south"]) + 12 * len(by_kind["east_west"])
    for result in by_kind["east_west"]:
        climb = [hop["switch"].split("-")[0] for hop in result["hops"] if hop["leg"] == "probe"]
        assert climb == ["leaf", "spine", "leaf", "tor"]


def test_loss_on_a_link_is_found_and_nothing_else() -> None:
    needs_root()
    judged, sent = live(8, with_fault("loss:leaf-1-1~spine-2:rate=0.3"))
    assert judged.closed == sent
    assert set(judged.verdicts) == {"ok", "network_loss"}
    assert suspects(judged, "network_loss") & {"leaf-1-1", "spine-2", "leaf-1-1~spine-2"}
    assert {f["kind"] for f in judged.faults} == {"network_loss"}


def test_a_flip_is_located_between_the_right_hops() -> None:
    needs_root()
    judged, sent = live(8, with_fault("flip:spine-1~leaf-2-2:rate=0.5,offset=200,mask=0x04"))
    assert judged.closed == sent
    assert set(judged.verdicts) == {"ok", "corrupted"}
    corrupted = [result for result in judged.results if result["verdict"] == "corrupted"]
    assert {(r["last_seen"], r["next_node"]) for r in corrupted} == {("spine-1", "leaf-2-2")}
    masks = {alteration["xor_mask"] for result in corrupted for alteration in result["alterations"]}
    assert masks == {0x04}


def test_a_stopped_server_is_told_from_a_network_loss() -> None:
    needs_root()
    judged, sent = live(5, with_fault("host_down:server-1-2-1"))
    assert judged.closed == sent
    assert set(judged.verdicts) == {"ok", "host_silent"}
    assert not [f for f in judged.faults if f["kind"] == "network_loss"]
