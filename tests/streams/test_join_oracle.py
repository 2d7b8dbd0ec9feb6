"""The join against a plain one: the same logs, row for row the same results and evidence."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.rows import EVIDENCE, EVIDENCE_TABLES
from streams.join import Network
from streams.settings import JoinSettings
from tests.streams.fabrics import CHIPS
from tests.streams.logs import SMALL, Scenario, record
from tests.streams.plain import PlainJoin
from tests.streams.reading import read

NETWORKS = {fabric.name: Network(fabric) for fabric in (SMALL, CHIPS)}
#: Everything is kept, so that every probe is compared.
ALL = JoinSettings(sample_one_in=1)

SCENARIOS = {
    "healthy": Scenario(),
    "loss on the way down": Scenario(faults=("loss:leaf-1-1~tor-1-1:rate=0.5",), mirror_loss=0.02),
    "loss on the way up": Scenario(faults=("loss:border-1~spine-2:rate=0.5",)),
    "loss of replies": Scenario(faults=("loss:tor-2-1~leaf-2-2:rate=0.6", "loss:spine-1~border-2:rate=0.4")),
    "cable cut": Scenario(faults=("link_down:leaf-2-1~spine-1",), mirror_loss=0.05),
    "spine dead": Scenario(faults=("loss:spine-1:rate=1",)),
    "tor dead": Scenario(faults=("loss:tor-1-2:rate=1",), mirror_loss=0.05),
    "flips": Scenario(
        faults=(
            "flip:leaf-1-1~tor-1-1:rate=0.5",
            "flip:tor-2-2~leaf-2-1:rate=0.5",
            "flip:spine-1~border-1:rate=0.5",
        )
    ),
    "flips first and last": Scenario(
        faults=("flip:spine-2~border-2:rate=0.9", "flip:border-1~spine-1:rate=0.7"), mirror_loss=0.1
    ),
    "hosts down": Scenario(faults=("host_down:server-1-1-1", "host_down:server-2-2-2"), mirror_loss=0.05),
    "mirrors lossy": Scenario(mirror_loss=0.4),
    "mirrors out": Scenario(faults=("mirror_loss:spine-1:rate=1", "mirror_loss:tor-1-1:rate=1")),
    "damaged copies": Scenario(truncated=0.1, bad_copies=0.1),
    "copies in wrong places": Scenario(moved=0.1, mirror_loss=0.1, faults=("loss:spine-1:rate=0.3",)),
    "late and doubled": Scenario(
        late=0.1, doubled=0.15, doubled_batches=0.1, faults=("loss:leaf-1-1:rate=0.2",)
    ),
    "odd replies": Scenario(odd_replies=0.2),
    "clocks": Scenario(skew_us=900_000, clock_steps_ms=700),
    "garbage": Scenario(garbage=0.3, clock_steps_ms=100),
    "a collector falls silent": Scenario(seconds=16, silent_after_s=2, interval_us=3_000_000),
    "a prober restarts": Scenario(seconds=5, restart_after_s=2, doubled_batches=0.1),
    "no end": Scenario(ends=False),
    "loops": Scenario(
        faults=(
            "loop:spine-1~leaf-2-1",
            "loop:leaf-1-1~spine-2:share=0.4",
            "loop:leaf-1-2~tor-1-1:share=0.5",
        ),
        mirror_loss=0.03,
        seconds=3.0,
    ),
    "wrong routes": Scenario(
        faults=("wrong_route:spine-1~leaf-1-1:share=0.5", "wrong_route:leaf-2-2~tor-2-2:share=0.5"),
        mirror_loss=0.05,
        moved=0.02,
    ),
    "mirrors that damage and cut": Scenario(
        faults=(
            "mirror_corrupt:border-1:rate=0.2",
            "mirror_corrupt:tor-2-1:rate=0.3",
            "mirror_truncate:leaf-1-1:bytes=128",
            "flip:spine-2~border-2:rate=0.3",
            "host_down:server-2-1-1",
        ),
    ),
    "chips": Scenario(
        fabric=CHIPS,
        faults=(
            "loss:spine-1/lc-1:rate=0.2",
            "loss:spine-2~leaf-1-2:rate=0.4",
            "flip:spine-2/lc-2:rate=0.3",
            "host_down:server-1-1-1",
        ),
        mirror_loss=0.1,
        moved=0.02,
        truncated=0.02,
    ),
    "everything": Scenario(
        faults=("loss:spine-1:rate=0.2", "flip:leaf-1-1:rate=0.2", "host_down:server-1-2-1"),
        mirror_loss=0.05,
        truncated=0.03,
        bad_copies=0.03,
        moved=0.03,
        doubled=0.05,
        late=0.05,
        odd_replies=0.05,
        doubled_batches=0.05,
        garbage=0.1,
        skew_us=500_000,
        clock_steps_ms=300,
    ),
}


def compare(scenario: Scenario, seed: int, settings: JoinSettings = ALL) -> list[PlainJoin]:
    fabric, oracles = scenario.fabric, []
    for partition, log in enumerate(record(scenario, seed)):
        plain = PlainJoin(fabric, partition, settings)
        plain.read(log)
        oracles.append(plain)
        said = read(log, NETWORKS[fabric.name], partition, settings, pace=np.random.default_rng(seed))
        assert not said.contradictions
        reasons = {(letter["topic"], letter["offset"]) for letter in said.dead.values()}
        topics = ("probe-outcomes", "mirror-digests")
        assert reasons == {(topics[side], offset) for side, offset, _ in plain.dead}
        expected = {(r["probe_id"], r["sent_at_us"]): r for r in plain.results}
        assert said.results.keys() == expected.keys()
        for key, result in said.results.items():
            found = {name: value for name, value in result.items() if name != "reason"}
            assert found == expected[key], f"probe {key} of partition {partition}"
        assert sorted(said.evidence) == sorted(head["slot_us"] for head, _ in plain.evidence.values())
        for head, rows in plain.evidence.values():
            said_head, said_rows = said.evidence[head["slot_us"]]
            tables = {
                name: np.frombuffer(said_head[name], layout.dtype).tolist()
                for name, layout in EVIDENCE_TABLES.items()
            }
            assert {**said_head, **tables} == {**{name: [] for name in EVIDENCE_TABLES}, **head}
            assert np.frombuffer(said_rows, EVIDENCE.dtype).tolist() == rows
    return oracles


@pytest.mark.parametrize("name", SCENARIOS)
def test_agrees_with_the_plain_join(name):
    compare(SCENARIOS[name], seed=1)


def test_agrees_without_mirrors():
    scenario = Scenario(
        faults=("mirror_loss:spine-1:rate=1", "host_down:server-1-1-1", "loss:leaf-1-1~tor-1-1:rate=0.4"),
        mirror_loss=1.0,
    )
    compare(scenario, 5, JoinSettings(sample_one_in=1, mirrors=False))


def test_agrees_with_other_times():
    # Flows come back within 0.9 s and are remembered for 0.6 s: some are found, some are not.
    scenario = Scenario(
        late=0.05,
        mirror_loss=0.05,
        interval_us=300_000,
        faults=("loss:spine-2:rate=0.3", "loss:leaf-1-1:rate=0.2"),
    )
    settings = JoinSettings(
        timeout_us=300_000, settle_us=50_000, slot_us=150_000, memory_us=600_000, sample_one_in=7
    )
    compare(scenario, 9, settings)


def test_turns_are_seen_where_switches_have_chips():
    scenario = SCENARIOS["chips"]
    found = {
        (CHIPS.node_name(turn[0]), turn[1:3]): counts
        for plain in compare(scenario, 3)
        for slot in plain.slots.values()
        for turn, counts in slot.tables.turns.items()
    }
    assert {where for where, _ in found} == {"spine-1", "spine-2"}
    ways = {way for _, way in found}
    assert ways >= {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert all(sum(counts[what] for counts in found.values()) for what in range(3))
