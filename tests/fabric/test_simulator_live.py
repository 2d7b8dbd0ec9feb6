"""The simulated network by the clock: what is published keeps the contract of batches."""

import json

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from fabric.faults import parse_spec
from fabric.show import fabric_document, fabric_text
from fabric.simulator import Simulator, SimulatorSettings
from fabric.simulator.live import LiveSimulation
from fabric.simulator.outbox import Outbox
from producers.plan import build_plan
from producers.publish import BatchPublisher, DeliveryError, MemorySink
from schemas import topics
from schemas.batch import decode_batch
from schemas.partition import group_of, partition_of
from schemas.rows import END_OF_SOURCE_US, OUTCOME

PARTITIONS = 4
START_US = 1_700_000_000_000_000
DEMO = builtin_fabric("demo")


class Clock:
    """Time that passes only when somebody waits for it."""

    def __init__(self):
        self.us = START_US

    def now_us(self):
        return self.us

    def wait(self, seconds):
        self.us += round(seconds * 1e6)


class Network:
    """A live simulation on a clock of its own, with every message kept."""

    def __init__(self, *specs, fabric=DEMO, settings=None):
        self.clock = Clock()
        self.sinks = {}
        self.injected = []
        self.live = LiveSimulation(
            Simulator(fabric, seed=1, settings=settings),
            {p.name: build_plan(fabric, p) for p in fabric.probers},
            {p.name: self._publisher(topics.OUTCOMES, p.name) for p in fabric.probers},
            {c.name: self._publisher(topics.DIGESTS, c.name) for c in fabric.collectors},
            faults=[parse_spec(spec, fabric) for spec in specs],
            on_injected=lambda spec, started_ns: self.injected.append((spec.text, started_ns)),
            now_us=self.clock.now_us,
            wait=self.clock.wait,
        )

    def _publisher(self, topic, source):
        sink = self.sinks[source] = MemorySink(PARTITIONS)
        return BatchPublisher(topic, source, START_US, PARTITIONS, sink)

    def batches(self, source):
        """Of each partition, in order."""
        topic = topics.OUTCOMES if source.startswith("prober") else topics.DIGESTS
        return [[decode_batch(topic, m) for m in part] for part in self.sinks[source].messages]


@pytest.fixture(scope="module")
def network():
    network = Network("flip:spine-1:rate=0.5,after=2", "mirror_loss:leaf-1-1:rate=0.5")
    network.live.run(5)
    return network


def test_every_probe_is_published_once(network):
    due = [build_plan(DEMO, p).due(START_US, START_US + 5_000_000) for p in DEMO.probers]
    expected = np.sort(np.concatenate([d["probe_id"] for d in due]))
    rows = np.concatenate(
        [b.rows for p in DEMO.probers for part in network.batches(p.name) for b in part], dtype=OUTCOME.dtype
    )
    assert np.sort(rows["probe_id"]).tolist() == expected.tolist()
    assert network.live.counts.probes_sent == len(expected)
    digests = sum(len(b.rows) for c in DEMO.collectors for part in network.batches(c.name) for b in part)
    assert network.live.counts.digests_sent == digests > 5 * len(expected)


def test_watermarks_are_kept_and_sources_end(network):
    for source in network.sinks:
        time_field = "sent_at_us" if source.startswith("prober") else "observed_at_us"
        for partition, batches in enumerate(network.batches(source)):
            promised = 0
            for sequence, batch in enumerate(batches):
                assert batch.envelope.sequence == sequence
                assert batch.envelope.low_watermark_us >= promised
                assert (batch.rows[time_field] >= promised).all()
                group = group_of(batch.rows["probe_id"].astype(np.int64))
                assert (partition_of(group, PARTITIONS) == partition).all()
                promised = batch.envelope.low_watermark_us
            assert promised == END_OF_SOURCE_US
            assert len(batches) > 5


def test_watermarks_advance_with_time(network):
    """At most a heartbeat behind, even in a partition without rows."""
    for source in network.sinks:
        for batches in network.batches(source):
            promises = [b.envelope.low_watermark_us for b in batches if b.envelope.low_watermark_us < 2**62]
            assert promises[-1] >= START_US + 4_000_000


def test_groups_stay_together(network):
    for prober in DEMO.probers:
        for batches in network.batches(prober.name):
            for batch in batches:
                groups, sizes = np.unique(
                    group_of(batch.rows["probe_id"].astype(np.int64)), return_counts=True
                )
                assert (sizes == 3).all(), groups


def test_faults_start_at_their_times(network):
    assert network.injected == [
        ("mirror_loss:leaf-1-1:rate=0.5", START_US * 1_000),
        ("flip:spine-1:rate=0.5,after=2", (START_US + 2_000_000) * 1_000),
    ]


