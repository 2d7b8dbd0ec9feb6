"""Any bytes on any input: a dead letter with its reason, or rows that are used; never a stop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.batch import AlteredPacket, Batch, Envelope, ExporterCount, decode_batch, encode_batch, tick
from schemas.codec import decode
from schemas.framing import SingleObject
from schemas.rows import DIGEST, END_OF_SOURCE_US, OUTCOME
from streams import outbox
from streams.join import Network, Output, PartitionJoin
from streams.localise.localiser import Localiser
from streams.settings import JoinSettings
from streams.watermark import AHEAD_MAX_US
from tests.streams.evidence import LOSS, evidence
from tests.streams.logs import DIGESTS, OUTCOMES, SMALL, START_US, TOPIC, Message, Scenario, record
from tests.streams.reading import Said

NETWORK = Network(SMALL)
NOW_MS = START_US // 1_000
FRAMING = SingleObject()
QUICK = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
LAYOUT = (OUTCOME, DIGEST)
HEALTHY = record(Scenario(seconds=2, faults=("flip:leaf-1-1:rate=0.5",), trailing_s=2), 3)[0]
BORDERS = [-(2**63), -1, 0, 1, 2, 7, 255, 256, 2**15, 2**31 - 1, 2**31, 2**32, START_US, 2**62, 2**63 - 1]


def consume(messages: list[Message], partition: int = 0) -> Said:
    """Read messages, encode everything that is said, and let it all close."""
    join, said = PartitionJoin(partition, NETWORK, JoinSettings()), Said()

    def step() -> None:
        output: Output = join.step()
        outbox.of_join(partition, output, FRAMING)
        if output.commit is not None:
            outbox.of_commit("join-0", partition, output.commit, FRAMING)
        said.take(output)

    last = [0, 0]
    for m in messages:
        join.offer(m.side, m.offset, m.timestamp_ms, m.value)
        last[m.side] = max(last[m.side], m.offset)
        step()
    for second in range(1, 40):
        for side in (OUTCOMES, DIGESTS):
            last[side] += 1
            join.offer(side, last[side], NOW_MS + 100_000 + second * 1_000, tick(TOPIC[side], partition))
        step()
    return said


def with_one_more(side: int, value: bytes | None) -> tuple[Said, tuple[str, int]]:
    """The healthy log with one more message in its middle; returns also the key of its dead letter."""
    where = 20
    messages: list[Message] = []
    inserted = None
    for m in HEALTHY.written:
        if m.side == side and m.offset == where:
            inserted = replace(m, value=value)
            messages.append(inserted)
        messages.append(replace(m, offset=m.offset + 1) if m.side == side and m.offset >= where else m)
    assert inserted is not None
    return consume(messages), (TOPIC[side], where)


REFERENCE = consume(HEALTHY.written)


def assert_dead(side: int, value: bytes | None, reasons: set[str]) -> None:
    said, key = with_one_more(side, value)
    assert said.dead[key]["reason"] in reasons
    assert said.dead[key]["payload"] == (value or b"")
    assert said.results == REFERENCE.results
    assert said.evidence == REFERENCE.evidence


@pytest.mark.parametrize("side", [OUTCOMES, DIGESTS])
@given(data=st.data())
@QUICK
def test_random_bytes(side, data):
    value = data.draw(
        st.none() | st.binary(max_size=200) | st.binary(max_size=80).map(lambda b: b"\xc3\x01" + b)
    )
    assert_dead(side, value, {"empty", "bad_framing", "truncated", "unknown_schema", "no_registry"})


@pytest.mark.parametrize("side", [OUTCOMES, DIGESTS])
def test_random_bodies_under_the_right_fingerprint(side):
    rng = np.random.default_rng(1)
    prefix = HEALTHY.sides[side][0].value[:10]
    for _ in range(60):
        assert_dead(
            side,
            prefix + rng.bytes(int(rng.integers(0, 300))),
            {"undecodable", "truncated", "trailing_bytes"},
        )


@pytest.mark.parametrize("side", [OUTCOMES, DIGESTS])
def test_truncated_and_prolonged_messages(side):
    value = max((m.value for m in HEALTHY.sides[side]), key=len)
    for cut in [*range(0, 120, 7), *range(120, len(value), 211), len(value) - 1]:
        assert_dead(side, value[:cut], {"bad_framing", "truncated", "undecodable"})
    assert_dead(side, value + b"\x00", {"trailing_bytes"})


@pytest.mark.parametrize("side", [OUTCOMES, DIGESTS])
def test_messages_that_decode_and_must_not_be_used(side):
    layout, time = LAYOUT[side], ("sent_at_us", "observed_at_us")[side]
    now_us = HEALTHY.sides[side][20].timestamp_ms * 1_000
    row = np.zeros(1, layout.dtype)
    row[time] = now_us
    if side == OUTCOMES:
        row["group_size"] = 3
    good = Envelope("another", START_US, 0, 0, now_us)

    def dead(reason: str, envelope: Envelope = good, exporters: tuple = (), **columns: int) -> None:
        rows = row.copy()
        for name, number in columns.items():
            rows[name] = number
        assert_dead(side, encode_batch(TOPIC[side], Batch(envelope, rows, (), exporters)), {reason})

    dead("wrong_partition", replace(good, partition=1))
    dead("wrong_partition", replace(good, partition=-1))
    dead("bad_envelope", replace(good, sequence=-1))
    dead("bad_envelope", replace(good, epoch=-5))
    dead("clock_ahead", replace(good, low_watermark_us=now_us + AHEAD_MAX_US + 2_000_000))
    dead("clock_ahead", replace(good, low_watermark_us=END_OF_SOURCE_US - 1))
    dead("clock_ahead", replace(good, epoch=now_us + AHEAD_MAX_US + 2_000_000))
    dead("clock_ahead", **{time: now_us + AHEAD_MAX_US + 2_000_000})
    dead("bad_rows", **{time: -1})
    dead("bad_rows", probe_id=-1)
    if side == OUTCOMES:
        for name, numbers in {
            "kind": (-1, 3),
            "reply_kind": (-1, 4),
            "group_size": (0, 9),
            "rtt_ns": (-2,),
        }.items():
            for number in numbers:
                dead("bad_rows", **{name: number})
    else:
        for name, numbers in {"leg": (-1, 3, 7), "ttl": (-1, 256)}.items():
            for number in numbers:
                dead("bad_rows", **{name: number})
        for count in ((-1, 0, 0, 0), (1, 0, -1, 0), (1, 0, 0, -1), (1, 0, 2**62, 0), (1, 0, 0, 2**62)):
            dead("bad_envelope", exporters=(ExporterCount(*count),))


def columns_of(side: int) -> st.SearchStrategy[np.ndarray]:
    """Rows whose columns are at the borders of what the layout can carry, many of them in range."""
    dtype = LAYOUT[side].dtype

    def column(name: str) -> st.SearchStrategy:
        kind = dtype[name]
        if kind.kind == "V":
            return st.binary(min_size=16, max_size=16)
        info = np.iinfo(kind)
        fitting = [b for b in BORDERS if info.min <= b <= info.max]
        usual = {"sent_at_us": START_US, "observed_at_us": START_US + 500, "leg": 1, "ttl": 63, "kind": 1}
        usual |= {"group_size": 3, "reply_kind": 1, "rtt_ns": -1, "probe_id": 1 << 32}
        return st.just(usual[name]) | st.sampled_from(fitting) if name in usual else st.sampled_from(fitting)

    def table(rows: list[tuple]) -> np.ndarray:
        out = np.zeros(len(rows), dtype)
        for i, row in enumerate(rows):
            for name, value in zip(dtype.names or (), row, strict=True):
                out[name][i] = np.void(value) if isinstance(value, bytes) else value
        return out

    return st.lists(st.tuples(*(column(name) for name in dtype.names or ())), max_size=4).map(table)


@pytest.mark.parametrize("side", [OUTCOMES, DIGESTS])
@given(data=st.data())
@QUICK
def test_rows_at_the_borders_are_used_or_refused(side, data):
    """Whatever decodes goes through the whole join, and what is said of it can be written."""
    number = st.sampled_from([b for b in BORDERS if abs(b) < 2**63])
    counts = st.lists(st.builds(ExporterCount, st.integers(-1, 99), st.just(1), number, number), max_size=3)
    messages = []
    for offset in range(data.draw(st.integers(1, 4))):
        rows = data.draw(columns_of(side))
        envelope = Envelope(
            "another", data.draw(number), 0, data.draw(st.just(offset) | number), data.draw(number)
        )
        altered = [AlteredPacket(data.draw(st.integers(-2, 5)), data.draw(st.binary(max_size=700)))]
        batch = Batch(envelope, rows, altered if side else (), data.draw(counts) if side else ())
        messages.append(Message(side, offset, NOW_MS + offset, encode_batch(TOPIC[side], batch)))
    said = consume(messages)
    assert not said.contradictions


@given(data=st.data())
@QUICK
def test_damaged_messages_are_used_or_refused(data):
    """Bits flipped anywhere in a healthy log."""
    messages = []
    for m in HEALTHY.written:
        if m.value and data.draw(st.integers(0, 9)) == 0:
            at = data.draw(st.integers(0, len(m.value) - 1))
            value = bytearray(m.value)
            value[at] ^= data.draw(st.integers(1, 255))
            messages.append(replace(m, value=bytes(value)))
        else:
            messages.append(m)
    consume(messages)


# -- the localiser --------------------------------------------------------------------------------


def localise(*values: bytes | None) -> tuple[list[dict], list[dict]]:
    """Faults and dead letters of a localiser of one partition; everything can be written."""
    localiser = Localiser(SMALL, 1)
    faults, dead = [], []
    for offset, value in enumerate(values):
        located = localiser.step(offset, NOW_MS + offset, value)
        outbox.of_localiser(located, FRAMING)
        if located.commit is not None:
            outbox.of_commit("localiser", 0, located.commit, FRAMING)
            Localiser(SMALL, 1, located.commit.state)
        faults += located.faults
        dead += located.dead_letters
    return faults, dead


@given(st.none() | st.binary(max_size=300) | st.binary(max_size=200).map(lambda b: evidence({})[:10] + b))
@QUICK
def test_localiser_random_bytes(value):
    faults, dead = localise(value, evidence({}, LOSS))
    assert [letter["offset"] for letter in dead] == [0]
    assert len(faults) == 1


@pytest.mark.parametrize(
    "head",
    [
        {"partition": -1},
        {"partition": 1},
        {"slot_us": -1},
        {"slot_us": 2**62},
        {"slot_us": START_US + 3_600_000_000},
        {"slot_length_us": 0},
        {"slot_length_us": -5},
        {"slot_length_us": 2**62},
        {"watermark_us": 2**62},
        {"watermark_us": -1},
    ],
    ids=str,
)
def test_localiser_bad_heads(head):
    faults, dead = localise(evidence(head, LOSS), evidence({}, LOSS))
    assert [(letter["offset"], letter["reason"]) for letter in dead] == [(0, "bad_evidence")]
    assert [f["suspects"][0]["element"] for f in faults] == ["leaf-1-1~tor-1-1"]


@pytest.mark.parametrize(
    "row",
    [
        (1, 2, 3, 0, 9, 0, 0),
        (1, 2, -1, 0, 9, 0, 0),
        (1, 2, 1, -1, 9, 0, 0),
        (1, 2, 1, 0, -9, 0, 0),
        (1, 2, 1, 0, 0, -1, 0),
        (1, 2, 1, 0, 0, 0, -1),
        (-2, 2, 1, 0, 9, 0, 0),
    ],
)
def test_localiser_bad_rows(row):
    faults, dead = localise(evidence({}, row), evidence({}, LOSS))
    assert [(letter["offset"], letter["reason"]) for letter in dead] == [(0, "bad_evidence")]
    assert len(faults) == 1


@given(data=st.data())
@QUICK
def test_localiser_rows_at_the_borders(data):
    """Nodes of no inventory, huge counts, examples of anything: used or refused."""
    small = st.integers(-2, 40) | st.sampled_from([99_999_999, 100_000_001, 200_000_001, 2**31 - 1, -(2**31)])
    count = st.integers(0, 9) | st.sampled_from([2**31 - 1, -1])
    row = st.tuples(small, small, st.integers(-1, 3), count, count, count, count)
    number = st.sampled_from([b for b in BORDERS if abs(b) < 2**63])
    example = st.fixed_dictionaries(
        {"from_node": st.just(1), "to_node": st.just(2), "leg": st.just(1), "verdict": st.text(max_size=3)}
        | {"probe_id": number, "sent_at_us": number}
    )
    values = [
        evidence(
            {
                "slot_us": START_US + slot * 1_000_000,
                "examples": data.draw(st.lists(example, max_size=2)),
                "silent_sources": data.draw(st.lists(st.text(max_size=3), max_size=2)),
            },
            *data.draw(st.lists(row, max_size=4)),
        )
        for slot in range(data.draw(st.integers(1, 8)))
    ]
    localise(*values)


def test_healthy_log_has_what_the_tests_need():
    assert REFERENCE.results
    assert not REFERENCE.dead
    assert any(decode_batch(TOPIC[1], m.value).altered for m in HEALTHY.sides[1])
    assert decode("link-evidence", evidence({}, LOSS))[0]["digests"] == 40
