"""The live pipeline on real kernels: Prober, lab, collector, and what the stream stages conclude."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from lab_traffic import needs_root
from lab_verdicts import PARTITIONS, Judged, TimedSink, judge

from fabric.builtin import builtin_fabric
from fabric.faults import parse_spec
from fabric.lab.run import Lab
from producers.collector import Collector, wall_clock_us
from producers.mirror.inventory import ExporterMap, ProbeMap
from producers.plan import PlanSettings
from producers.prober import ProbeLoop, reply_filter
from producers.prober_settings import ProberSettings
from producers.publish import BatchPublisher
from producers.send import IpSender
from producers.sources.ring import GRE_ONLY, RingOptions, RingSource
from schemas import topics

pytestmark = [pytest.mark.root, pytest.mark.slow]

PLAN = PlanSettings(interval_us=200_000)


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


def prober(lab: Lab, sink: TimedSink) -> ProbeLoop:
    name = lab.fabric.probers[0].name
    settings = ProberSettings(name, lab.prober_device, plan=PLAN)
    ring = RingOptions(2048, 256, reply_filter(lab.fabric.probe_port))
    return ProbeLoop(
        settings,
        lab.fabric,
        sender=lab.open_in(name, lambda: IpSender(lab.prober_device)),
        source=lab.open_in(name, lambda: RingSource(lab.prober_device, ring)),
        publisher=publisher(topics.OUTCOMES, name, sink),
        clock_us=wall_clock_us,
    )


def live(seconds: float, during: Callable[[Lab], None] = lambda lab: None) -> tuple[Judged, int]:
    """A run of the whole pipeline. Returns what was concluded, and the number of probes sent."""
    outcomes, digests, ended, enough = TimedSink(), TimedSink(), Event(), Event()
    with ThreadPoolExecutor(2) as threads, Lab(builtin_fabric("lab")) as lab:
        collecting = threads.submit(collector(lab, digests).run, ended)
        try:
            during(lab)
            probing = threads.submit(prober(lab, outcomes).run, enough)
            time.sleep(seconds)
        finally:
            enough.set()
        report = probing.result(timeout=10)
        time.sleep(0.2)  # the last copies
        ended.set()
        collecting.result(timeout=10)
        lab.check()
    assert not report.send_errors
    assert report.due == report.sent
    return judge(lab.fabric, outcomes, digests), report.sent


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