def test_altered_packets_point_at_their_rows(network):
    seen = 0
    for collector in DEMO.collectors:
        for batches in network.batches(collector.name):
            for batch in batches:
                flagged = np.flatnonzero(batch.rows["flags"] != 0).tolist()
                assert [a.row for a in batch.altered] == flagged
                for altered in batch.altered:
                    assert len(altered.packet) == batch.rows["length"][altered.row]
                    seen += 1
    assert seen > 10


def test_sequence_gaps_are_reported(network):
    received, lost = {}, {}
    for collector in DEMO.collectors:
        for batches in network.batches(collector.name):
            for count in (c for b in batches for c in b.exporters):
                received[count.switch] = received.get(count.switch, 0) + count.received
                lost[count.switch] = lost.get(count.switch, 0) + count.lost
    assert sum(received.values()) == network.live.counts.digests_sent
    assert {switch for switch, count in lost.items() if count} == {DEMO.node("leaf-1-1")}


def test_exporters_keep_to_their_collector(network):
    owners = {s.node: DEMO.collector_of(s).name for s in DEMO.switches}
    for collector in DEMO.collectors:
        for batches in network.batches(collector.name):
            for batch in batches:
                assert {owners[int(s)] for s in np.unique(batch.rows["switch"])} <= {collector.name}


def test_stop_ends_cleanly():
    network = Network()
    wait = network.clock.wait

    def stop_after_a_second(seconds):
        wait(seconds)
        if network.clock.us - START_US > 1_000_000:
            network.live.stop()

    network.live._wait = stop_after_a_second
    counts = network.live.run(None)
    assert counts.probes_sent > 1_000
    assert all(part[-1].envelope.ends for s in network.sinks for part in network.batches(s))


def test_a_standstill_is_caught_up_in_steps():
    network = Network()
    network.live._wait = lambda seconds: network.clock.wait(seconds * 30)
    counts = network.live.run(10)
    assert counts.probes_sent == sum(
        len(build_plan(DEMO, p).due(START_US, START_US + 10_000_000)) for p in DEMO.probers
    )


def test_errors_of_publishers_end_the_run_without_an_end_of_source():
    network = Network()
    sink = network.sinks["collector-1"]

    def refuse(partition, message):
        raise DeliveryError("gone")

    sink.produce = refuse
    with pytest.raises(DeliveryError):
        network.live.run(1)
    ends = [b.envelope.ends for s in network.sinks for part in network.batches(s) for b in part]
    assert not any(ends)


def test_missing_publishers_are_refused():
    plans = {p.name: build_plan(DEMO, p) for p in DEMO.probers}
    with pytest.raises(ValueError, match="each Prober needs"):
        LiveSimulation(Simulator(DEMO, 1), plans, {}, {})
    publishers = {name: Network()._publisher(topics.OUTCOMES, name) for name in plans}
    with pytest.raises(ValueError, match="collector-1, collector-2"):
        LiveSimulation(Simulator(DEMO, 1), plans, publishers, {})


def test_the_outbox_waits_for_whole_groups():
    rows = np.zeros(4, OUTCOME.dtype)
    rows["probe_id"] = [8, 9, 16, 17]
    rows["sent_at_us"] = [100, 100, 200, 200]
    outbox = Outbox()
    outbox.add(rows, np.array([150, 600, 250, 260]))
    known, low = outbox.take(300, 1_000)
    assert known["probe_id"].tolist() == [16, 17]
    assert known.dtype == OUTCOME.dtype
    assert low == 100
    known, low = outbox.take(600, 1_000)
    assert known["probe_id"].tolist() == [8, 9]
    assert (low, len(outbox)) == (1_000, 0)


def test_the_whole_run_is_repeatable():
    runs = [Network("loss:spine-1:rate=0.1", settings=SimulatorSettings(loss_rate=0.001)) for _ in range(2)]
    for network in runs:
        network.live.run(1)
    assert runs[0].sinks["collector-1"].messages == runs[1].sinks["collector-1"].messages
    assert runs[0].sinks["prober-2"].messages == runs[1].sinks["prober-2"].messages


def test_fabric_is_shown_to_programs():
    document = json.loads(json.dumps(fabric_document(DEMO)))
    assert {"name", "tier", "pod", "chips"} <= set(document["switches"][0])
    assert {"from": "tor-1-1", "to": "leaf-1-1"} in document["links"]
    assert {"from": "leaf-1-1", "to": "tor-1-1"} in document["links"]
    assert {"name", "tor"} <= set(document["servers"][0])
    assert [p["name"] for p in document["probers"]] == ["prober-1", "prober-2"]
    assert "spine-1/lc-1" in next(s for s in document["switches"] if s["name"] == "spine-1")["chips"]


def test_fabric_is_shown_to_people():
    text = fabric_text(DEMO)
    for name in ("spine-1/fc-2", "tor-1-1~leaf-1-1", "server-4-4-12", "prober-2"):
        assert name in text
