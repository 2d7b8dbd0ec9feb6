"""What live sources say when they are out, when their clocks are wrong, and when copies come late."""

from collections import defaultdict

import numpy as np
import pytest

from fabric.faults import parse_spec
from fabric.simulator import Simulator, SimulatorSettings
from fabric.simulator.live import LiveSimulation
from producers.plan import build_plan
from producers.publish import BatchPublisher
from schemas import topics
from schemas.batch import decode_batch
from schemas.rows import END_OF_SOURCE_US
from tests.fabric.simulated import DEMO, START_US, healthy

PARTITIONS = 3
TICK_US = 100_000


class Line:
    """All messages of one source, with the time at which they were written."""

    fill = 0.0

    def __init__(self, network, topic):
        self.network, self.topic, self.said = network, topic, []

    def produce(self, partition, message):
        self.said.append((self.network.us, decode_batch(self.topic, message)))

    def poll(self):
        pass

    def flush(self):
        pass

    @property
    def rows(self):
        return np.concatenate([batch.rows for _, batch in self.said])

    def times(self):
        return np.array([at for at, _ in self.said]) - START_US


class Network:
    """A live simulation on a clock of its own."""

    def __init__(self, *specs, seconds, settings=None, tick_us=TICK_US):
        self.us = START_US
        self.lines = {}
        self.simulator = Simulator(DEMO, seed=1, settings=settings)
        live = LiveSimulation(
            self.simulator,
            {p.name: build_plan(DEMO, p) for p in DEMO.probers},
            {p.name: self._publisher(topics.OUTCOMES, p.name) for p in DEMO.probers},
            {c.name: self._publisher(topics.DIGESTS, c.name) for c in DEMO.collectors},
            faults=[parse_spec(spec, DEMO) for spec in specs],
            tick_s=tick_us / 1e6,
            now_us=lambda: self.us,
            wait=self._wait,
        )
        self.counts = live.run(seconds)

    def _publisher(self, topic, source):
        self.lines[source] = Line(self, topic)
        return BatchPublisher(topic, source, START_US, PARTITIONS, self.lines[source])

    def _wait(self, seconds):
        self.us += round(seconds * 1e6)


def promises(line):
    """Partition -> (time, promise) of each of its messages."""
    found = defaultdict(list)
    for at, batch in line.said:
        found[batch.envelope.partition].append((at, batch.envelope.low_watermark_us))
    return found


def assert_promises_are_kept(line, field):
    """No message holds a row older than an earlier message of its partition promised."""
    promised = defaultdict(int)
    for _, batch in line.said:
        partition = batch.envelope.partition
        assert (batch.rows[field] >= promised[partition]).all()
        assert batch.envelope.low_watermark_us >= promised[partition]
        promised[partition] = batch.envelope.low_watermark_us


def assert_nothing_is_promised_beyond(line, out_us, back_us):
    """A source that goes does not know what comes after it."""
    for at, promise in (pair for pairs in promises(line).values() for pair in pairs):
        if at - START_US < back_us:
            assert promise - START_US <= out_us


def test_a_prober_that_is_out_says_nothing_at_all():
    network = Network("prober_outage:prober-1:after=1.98,for=3.02", seconds=7)
    line, other = network.lines["prober-1"], network.lines["prober-2"]
    times = line.times()
    # The last word falls into the tick in which it went.
    assert not ((times > 1_980_000 + TICK_US) & (times < 5_000_000)).any()
    assert (times < 2_000_000).any() and (times > 5_000_000).any()
    sent_us = line.rows["sent_at_us"].astype(np.int64) - START_US
    assert not ((sent_us >= 1_980_000) & (sent_us < 5_000_000)).any()
    assert ((sent_us >= 5_000_000) & (sent_us < 5_500_000)).any()
    # What it did not know yet when it went, it will never say; what it knew, it has said.
    assert 1_970_000 < sent_us[sent_us < 2_000_000].max() < 1_980_000
    assert_nothing_is_promised_beyond(line, 1_980_000, 5_000_000)
    assert_promises_are_kept(line, "sent_at_us")
    assert {b.envelope.low_watermark_us for _, b in line.said[-PARTITIONS:]} == {END_OF_SOURCE_US}
    gaps = np.diff(np.unique(other.times()))
    assert gaps.max() <= 3 * TICK_US, "the other one goes on"
    # Mirrors see no probes of it meanwhile.
    probe_ids = np.concatenate([network.lines[c.name].rows["probe_id"] for c in DEMO.collectors])
    arrived = np.concatenate([network.lines[c.name].rows["observed_at_us"] for c in DEMO.collectors])
    meanwhile = (arrived > START_US + 2_100_000) & (arrived < START_US + 5_000_000)
    assert set((probe_ids[meanwhile] >> 32).tolist()) == {2}


