"""Faults of mirrors and of clocks: what is reported is wrong or missing, what happens is not."""

from collections import Counter

import numpy as np
import pytest

from fabric.simulator import SimulatorSettings
from producers.content import normalise
from producers.wire import build
from schemas.rows import DigestFlag, Leg
from tests.fabric.simulated import DEMO, SMALL, SMALL_6, START_US, healthy, run, within

LEAF = DEMO.node("leaf-2-1")
TICK_US = 100


def at_leaf(result):
    return result.digests["switch"] == LEAF


def sent_at(result):
    """Send time of the probe of each digest, by the right clock."""
    times = dict(zip(result.probes["probe_id"].tolist(), result.probes["sent_at_us"].tolist(), strict=True))
    return np.array([times[i] for i in result.digests["probe_id"].tolist()]) - START_US


MIRROR_FAULTS = [
    "mirror_loss:leaf-2-1:rate=0.5",
    "mirror_outage:leaf-2-1",
    "mirror_outage:collector-1",
    "mirror_truncate:leaf-2-1:bytes=60",
    "mirror_corrupt:leaf-2-1:rate=0.5",
    "clock_skew:collector-1:ms=200",
    "clock_skew:leaf-2-1:ms=200",
]


@pytest.mark.parametrize("spec", MIRROR_FAULTS)
def test_what_happens_to_packets_is_not_touched(spec):
    result, clean = run(spec), healthy()
    assert result.outcomes.tolist() == clean.outcomes.tolist()
    for name in clean.truth.__dataclass_fields__:
        assert getattr(result.truth, name).tolist() == getattr(clean.truth, name).tolist()
    others = ~at_leaf(result) & np.array(
        [owner(s) != "collector-1" for s in result.digests["switch"].tolist()]
    )
    elsewhere = ~at_leaf(clean) & np.array(
        [owner(s) != "collector-1" for s in clean.digests["switch"].tolist()]
    )
    assert result.digests[others].tolist() == clean.digests[elsewhere].tolist()


def owner(node):
    switch = DEMO.switch_by_name[DEMO.node_name(node)]
    return DEMO.collector_of(switch).name


def test_an_exporter_that_is_out_sends_nothing_and_leaves_no_gaps():
    result, clean = run("mirror_outage:leaf-2-1:after=0.5,for=1"), healthy()
    missing = at_leaf(clean) & (sent_at(clean) >= 500_000) & (sent_at(clean) < 1_500_000)
    assert result.digests.tolist() == clean.digests[~missing].tolist()
    assert result.mirror_lost.sum() == 0
    assert result.mirrored.sum() == len(result.digests)
    assert result.tallies[0].packets == result.tallies[0].silenced == missing.sum() > 100


def test_a_collector_that_is_out_misses_what_arrives():
    # Late replies are sent before the outage and arrive in it, or are sent in it and arrive later.
    late = SimulatorSettings(host_slow_rate=0.2)
    result, clean = run("mirror_outage:collector-1:after=0.5,for=1", settings=late), run(settings=late)
    arrived_us = clean.arrived_at_us - START_US
    mine = np.array([owner(s) == "collector-1" for s in clean.digests["switch"].tolist()])
    missing = mine & (arrived_us >= 500_000) & (arrived_us < 1_500_000)
    assert result.digests.tolist() == clean.digests[~missing].tolist()
    assert result.tallies[0].silenced == missing.sum() > 1_000
    assert result.mirror_lost.sum() == 0


def test_lost_copies_leave_gaps():
    result, clean = run("mirror_loss:leaf-2-1:rate=0.5", seconds=8), healthy(8.0)
    lost = len(clean.digests) - len(result.digests)
    assert within(lost, int(at_leaf(clean).sum()), 0.5)
    assert result.mirror_lost.sum() == result.tallies[0].silenced == lost


def test_copies_of_one_probe_are_lost_one_by_one():
    node = DEMO.node("border-1")
    result, clean = run("mirror_loss:border-1:rate=0.5", seconds=4), healthy(4.0)

    def copies(slice_):
        mine = (slice_.digests["switch"] == node) & (slice_.digests["leg"] > 0)
        return Counter(slice_.digests["probe_id"][mine].tolist())

    kept = copies(result)
    left = np.array([kept[probe_id] for probe_id, made in copies(clean).items() if made == 2])
    assert len(left) > 500
    for count, share in ((0, 0.25), (1, 0.5), (2, 0.25)):
        assert within(int((left == count).sum()), len(left), share)


