"""From logs through the real join to faults, where nothing is mirrored, or no longer."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from fabric.builtin import builtin_fabric
from schemas.codec import encode
from schemas.framing import SingleObject
from schemas.rows import BLIND, PAIRS, PATHS
from streams.join import Network
from streams.localise.align import SlotAlignment, WholeSlot
from streams.localise.blind import BlindDetector
from streams.localise.blind.cells import Cells
from streams.localise.blind.learnt import LearntWays
from streams.localise.finding import Finding
from streams.localise.reading import read as read_evidence
from streams.settings import JoinSettings
from tests.streams.logs import START_US, Scenario, record
from tests.streams.reading import read

DEMO = builtin_fabric("demo")
NETWORK = Network(DEMO)
PARTITIONS = 2
S = 1_000_000
#: Mirrors fail here, where they do; they have shown the ways of flows until then.
DARK_S = 5
NO_MIRRORS = tuple(f"mirror_loss:{switch.name}:rate=1" for switch in DEMO.switches)
ALL_DARK = tuple(f"mirror_loss:{switch.name}:rate=1,after={DARK_S}" for switch in DEMO.switches)


@cache
def slots(*faults: str, mirrors: bool = True, seconds: float = 13) -> tuple[WholeSlot, ...]:
    """Evidence of both partitions, slot by slot."""
    scenario = Scenario(
        faults=faults, fabric=DEMO, partitions=PARTITIONS, seconds=seconds, trailing_s=1, ends=False
    )
    messages = []
    for partition, log in enumerate(record(scenario, 3)):
        said = read(log, NETWORK, partition, JoinSettings(mirrors=mirrors), pace=50)
        messages += [
            (head["watermark_us"] // 1_000, partition, encode("link-evidence", head, rows))
            for head, rows in said.messages
        ]
    align = SlotAlignment(PARTITIONS)
    whole = []
    for timestamp_ms, _, value in sorted(messages):
        align.offer(*read_evidence(value, timestamp_ms, PARTITIONS, SingleObject()), timestamp_ms)
        whole += list(align.complete())
    return tuple(whole)


def table(slot: WholeSlot, name: str, dtype: np.dtype) -> np.ndarray:
    return np.frombuffer(b"".join(slot.table(name)), dtype)


def follow(whole: tuple[WholeSlot, ...]) -> list[tuple[float, Finding]]:
    """What is said, with the second of the run."""
    detector = BlindDetector(DEMO)
    said = []
    for slot in whole:
        detector.learn(slot.slot_us, table(slot, "paths", PATHS.dtype))
        blind, pairs = table(slot, "blind", BLIND.dtype), table(slot, "pairs", PAIRS.dtype)
        detector.add(slot.slot_us, slot.slot_length_us, blind, pairs)
        end_us = slot.slot_us + slot.slot_length_us
        said += [((end_us - START_US) / S, finding) for finding in detector.findings(end_us)]
    return said


#: fault, from the seventh second on -> kind and suspects, of which one must be the best
WITH_WAYS = {
    "loss:leaf-1-1~spine-1:rate=0.5,after=7": ("network_loss", {"leaf-1-1~spine-1"}),
    "loss:spine-3~leaf-2-2:rate=1,after=7": ("network_loss", {"spine-3~leaf-2-2"}),
    "loss:spine-6:rate=0.3,after=7": ("network_loss", {"spine-6"}),
    "loss:tor-2-3:rate=1,after=7": ("network_loss", {"tor-2-3"}),
    "host_down:server-1-1-1:after=7": ("host_silent", {"server-1-1-1"}),
}


@pytest.mark.parametrize("fault", WITH_WAYS)
def test_when_all_mirrors_fail_faults_are_located_by_the_ways_learnt_before(fault):
    said = follow(slots(*ALL_DARK, fault))
    outage = [second for second, finding in said if finding.kind == "mirror_outage"]
    assert DARK_S < outage[0] <= DARK_S + 4
    said = [(second, finding) for second, finding in said if finding.kind != "mirror_outage"]
    assert said[0][0] > 7
    kind, names = WITH_WAYS[fault]
    assert {finding.kind for _, finding in said} == {kind}
    assert said[-1][1].suspects[0][0] in names
    assert said[-1][1].bad >= 5


WITHOUT_WAYS = {
    "loss:tor-2-3~leaf-2-1:rate=0.5,after=3": ("network_loss", {"tor-2-3"}),
    "loss:leaf-3-3:rate=0.5,after=3": ("network_loss", {"pod-3"}),
    "loss:tor-1-4:rate=1,after=3": ("network_loss", {"tor-1-4"}),
    "host_down:server-1-1-1:after=3": ("host_silent", {"server-1-1-1"}),
}


@pytest.mark.parametrize("fault", WITHOUT_WAYS)
def test_a_network_that_never_mirrors_has_its_faults_put_to_areas(fault):
    said = follow(slots(*NO_MIRRORS, fault, mirrors=False))
    assert said[0][0] > 3
    kind, names = WITHOUT_WAYS[fault]
    assert {finding.kind for _, finding in said} == {kind}
    assert said[-1][1].suspects[0][0] in names


@pytest.mark.parametrize(
    "faults",
    [
        ("loss:leaf-1-1~spine-1:rate=0.5,after=5",),
        ("loss:prober-1~border-1:rate=0.5,after=5",),
        tuple(f"mirror_loss:{switch.name}:rate=0.2" for switch in DEMO.switches),
    ],
    ids=["loss", "loss before the first mirror", "mirrors lose a fifth of their copies"],
)
def test_where_mirrors_work_the_blind_keeps_silent(faults):
    assert follow(slots(*faults)) == []


def test_a_healthy_network_whose_mirrors_fail_is_not_accused():
    assert {finding.kind for _, finding in follow(slots(*ALL_DARK))} == {"mirror_outage"}


def test_ways_are_learnt_from_the_join():
    whole = slots(*ALL_DARK)
    cells = Cells(DEMO)
    learnt = LearntWays(cells)
    for slot in whole:
        learnt.learn(slot.slot_us, table(slot, "paths", PATHS.dtype))
    seen = np.concatenate([table(slot, "blind", BLIND.dtype) for slot in whole])
    assert len(seen)
    way = learnt.cells_of(seen)
    rough = ((way >= cells.links) & (way <= cells.core)).any(axis=1)
    north_south = seen["via"] < 0
    # Flows come round every few seconds; East-West ones turn to other ToRs and servers.
    assert rough[north_south].mean() < 0.1