def test_timeouts_under_way_die_with_their_prober():
    network = Network("loss:border-1:rate=1", "prober_outage:prober-1:after=2,for=2", seconds=6)
    line = network.lines["prober-1"]
    sent_us = line.rows["sent_at_us"].astype(np.int64) - START_US
    assert (line.rows["rtt_ns"] == -1).all()
    # A timeout takes 500 ms to be known.
    assert 1_480_000 < sent_us[sent_us < 2_000_000].max() <= 1_500_000
    assert sent_us[sent_us > 2_000_000].min() >= 4_000_000
    assert_promises_are_kept(line, "sent_at_us")


def test_a_collector_that_is_out_says_nothing_at_all():
    network = Network("mirror_outage:collector-1:after=1.55,for=2", seconds=6)
    line = network.lines["collector-1"]
    times = line.times()
    assert not ((times > 1_550_000 + TICK_US) & (times < 3_550_000)).any()
    arrived = line.rows["observed_at_us"].astype(np.int64) - START_US
    assert not ((arrived >= 1_550_000) & (arrived < 3_550_000)).any()
    assert arrived[arrived < 2_000_000].max() > 1_540_000
    assert arrived[arrived > 2_000_000].min() < 3_560_000
    assert_nothing_is_promised_beyond(line, 1_550_000, 3_550_000)
    assert_promises_are_kept(line, "observed_at_us")
    assert np.diff(np.unique(network.lines["collector-2"].times())).max() <= 3 * TICK_US
    received = sum(c.received for _, batch in line.said for c in batch.exporters)
    assert received == len(line.rows)
    assert sum(c.lost for _, batch in line.said for c in batch.exporters) == 0


@pytest.mark.parametrize("spec", ["prober_outage:prober-1:after=1", "mirror_outage:collector-1:after=1"])
def test_a_source_that_is_out_at_the_end_does_not_say_that_it_has_ended(spec):
    network = Network(spec, seconds=3)
    name = spec.split(":")[1]
    for source, line in network.lines.items():
        ended = {batch.envelope.low_watermark_us == END_OF_SOURCE_US for _, batch in line.said}
        assert (True in ended) == (source != name)


@pytest.mark.parametrize("ms", [400, -400])
def test_a_prober_with_a_wrong_clock_promises_by_it(ms):
    right = Network(seconds=3)
    wrong = Network(f"clock_skew:prober-1:ms={ms}", seconds=3)
    one, other = right.lines["prober-1"], wrong.lines["prober-1"]
    assert one.times().tolist() == other.times().tolist()
    off_us = np.array(
        [
            (b.envelope.low_watermark_us - a.envelope.low_watermark_us)
            for (_, a), (_, b) in zip(one.said, other.said, strict=True)
            if a.envelope.low_watermark_us < END_OF_SOURCE_US
        ]
    )
    assert (off_us == ms * 1_000).all()
    assert_promises_are_kept(other, "sent_at_us")
    assert [b.rows["probe_id"].tolist() for _, b in one.said] == [
        b.rows["probe_id"].tolist() for _, b in other.said
    ]
    assert right.lines["prober-2"].rows.tolist() == wrong.lines["prober-2"].rows.tolist()


@pytest.mark.parametrize("ms", [400, -400])
def test_a_collector_with_a_wrong_clock_promises_by_it(ms):
    network = Network(f"clock_skew:collector-1:ms={ms}", seconds=3)
    line = network.lines["collector-1"]
    assert_promises_are_kept(line, "observed_at_us")
    for at, promise in (pair for pairs in promises(line).values() for pair in pairs):
        assert promise in (at + ms * 1_000, END_OF_SOURCE_US)


def test_no_copy_is_published_before_it_arrives():
    settings = SimulatorSettings(host_slow_rate=0.05, mirror_jitter_us=20_000)
    network = Network("flip:spine-1:rate=0.5", seconds=3, settings=settings, tick_us=50_000)
    waited = 0
    for collector in DEMO.collectors:
        line = network.lines[collector.name]
        assert_promises_are_kept(line, "observed_at_us")
        end_us = max(at for at, _ in line.said)
        for at, batch in line.said:
            if at < end_us:
                assert (batch.rows["observed_at_us"] <= at).all()
            assert [a.row for a in batch.altered] == sorted(a.row for a in batch.altered)
            assert [a.row for a in batch.altered] == np.flatnonzero(batch.rows["flags"] > 0).tolist()
            waited += len(batch.altered)
    assert waited > 50
    rows = np.concatenate([network.lines[c.name].rows for c in DEMO.collectors])
    assert len(rows) == network.counts.digests_sent


def test_what_waited_is_the_same_as_what_a_slice_has():
    settings = SimulatorSettings(host_slow_rate=0.05)
    network = Network(seconds=2, settings=settings)
    rows = np.concatenate([network.lines[c.name].rows for c in DEMO.collectors])
    order = np.lexsort((rows["ttl"], rows["leg"], rows["probe_id"]))
    whole = Simulator(DEMO, seed=1, settings=settings).run(healthy().probes).digests
    expected = np.lexsort((whole["ttl"], whole["leg"], whole["probe_id"]))
    assert rows[order].tolist() == whole[expected].tolist()