def test_exporters_lose_at_rates_of_their_own():
    settings = SimulatorSettings(mirror_loss_rate=0.02, mirror_loss_spread=4)
    result = run(settings=settings, seconds=20)
    made = result.mirrored + result.mirror_lost
    rates = result.mirror_lost / made
    assert rates.max() > 0.04
    assert rates.min() < 0.01
    # The rates in the middle are around the one given.
    assert 0.01 < np.median(rates) < 0.04
    even = run(settings=SimulatorSettings(mirror_loss_rate=0.02), seconds=8)
    assert within(int(even.mirror_lost.sum()), int((even.mirrored + even.mirror_lost).sum()), 0.02)


def test_truncated_copies_are_marked_and_not_taken_for_altered():
    result, clean = run("mirror_truncate:leaf-2-1:bytes=60"), healthy()
    cut = at_leaf(clean) & (clean.digests["length"] > 60)
    assert (result.digests["flags"][cut] == DigestFlag.TRUNCATED).all()
    assert (result.digests["flags"][~cut] == 0).all()
    assert (result.digests["content_hash"][cut] != clean.digests["content_hash"][cut]).all()
    same = [name for name in clean.digests.dtype.names if name not in ("flags", "content_hash")]
    assert result.digests[same].tolist() == clean.digests[same].tolist()
    # Replies of 40 bytes are whole.
    assert set(result.digests["leg"][cut].tolist()) <= {Leg.ENCAPSULATED, Leg.PROBE}
    assert not result.altered
    assert result.tallies[0].altered == cut.sum() > 100


@pytest.mark.parametrize(("fabric", "header"), [(SMALL, 20), (SMALL_6, 40)], ids=["v4", "v6"])
@pytest.mark.parametrize("short", [0, 1])
def test_copies_without_a_tcp_header_are_no_probes(fabric, header, short):
    tor = fabric.switches[0]
    bytes_left = header + 14 - short
    result = run(f"mirror_truncate:{tor.name}:bytes={bytes_left}", fabric=fabric)
    clean = run(fabric=fabric)
    mine = clean.digests["switch"] == tor.node
    inside = mine & (clean.digests["leg"] == Leg.ENCAPSULATED)  # another header goes before theirs
    missing = mine if short else inside
    assert missing.any()
    kept = clean.digests[~missing]
    assert result.digests["probe_id"].tolist() == kept["probe_id"].tolist()
    assert result.tallies[0].silenced == missing.sum()
    assert result.mirrored.tolist() == clean.mirrored.tolist(), "they did arrive"


@pytest.mark.parametrize("fabric", [SMALL, SMALL_6], ids=["v4", "v6"])
def test_a_corrupted_copy_is_one_bad_copy_of_a_good_packet(fabric):
    switch = fabric.switches[4]
    result = run(f"mirror_corrupt:{switch.name}:rate=0.3", fabric=fabric, seconds=4)
    clean = run(fabric=fabric, seconds=4)
    bad = result.digests["content_hash"] != clean.digests["content_hash"]
    mine = clean.digests["switch"] == switch.node
    assert not bad[~mine].any()
    assert within(int(bad.sum()), int(mine.sum()), 0.3)
    assert (result.digests["flags"][bad] & DigestFlag.BAD_CHECKSUM != 0).all()
    assert (result.digests["flags"][~bad] == 0).all()
    assert {a.row for a in result.altered} == set(np.flatnonzero(bad).tolist())
    assert set(result.digests["leg"][bad].tolist()) >= {Leg.PROBE, Leg.REPLY}
    sent = {int(p["probe_id"]): p for p in result.probes}
    for altered in result.altered:
        row = result.digests[altered.row]
        if row["leg"] == Leg.REPLY:
            continue
        bare = np.array([sent[int(row["probe_id"])]])
        bare["via"] = np.zeros(1, "V16")
        packets, lengths = build(bare)
        good = normalise(packets, lengths)[0, : lengths[0]]
        differing = good ^ np.frombuffer(altered.packet, np.uint8)
        assert np.bitwise_count(differing).sum() == 1
    assert result.tallies[0].altered == bad.sum()


def test_a_corrupted_copy_of_an_altered_packet_shows_both():
    at = "rate=1,offset=120,mask=1"
    result = run(f"flip:spine-1~leaf-2-1:{at}", "mirror_corrupt:leaf-2-1:rate=1")
    alone = run(f"flip:spine-1~leaf-2-1:{at}")
    port = DEMO.link_by_name["spine-1~leaf-2-1"].to_port
    packets = {a.row: a.packet for a in alone.altered}
    both = 0
    for altered in result.altered:
        row = result.digests[altered.row]
        if row["switch"] == LEAF and row["port"] == port and row["leg"] != Leg.REPLY:
            differing = np.frombuffer(packets[altered.row], np.uint8) ^ np.frombuffer(
                altered.packet, np.uint8
            )
            assert np.bitwise_count(differing).sum() == 1
            both += 1
    assert both > 20


