"""Servers that are slow, choosy or noisy, and what Prober and mirrors see of it."""

import numpy as np
import pytest

from fabric.simulator import SimulatorSettings
from schemas.rows import Leg
from tests.fabric.simulated import DEMO, hops_of, run, within

SERVER = "server-2-3-4"


def mine(result):
    return result.probes["target_node"] == DEMO.node(SERVER)


@pytest.mark.parametrize(("delay_ms", "in_time"), [(100, True), (499, True), (501, False), (900, False)])
def test_a_slow_host_is_late_and_its_replies_are_mirrored_all_the_same(delay_ms, in_time):
    result = run(f"host_slow:{SERVER}:delay_ms={delay_ms}")
    clean = run()
    slow = mine(result)
    assert slow.sum() > 5
    rtt_ns = result.outcomes["rtt_ns"].astype(np.int64)
    if in_time:
        assert (rtt_ns[slow] - clean.outcomes["rtt_ns"][slow] == delay_ms * 1_000_000).all()
    else:
        assert (rtt_ns[slow] == -1).all()
        assert (result.truth.delayed_by[slow] == 0).all()
    assert (rtt_ns[~slow] == clean.outcomes["rtt_ns"][~slow]).all()
    assert (result.truth.delayed_by[~slow] == -1).all()
    assert not result.truth.host_silent.any()
    assert len(result.digests) == len(clean.digests)
    hops = hops_of(result)
    for row in np.flatnonzero(slow):
        reply = hops[int(result.probes["probe_id"][row]), Leg.REPLY]
        after_us = int(reply[0]["observed_at_us"]) - int(result.probes["sent_at_us"][row])
        assert after_us >= delay_ms * 1_000
    assert result.tallies[0].delayed == (0 if in_time else slow.sum())
    assert result.tallies[0].probes == slow.sum()


@pytest.mark.parametrize("rate", [0, 0.25, 1])
def test_a_limited_host_answers_some(rate):
    result = run(f"rst_limit:{SERVER}:rate={rate}", seconds=60)
    answered = (result.outcomes["rtt_ns"] > 0)[mine(result)]
    assert within(int(answered.sum()), len(answered), rate)
    assert (result.truth.silenced_by[mine(result)] >= 0).sum() == (~answered).sum()
    assert (result.outcomes["rtt_ns"][~mine(result)] > 0).all()


def test_hosts_make_noise_at_its_rates():
    settings = SimulatorSettings(host_silent_rate=0.004, host_slow_rate=0.006)
    result = run(settings=settings, seconds=20)
    servers = result.probes["target_node"] < DEMO.probers[0].node
    silent, late = result.truth.silenced_by == -2, result.truth.delayed_by == -2
    assert within(int(silent.sum()), int(servers.sum()), 0.004)
    assert within(int(late.sum()), int(servers.sum()), 0.006)
    assert not (silent & late).any()
    # Probers are not noisy.
    assert servers[silent | late].all()
    assert ((result.outcomes["rtt_ns"] < 0) == (silent | late)).all()
    assert (result.truth.host_silent == silent).all()
    assert result.tallies == {}
    # Late by up to as long again as the Prober waits.
    last = {}
    for row in result.digests[result.digests["leg"] == Leg.REPLY]:
        last[int(row["probe_id"])] = max(last.get(int(row["probe_id"]), 0), int(row["observed_at_us"]))
    after_us = [last[int(p["probe_id"])] - int(p["sent_at_us"]) for p in result.probes[late]]
    assert 500_000 < min(after_us) < 600_000
    assert 900_000 < max(after_us) < 1_010_000


def test_silence_goes_before_lateness_and_probers_make_no_noise():
    result = run(settings=SimulatorSettings(host_silent_rate=0.5, host_slow_rate=0.5), seconds=4)
    servers = result.probes["target_node"] < DEMO.probers[0].node
    silent, late = result.truth.silenced_by == -2, result.truth.delayed_by == -2
    assert not (silent & late).any()
    assert within(int(late.sum()), int((servers & ~silent).sum()), 0.5)
    assert (~servers).sum() > 10
    assert (result.outcomes["rtt_ns"][~servers] > 0).all()


def test_noise_is_not_the_same_again():
    settings = SimulatorSettings(host_silent_rate=0.1)
    first = run(settings=settings, seconds=10)
    by_target = np.bincount(first.probes["target_node"][first.truth.host_silent] % 1_000)
    assert (by_target > 0).sum() > 100, "all servers are silent now and then"


def test_a_host_that_is_down_is_not_noisy_as_well():
    settings = SimulatorSettings(host_silent_rate=0.5)
    result = run(f"host_down:{SERVER}", settings=settings)
    assert (result.truth.silenced_by[mine(result)] == 0).all()
