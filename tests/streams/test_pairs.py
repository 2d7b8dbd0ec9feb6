"""Counts per pair of switches, of probes written by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from schemas.rows import PAIRS
from streams.pairs import RTT_MAX_NS
from tests.streams.by_hand import DOWN, HEALTHY, Path, judge, lost
from tests.streams.logs import SMALL

NODE = SMALL.node


def pairs(*paths: Path) -> list[tuple[int, ...]]:
    """PAIRS rows of a join that hears of these probes alone; members of one group."""
    numbered = [replace(path, member=member) for member, path in enumerate(paths)]
    heads = judge(*numbered).heads
    return [row for head in heads for row in np.frombuffer(head["pairs"], PAIRS.dtype).tolist()]


def test_losses_silence_and_alterations_stay_apart():
    found = pairs(
        HEALTHY,
        replace(HEALTHY, rtt_ns=120_000),
        lost("border-1 spine-1 leaf-2-1"),  # in the network
        lost(DOWN),  # the host
        replace(HEALTHY, out="border-1 spine-1* leaf-2-1* tor-2-1*"),
        lost("border-1 spine-1* leaf-2-1* tor-2-1*"),  # corrupted, so the kernel dropped it
        lost("border-1 spine-1", first_ttl=2),  # round and round
        lost(),  # seen nowhere
    )
    assert found == [(0, NODE("border-1"), NODE("tor-2-1"), 8, 3, 2, 1, 2, 280_000, 120_000)]


def test_kinds_and_ends():
    east_west = Path(encapsulated="border-1 spine-1 leaf-1-1 tor-1-1", out="leaf-1-2", via="tor-1-1")
    found = pairs(east_west, HEALTHY, replace(HEALTHY, target="server-1-1-1"), lost(target="prober-2"))
    assert found == sorted(found)
    assert {(kind, SMALL.node_name(a), SMALL.node_name(b), n) for kind, a, b, n, *_ in found} == {
        (0, "border-1", "tor-1-1", 1),
        (0, "border-1", "tor-2-1", 1),
        (0, "border-1", "border-2", 1),
        (1, "tor-1-1", "tor-2-1", 1),
    }


def test_what_the_inventory_does_not_know_is_in_no_pair():
    assert pairs(lost(target="192.0.2.77")) == []
    assert len(pairs(lost(target="192.0.2.77"), HEALTHY)) == 1


def test_a_senseless_round_trip_spoils_no_sum():
    ((*_, rtt_sum_ns, rtt_max_ns),) = pairs(*[replace(HEALTHY, rtt_ns=2**61)] * 8)
    assert (rtt_sum_ns, rtt_max_ns) == (8 * RTT_MAX_NS, RTT_MAX_NS)