@pytest.mark.parametrize("ms", [250, -250])
def test_a_prober_with_a_wrong_clock_writes_it_everywhere(ms):
    result, clean = run(f"clock_skew:prober-1:ms={ms}"), healthy()
    mine = result.probes["probe_id"] >> 32 == 1
    off_us = np.where(mine, ms * 1_000, 0)
    for rows, right in ((result.probes, clean.probes), (result.outcomes, clean.outcomes)):
        assert (rows["sent_at_us"].astype(np.int64) - right["sent_at_us"] == off_us).all()
    # The network goes by the right time, and so does the interval that a Prober measures.
    assert result.outcomes["rtt_ns"].tolist() == clean.outcomes["rtt_ns"].tolist()
    assert result.known_at_us.tolist() == clean.known_at_us.tolist()
    assert result.digests["observed_at_us"].tolist() == clean.digests["observed_at_us"].tolist()
    # The send time stands in the payload, so the content is another one.
    bare = result.probes.copy()
    bare["via"] = np.zeros(1, "V16")
    assert (result.outcomes["content_hash"] != clean.outcomes["content_hash"]).tolist() == mine.tolist()
    hashes = dict(
        zip(result.probes["probe_id"].tolist(), result.outcomes["content_hash"].tolist(), strict=True)
    )
    forward = result.digests[result.digests["leg"] != Leg.REPLY]
    assert forward["content_hash"].tolist() == [hashes[i] for i in forward["probe_id"].tolist()]
    assert not result.altered
    assert result.tallies[0].packets == mine.sum()


def test_a_collector_with_a_wrong_clock_stamps_its_copies_only():
    result, clean = run("clock_skew:collector-1:ms=300,after=1"), healthy()
    mine = np.array([owner(s) == "collector-1" for s in clean.digests["switch"].tolist()])
    late = clean.arrived_at_us >= START_US + 1_000_000
    off_us = result.digests["observed_at_us"].astype(np.int64) - clean.digests["observed_at_us"]
    assert off_us.tolist() == np.where(mine & late, 300_000, 0).tolist()
    assert result.arrived_at_us.tolist() == clean.arrived_at_us.tolist()


def test_an_exporter_with_a_wrong_clock_changes_its_ticks_only():
    stamping = next(s for s in DEMO.switches if s.dialect == 3)
    plain = next(s for s in DEMO.switches if s.dialect != 3)
    result = run(f"clock_skew:{stamping.name}:ms=300", f"clock_skew:{plain.name}:ms=300")
    clean = healthy()
    mine = clean.digests["switch"] == stamping.node
    ticks = result.digests["exporter_time"].astype(np.int64) - clean.digests["exporter_time"]
    assert (ticks % 2**32).tolist() == np.where(mine, 300_000 // TICK_US, 0).tolist()
    same = [name for name in clean.digests.dtype.names if name != "exporter_time"]
    assert result.digests[same].tolist() == clean.digests[same].tolist()


def test_clocks_of_a_healthy_network_are_a_little_off():
    most_us = 50_000
    result = run(settings=SimulatorSettings(clock_skew_us_max=most_us))
    off_us = result.digests["observed_at_us"].astype(np.int64) - result.arrived_at_us
    assert len(set(off_us.tolist())) == len(DEMO.collectors)
    written_us = result.outcomes["sent_at_us"].astype(np.int64) - healthy().outcomes["sent_at_us"]
    assert len(set(written_us.tolist())) == len(DEMO.probers)
    assert 0 < np.abs(np.append(off_us, written_us)).max() <= most_us


def test_a_prober_that_is_out_sends_nothing():
    result, clean = run("prober_outage:prober-2:after=0.5,for=1"), healthy()
    sent_us = clean.probes["sent_at_us"].astype(np.int64) - START_US
    unsent = (clean.probes["probe_id"] >> 32 == 2) & (sent_us >= 500_000) & (sent_us < 1_500_000)
    assert result.probes.tolist() == clean.probes[~unsent].tolist()
    assert result.outcomes.tolist() == clean.outcomes[~unsent].tolist()
    assert len(result.truth.lost_leg) == len(result.probes)
    gone = set(clean.probes["probe_id"][unsent].tolist())
    kept = [row for row in clean.digests.tolist() if row[0] not in gone]
    assert sorted(result.digests.tolist()) == sorted(kept)
    assert result.tallies[0].probes == result.tallies[0].silenced == unsent.sum() > 100
