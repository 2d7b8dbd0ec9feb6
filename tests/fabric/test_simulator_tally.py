"""What a fault met and did: the tally against plain counting, whole and in slices."""

from itertools import pairwise

import numpy as np
import pytest

from fabric.simulator import SimulatorSettings
from fabric.simulator.tally import FaultTally
from tests.fabric.simulated import DEMO, due, healthy, link_of, run, simulator, turns, ways_of

MANY = [
    "loss:spine-1:rate=0.2,after=0.5",
    "loss:spine-2/lc-1>lc-2:rate=0.5,min_bytes=500",
    "black_hole:leaf-2-1~spine-1:share=0.4",
    "flip:tor-1-1~leaf-1-1:rate=0.5",
    "flip:leaf-3-3:rate=1,offset=100,mask=3,stuck=1",
    "loop:leaf-1-2~spine-3:share=0.5",
    "wrong_route:leaf-4-1~tor-4-2:share=0.3",
    "switch_down:tor-3-1:for=1",
    "reboot:leaf-2-4:for=0.5,after=0.2",
    "reboot:server-4-4-4:for=1",
    "host_slow:server-4-4-5:delay_ms=700",
    "rst_limit:server-4-4-6:rate=0.5",
    "mirror_loss:leaf-3-1:rate=0.5",
    "mirror_outage:leaf-3-2:for=1",
    "mirror_outage:collector-2:after=1,for=0.25",
    "mirror_truncate:leaf-1-1:bytes=128",
    "mirror_corrupt:leaf-1-4:rate=0.3",
    "prober_outage:prober-2:after=0.7,for=0.4",
    "clock_skew:prober-1:ms=120,after=1",
    "clock_skew:collector-1:ms=-80",
    "clock_skew:spine-5:ms=3",
]
NOISE = SimulatorSettings(
    loss_rate=0.001,
    mirror_loss_rate=0.01,
    mirror_loss_spread=3,
    host_silent_rate=0.01,
    host_slow_rate=0.01,
    clock_skew_us_max=20_000,
)


def test_a_loss_is_tallied_as_counted():
    name = "leaf-2-1~spine-1"
    result = run(f"loss:{name}:rate=0.5", seconds=4)
    ways = ways_of(healthy(4.0))
    lost = result.truth.lost_leg >= 0
    died = dict(zip(result.probes["probe_id"].tolist(), result.truth.lost_leg.tolist(), strict=True))
    # Packets that really came by: not those of legs after the one on which the probe was lost.
    came = [
        (i, leg)
        for (i, leg), way in ways.items()
        if link_of(name) in pairwise(way) and (died[i] < 0 or leg <= died[i])
    ]
    tally = result.tallies[0]
    assert tally.packets == len(came)
    assert tally.probes == len({i for i, _ in came})
    assert tally.lost == lost.sum() > 5
    assert tally.harmed_at_us == tuple(sorted(result.probes["sent_at_us"][lost].tolist())[:5])
    assert tally.fifth_harmed_at_us == tally.harmed_at_us[4]
    assert (tally.altered, tally.strayed, tally.silenced, tally.delayed) == (0, 0, 0, 0)


def test_what_comes_before_or_after_a_fault_is_not_tallied():
    result = run("loss:spine-1:rate=1,after=1,for=1", seconds=4)
    ways = ways_of(healthy(4.0))
    sent = dict(zip(result.probes["probe_id"].tolist(), result.probes["sent_at_us"].tolist(), strict=True))
    first, spine = min(sent.values()), DEMO.node("spine-1")
    through = {
        i
        for (i, _), way in ways.items()
        if any(at == spine for _, at, _ in turns(way)) and 1_000_000 <= sent[i] - first < 2_000_000
    }
    assert result.tallies[0].probes == result.tallies[0].lost == len(through)


