"""Matching: one outcome for each probe, whatever comes back, in whatever order and batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fabric.address import pack_address
from producers.matching import TIMEOUT_NS, Matcher
from producers.plan import PLANNED_DTYPE
from producers.replies import REPLY_DTYPE
from schemas.partition import ROUND_BITS, group_of
from schemas.rows import ReplyKind

PROBER = 3
SLOT_NS = 10_000_000
START_NS = 1_700_000_000_000_000_000
SIZE = 3


def matcher_of(outstanding_max: int) -> Matcher:
    return Matcher(PROBER, outstanding_max, groups_max=512, rounds_max=2)


def planned(
    groups: list[int], sent_ns: list[int], size: int = SIZE, rounds: Sequence[int] | int = 0
) -> NDArray[np.void]:
    """Groups by their place in the plan and their rounds, each sent at a time."""
    probes = np.zeros(len(groups) * size, PLANNED_DTYPE)
    member = np.tile(np.arange(size), len(groups))
    number = np.array(groups, np.int64) << ROUND_BITS | np.array(rounds, np.int64) % (1 << ROUND_BITS)
    probes["probe_id"] = PROBER << 32 | np.repeat(number, size) << 3 | member
    probes["sent_at_us"] = np.repeat(np.array(sent_ns, np.int64) // 1000, size)
    for row, group in enumerate(np.repeat(groups, size).tolist()):
        probes["target"][row] = np.void(pack_address(f"10.1.{group % 200}.7"))
    probes["source_port"] = 20_000 + member
    probes["destination_port"] = 65_111
    probes["group_size"] = size
    return probes


def replies_to(probes: NDArray[np.void], kind: int = ReplyKind.RST, ttl: int = 60) -> NDArray[np.void]:
    replies = np.zeros(len(probes), REPLY_DTYPE)
    replies["kind"], replies["ttl"] = kind, ttl
    replies["seq32"] = probes["probe_id"] & 0xFFFFFFFF
    for name in ("target", "source_port", "destination_port"):
        replies[name] = probes[name]
    return replies


def times(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def sent(matcher: Matcher, probes: NDArray[np.void]) -> None:
    hashes = probes["probe_id"].astype(np.uint64) * np.uint64(7)
    matcher.sent(probes, hashes, probes["sent_at_us"] * 1000)


@dataclass
class PlainMatcher:
    """The same, one probe at a time, with dictionaries: slow and obvious."""

    sent_ns: dict[int, int] = field(default_factory=dict)
    best: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    duplicates: int = 0
    late: int = 0

    def received(self, probe_id: int, at_ns: int, kind: int, ttl: int) -> None:
        rtt_ns = max(0, at_ns - self.sent_ns[probe_id])
        if rtt_ns > TIMEOUT_NS:
            self.late += 1
            return
        if probe_id in self.best:
            self.duplicates += 1
        self.best[probe_id] = min(self.best.get(probe_id, (TIMEOUT_NS + 1, 0, 0)), (rtt_ns, kind, ttl))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, int, int]]]:
    """Number of groups, and replies: index of the probe, delay, kind, TTL."""
    groups = draw(st.integers(1, 12))
    reply = st.tuples(
        st.integers(0, groups * SIZE - 1),
        st.one_of(st.integers(0, 5), st.integers(0, 2 * TIMEOUT_NS), st.just(TIMEOUT_NS)),
        st.sampled_from([ReplyKind.RST, ReplyKind.SYN_ACK, ReplyKind.ICMP]),
        st.sampled_from([60, 61]),
    )
    return groups, draw(st.lists(reply, max_size=60))


@settings(deadline=None, max_examples=300)
@given(conversations(), st.randoms(use_true_random=False), st.lists(st.integers(1, 9), min_size=1))
def test_outcomes_do_not_depend_on_order_or_batches_and_equal_the_plain_ones(
    conversation: tuple[int, list[tuple[int, int, int, int]]], random: object, sizes: list[int]
) -> None:
    groups, spec = conversation
    probes = planned(list(range(groups)), [START_NS + g * SLOT_NS for g in range(groups)])
    plain = PlainMatcher()
    for probe in probes:
        plain.sent_ns[int(probe["probe_id"])] = int(probe["sent_at_us"]) * 1000
    spec = list(spec)
    random.shuffle(spec)  # type: ignore[attr-defined]
    matcher = matcher_of(1_000)
    sent(matcher, probes)
    at = 0
    while at < len(spec):
        part = spec[at : at + sizes[at % len(sizes)]]
        at += len(part)
        chosen = probes[[index for index, *_ in part]]
        replies = replies_to(chosen)
        replies["kind"] = [kind for _, _, kind, _ in part]
        replies["ttl"] = [ttl for *_, ttl in part]
        received_ns = chosen["sent_at_us"] * 1000 + np.array([delay for _, delay, _, _ in part])
        matcher.received(replies, received_ns)
        for probe, (_, delay, kind, ttl) in zip(chosen, part, strict=True):
            probe_id = int(probe["probe_id"])
            plain.received(probe_id, plain.sent_ns[probe_id] + delay, kind, ttl)
    rows = matcher.close(START_NS + groups * SLOT_NS + TIMEOUT_NS)
    assert rows["probe_id"].tolist() == probes["probe_id"].tolist()
    for row in rows:
        rtt_ns, kind, ttl = plain.best.get(int(row["probe_id"]), (-1, ReplyKind.NONE, -1))
        assert (int(row["rtt_ns"]), int(row["reply_kind"]), int(row["reply_ttl"])) == (rtt_ns, kind, ttl)
    counts = matcher.counts
    assert (counts.answered, counts.timeouts) == (len(plain.best), len(probes) - len(plain.best))
    assert (counts.duplicate_replies, counts.late_replies) == (plain.duplicates, plain.late)
    assert counts.stray_replies == counts.mismatched_replies == 0


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8)), min_size=1, max_size=200),
    st.integers(0, 2**ROUND_BITS - 1),
)
def test_every_probe_has_one_outcome_and_watermarks_hold(steps: list[tuple[int, int]], first: int) -> None:
    # A ring of 1,024 places goes round several times, and rounds begin again at 0.
    matcher = matcher_of(1_000)
    now_ns, number = START_NS, first * 512
    all_sent: list[int] = []
    outcomes: list[int] = []
    promised_us = 0
    for groups, size in steps:
        now_ns += 25_000_000
        numbers = range(number, number + groups)
        probes = planned([n % 512 for n in numbers], [now_ns] * groups, size, [n // 512 for n in numbers])
        if len(probes) <= matcher.room and matcher.free(probes["probe_id"]).all():
            sent(matcher, probes)
            number += groups
            all_sent += probes["probe_id"].tolist()
        matcher.received(replies_to(probes[::2]), np.full(len(probes[::2]), now_ns + 5))
        rows = matcher.close(now_ns)
        outcomes += rows["probe_id"].tolist()
        assert not len(rows) or rows["sent_at_us"].min() >= promised_us
        promised_us = matcher.low_watermark_us(now_ns // 1000)
        if len(rows) and matcher.outstanding:
            assert group_of(rows["probe_id"])[-1] != matcher_first_group(matcher)
    rows = matcher.close(now_ns + TIMEOUT_NS)
    assert outcomes + rows["probe_id"].tolist() == all_sent
    assert matcher.outstanding == 0
    assert matcher.counts.sent == matcher.counts.answered + matcher.counts.timeouts == len(all_sent)


def matcher_first_group(matcher: Matcher) -> int:
    return int(matcher._probe_id[matcher._tail & matcher._mask]) >> 3


def test_a_probe_closes_at_its_timeout_and_not_before() -> None:
    matcher = matcher_of(100)
    sent(matcher, planned([1, 2], [START_NS, START_NS + 1_000_000]))
    assert len(matcher.close(START_NS + TIMEOUT_NS - 1)) == 0
    assert matcher.low_watermark_us(2**61) == START_NS // 1000
    rows = matcher.close(START_NS + TIMEOUT_NS)
    assert len(rows) == 3
    assert (rows["rtt_ns"] == -1).all()
    assert matcher.low_watermark_us(2**61) == START_NS // 1000 + 1000
    assert len(matcher.close(START_NS + TIMEOUT_NS + 1_000_000)) == 3
    assert matcher.low_watermark_us(77) == 77


def test_members_sent_a_little_apart_close_together() -> None:
    matcher = matcher_of(100)
    probes = planned([1], [START_NS])
    matcher.sent(probes, np.zeros(3, np.uint64), START_NS + times(0, 40, 80))
    assert len(matcher.close(START_NS + TIMEOUT_NS + 50)) == 0
    assert len(matcher.close(START_NS + TIMEOUT_NS + 80)) == 3


def test_replies_after_the_outcome_are_late_and_change_nothing() -> None:
    matcher = matcher_of(100)
    probes = planned([1], [START_NS])
    sent(matcher, probes)
    assert len(matcher.close(START_NS + TIMEOUT_NS)) == 3
    matcher.received(replies_to(probes), np.full(3, START_NS + TIMEOUT_NS + 5))
    matcher.received(replies_to(probes), np.full(3, START_NS + 5))  # read after it was closed
    assert matcher.counts.late_replies == 6
    assert matcher.counts.answered == 0
    assert len(matcher.close(START_NS + 2 * TIMEOUT_NS)) == 0


def test_what_does_not_fit_the_probe_is_no_answer() -> None:
    matcher = matcher_of(100)
    probes = planned([1], [START_NS])
    sent(matcher, probes)
    wrong = replies_to(probes)
    wrong["target"][0] = np.void(pack_address("192.0.2.9"))
    wrong["source_port"][1] += 1
    wrong["destination_port"][2] += 1
    matcher.received(wrong, np.full(3, START_NS + 5))
    unknown = replies_to(planned([9], [START_NS]))
    matcher.received(unknown, np.full(3, START_NS + 5))
    nothing = replies_to(probes, kind=ReplyKind.NONE)
    matcher.received(nothing, np.full(3, START_NS + 5))
    assert asdict(matcher.counts) == {
        "sent": 3,
        "answered": 0,
        "timeouts": 0,
        "duplicate_replies": 0,
        "late_replies": 0,
        "stray_replies": 3,
        "mismatched_replies": 3,
    }


def test_a_clock_set_back_gives_no_negative_times() -> None:
    matcher = matcher_of(100)
    probes = planned([1], [START_NS])
    sent(matcher, probes)
    matcher.received(replies_to(probes), np.full(3, START_NS - 1_000))
    assert (matcher.close(START_NS + TIMEOUT_NS)["rtt_ns"] == 0).all()


def test_outcomes_say_what_was_sent() -> None:
    matcher = matcher_of(100)
    probes = planned([5], [START_NS])
    probes["kind"], probes["via"] = 1, np.void(pack_address("172.16.0.1"))
    sent(matcher, probes)
    rows = matcher.close(START_NS + TIMEOUT_NS)
    for name in ("probe_id", "sent_at_us", "source_port", "destination_port", "kind", "group_size"):
        assert rows[name].tolist() == probes[name].tolist()
    for name in ("target", "via"):
        assert [v.tobytes() for v in rows[name]] == [v.tobytes() for v in probes[name]]
    assert rows["content_hash"].tolist() == [int(p) * 7 % 2**64 for p in probes["probe_id"]]


def test_no_room_is_an_error_and_numbers_in_use_are_known() -> None:
    matcher = matcher_of(1_000)
    sent(matcher, planned(list(range(300)), [START_NS] * 300))
    assert matcher.room == 124
    with pytest.raises(ValueError, match="room for 124"):
        sent(matcher, planned(list(range(300, 350)), [START_NS] * 50))
    # The matcher was told of 512 groups, of which at most 2 rounds wait.
    in_use = planned([5, 512 + 5, 5, 5, 400], [START_NS] * 5, rounds=[0, 0, 2, 1, 0])["probe_id"]
    assert matcher.free(in_use).tolist() == [False] * 9 + [True] * 6
    matcher.close(START_NS + TIMEOUT_NS)
    assert matcher.free(in_use).all()