def test_a_fault_that_meets_nothing_has_no_tally():
    assert run("loss:spine-1:rate=1,after=60", "loss:spine-2:rate=1").tallies.keys() == {1}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("flip:leaf-3-3:rate=0.5", "altered"),
        ("loop:leaf-1-2~spine-3", "strayed"),
        ("host_down:server-4-4-4", "silenced"),
        ("host_slow:server-4-4-4:delay_ms=600", "delayed"),
    ],
)
def test_each_harm_is_tallied_as_the_truth_has_it(spec, field):
    result = run(spec, seconds=4)
    columns = {
        "altered": result.truth.altered_by,
        "strayed": result.truth.strayed_by,
        "silenced": result.truth.silenced_by,
        "delayed": result.truth.delayed_by,
    }
    harmed = columns[field] == 0
    assert getattr(result.tallies[0], field) == result.tallies[0].harmed == harmed.sum() > 0
    assert result.tallies[0].harmed_at_us == tuple(sorted(result.probes["sent_at_us"][harmed].tolist())[:5])


@pytest.mark.parametrize("seed", [1, 2])
def test_no_cut_changes_what_happens(seed):
    """Every kind of fault and of noise, in one slice and in many."""
    probes = due(2)
    whole = simulator(*MANY, settings=NOISE, seed=seed).run(probes)
    made = simulator(*MANY, settings=NOISE, seed=seed)
    cuts = [0, 3, 700, 701, 1500, len(probes)]
    parts = [made.run(probes[a:b]) for a, b in pairwise(cuts)]
    assert np.concatenate([p.outcomes for p in parts]).tolist() == whole.outcomes.tolist()
    assert np.concatenate([p.known_at_us for p in parts]).tolist() == whole.known_at_us.tolist()
    assert np.concatenate([p.probes for p in parts]).tolist() == whole.probes.tolist()
    digests = np.concatenate([p.digests for p in parts])
    assert sorted(digests.tolist()) == sorted(whole.digests.tolist())
    packets = [(p.digests[a.row].tolist(), a.packet) for p in parts for a in p.altered]
    assert sorted(packets) == sorted((whole.digests[a.row].tolist(), a.packet) for a in whole.altered)
    for name in whole.truth.__dataclass_fields__:
        joined = np.concatenate([getattr(p.truth, name) for p in parts])
        assert joined.tolist() == getattr(whole.truth, name).tolist(), name
    assert sum(p.mirrored for p in parts).tolist() == whole.mirrored.tolist()
    assert sum(p.mirror_lost for p in parts).tolist() == whole.mirror_lost.tolist()
    for number in range(len(MANY)):
        added = sum((p.tallies.get(number, FaultTally()) for p in parts), FaultTally())
        assert added == whole.tallies.get(number), MANY[number]
    assert set(whole.tallies) == set(range(len(MANY))), "each of the faults has met something"


def test_the_order_of_probes_does_not_matter():
    probes = due(2)
    mixed = probes[np.random.default_rng(5).permutation(len(probes))]
    one, other = (simulator(*MANY, settings=NOISE).run(each) for each in (probes, mixed))
    assert one.tallies == other.tallies
    assert sorted(one.digests.tolist()) == sorted(other.digests.tolist())


def test_a_probe_that_is_harmed_in_two_ways_is_harmed_once():
    result = run("wrong_route:leaf-2-1~tor-2-2", seconds=4)
    tally = result.tallies[0]
    assert tally.strayed > tally.lost > 0
    assert tally.harmed == (result.truth.strayed_by == 0).sum() == tally.strayed


def test_seeds_differ_and_repeat():
    runs = [simulator(*MANY, settings=NOISE, seed=seed).run(due(1)) for seed in (1, 1, 2)]
    assert runs[0].digests.tolist() == runs[1].digests.tolist()
    assert runs[0].digests.tolist() != runs[2].digests.tolist()


def test_tallies_add_up():
    one = FaultTally(packets=3, probes=2, lost=2, harmed=2, harmed_at_us=(5, 9))
    two = FaultTally(packets=9, probes=9, lost=6, altered=1, harmed=7, harmed_at_us=(1, 2, 3, 7, 8))
    assert one + two == two + one
    assert (one + two).harmed_at_us == (1, 2, 3, 5, 7)
    assert ((one + two).packets, (one + two).lost, (one + two).altered) == (12, 8, 1)
    assert (one + two).harmed == 9
    assert one.fifth_harmed_at_us is None
    assert two.fifth_harmed_at_us == 8
