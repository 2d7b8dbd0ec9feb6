"""Which probe was answered: outstanding probes, replies matched in bulk, one outcome for each probe.

A state machine without a clock: `sent` takes probes, `received` replies, `close` gives the outcomes of all
probes whose time is up. The result depends on what was sent and received and when, not on how replies were
batched or ordered.

Probes wait in a ring in the order they were sent. A second table leads from round, group and member (see
`producers.schedule` for how probes are numbered) to the place in the ring, so a reply is found with two
look-ups. The ring holds outcome rows as they travel: closing them is one copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from producers.content import HASH_KEYS
from producers.replies import probe_ids
from producers.wire import address_words
from schemas.partition import MEMBER_BITS, ROUND_BITS
from schemas.rows import OUTCOME, ReplyKind

I64 = NDArray[np.int64]

TIMEOUT_NS = 500_000_000
"""DESIGN section 5: a probe that is not answered within 500 ms has timed out."""

_NO_REPLY_NS = -1
_RING_MIN = 1 << 10
_FLOW_KEYS = HASH_KEYS[:3]
_SENT_FIELDS = (
    "probe_id",
    "sent_at_us",
    "target",
    "via",
    "source_port",
    "destination_port",
    "kind",
    "group_size",
)


@dataclass(slots=True)
class MatchCounts:
    """Since the start. sent = answered + timeouts + outstanding."""

    sent: int = 0
    answered: int = 0
    timeouts: int = 0
    duplicate_replies: int = 0  # of a probe that was answered already; the earliest counts
    late_replies: int = 0  # after the timeout, so the outcome stays a timeout
    stray_replies: int = 0  # of no probe that is remembered
    mismatched_replies: int = 0  # the number of a probe with other addresses or ports


class Matcher:
    """Outstanding probes of one Prober."""

    def __init__(
        self,
        prober_number: int,
        outstanding_max: int,
        groups_max: int,
        rounds_max: int,
        timeout_ns: int = TIMEOUT_NS,
    ) -> None:
        """outstanding_max: probes that may wait at once. groups_max: of a plan. rounds_max: so many rounds
        of one group may wait at once. All are rounded up to powers of two."""
        size = max(_RING_MIN, 1 << (outstanding_max - 1).bit_length())
        self.counts = MatchCounts()
        self._prober_number = prober_number
        self._timeout_ns = timeout_ns
        self._mask = size - 1
        self._rows = np.zeros(size, OUTCOME.dtype)
        self._rows.view(np.uint8).fill(0)  # touches each page now, not in the first round of probes
        self._probe_id = np.full(size, -1, np.int64)
        self._sent_ns = np.zeros(size, np.int64)
        self._rtt_ns = np.full(size, _NO_REPLY_NS, np.int64)
        self._flow = np.zeros(size, np.uint64)
        # Groups that follow each other in time lie side by side.
        self._group_bits = (groups_max - 1).bit_length()
        self._round_mask = (1 << min(ROUND_BITS, (rounds_max - 1).bit_length())) - 1
        cells = (self._round_mask + 1) << self._group_bits << MEMBER_BITS
        self._place = np.full(cells, -1, np.int64)
        self._head = 0  # places run on for ever; a place lives at `place & mask`
        self._tail = 0

    @property
    def outstanding(self) -> int:
        return self._head - self._tail

    @property
    def room(self) -> int:
        """How many probes may be sent before some must be closed."""
        return self._mask + 1 - self.outstanding

    def free(self, probe_id: I64) -> NDArray[np.bool_]:
        """Which of these IDs may be sent: not those that an outstanding probe could be mistaken for, as
        may happen when a new plan numbers its groups anew. i64[n] -> bool[n]."""
        free: NDArray[np.bool_] = self._place[self._cell(probe_id)] < self._tail
        return free

    def sent(self, probes: NDArray[np.void], content_hash: NDArray[np.uint64], sent_ns: I64) -> None:
        """Probes that were handed to the kernel.

        probes: structured[n] as `producers.plan` gives them, members of a group together, in the order of
        sending. content_hash: u64[n], as sent. sent_ns: i64[n], ns since 1970, not descending.
        Raises ValueError if there is no room.
        """
        count = len(probes)
        if count > self.room:
            raise ValueError(f"{count} probes sent, but room for {self.room} only")
        flow = _flow(probes)
        for at, part in self._pieces(self._head, self._head + count):
            chosen = probes[part]
            _write_rows(self._rows[at], chosen, content_hash[part])
            self._probe_id[at] = chosen["probe_id"]
            self._sent_ns[at] = sent_ns[part]
            self._rtt_ns[at] = _NO_REPLY_NS
            self._flow[at] = flow[part]
        self._place[self._cell(probes["probe_id"])] = np.arange(self._head, self._head + count)
        self._head += count
        self.counts.sent += count

    def received(self, replies: NDArray[np.void], received_ns: I64) -> None:
        """Packets that may be replies.

        replies: `producers.replies.REPLY_DTYPE`[n]; those of kind 0 are passed over. received_ns: i64[n],
        when the kernel received them, ns since 1970.
        """
        if not (replies["kind"] != ReplyKind.NONE).all():
            chosen = replies["kind"] != ReplyKind.NONE
            replies, received_ns = replies[chosen], received_ns[chosen]
        probe_id = probe_ids(replies["seq32"], self._prober_number)
        place = self._place[self._cell(probe_id)]
        at = place & self._mask
        known = (place >= 0) & (place > self._head - self._mask - 2) & (self._probe_id[at] == probe_id)
        self.counts.stray_replies += len(place) - int(np.count_nonzero(known))
        same = known & (self._flow[at] == _flow(replies))
        self.counts.mismatched_replies += int(np.count_nonzero(known) - np.count_nonzero(same))
        # A clock that was set back between sending and receiving must not make a time negative.
        rtt_ns = np.maximum(received_ns - self._sent_ns[at], 0)
        in_time = same & (rtt_ns <= self._timeout_ns) & (place >= self._tail)
        self.counts.late_replies += int(np.count_nonzero(same) - np.count_nonzero(in_time))
        if in_time.all():
            self._answer(place, rtt_ns, replies)
        elif in_time.any():
            self._answer(place[in_time], rtt_ns[in_time], replies[in_time])

    def close(self, drained_ns: int) -> NDArray[np.void]:
        """The outcomes of all probes whose timeout has passed, in the order of sending.

        drained_ns: every reply that the kernel received before this time has been given to `received`.
        Returns OUTCOME.dtype[n]; the members of a group come together.
        """
        stop = self._first_open(drained_ns - self._timeout_ns)
        rows = np.empty(stop - self._tail, OUTCOME.dtype)
        rtt_ns = np.empty(stop - self._tail, np.int64)
        for at, part in self._pieces(self._tail, stop):
            rows[part] = self._rows[at]
            rtt_ns[part] = self._rtt_ns[at]
        rows["rtt_ns"] = rtt_ns
        timeouts = int(np.count_nonzero(rtt_ns == _NO_REPLY_NS))
        self.counts.timeouts += timeouts
        self.counts.answered += len(rows) - timeouts
        self._tail = stop
        return rows

    def low_watermark_us(self, next_slot_us: int) -> int:
        """No outcome that `close` gives from now on is older than this. next_slot_us: likewise of what
        will be sent from now on."""
        if not self.outstanding:
            return next_slot_us
        return min(int(self._rows["sent_at_us"][self._tail & self._mask]), next_slot_us)

    def _cell(self, probe_id: I64) -> I64:
        """Where the place of a probe is noted: i64[n] -> i64[n]. Two that wait at once never share one,
        unless a new plan has more than `groups_max` groups or numbers them anew."""
        number = probe_id >> MEMBER_BITS
        cell = (number & self._round_mask) << self._group_bits
        cell |= (number >> ROUND_BITS) & ((1 << self._group_bits) - 1)
        return cell << MEMBER_BITS | probe_id & ((1 << MEMBER_BITS) - 1)

    def _pieces(self, first: int, stop: int) -> Iterator[tuple[slice, slice]]:
        """A stretch of places as slices of the ring, at most two, each with its part of the stretch."""
        done = 0
        while done < stop - first:
            at = (first + done) & self._mask
            size = min(stop - first - done, self._mask + 1 - at)
            yield slice(at, at + size), slice(done, done + size)
            done += size

    def _answer(self, place: I64, rtt_ns: I64, replies: NDArray[np.void]) -> None:
        if (place[1:] <= place[:-1]).any():
            # Out of order or twice: the earliest reply of each probe goes on.
            order = np.lexsort((replies["ttl"], replies["kind"], rtt_ns, place))
            place, rtt_ns, replies = place[order], rtt_ns[order], replies[order]
            first = np.append(True, place[1:] != place[:-1])
            self.counts.duplicate_replies += int(np.count_nonzero(~first))
            place, rtt_ns, replies = place[first], rtt_ns[first], replies[first]
        at = place & self._mask
        before_ns = self._rtt_ns[at]
        again = before_ns != _NO_REPLY_NS
        if again.any():
            self.counts.duplicate_replies += int(np.count_nonzero(again))
            better = ~again | self._beats(at, rtt_ns, replies)
            at, rtt_ns, replies = at[better], rtt_ns[better], replies[better]
        self._rtt_ns[at] = rtt_ns
        self._rows["reply_kind"][at] = replies["kind"]
        self._rows["reply_ttl"][at] = replies["ttl"]

    def _beats(self, at: I64, rtt_ns: I64, replies: NDArray[np.void]) -> NDArray[np.bool_]:
        """Whether a reply goes before the one that is noted: earlier, or in the fixed order of `_answer`."""
        noted = self._rows[at]
        before_ns, before_kind, before_ttl = self._rtt_ns[at], noted["reply_kind"], noted["reply_ttl"]
        tie = rtt_ns == before_ns
        kind_tie = replies["kind"] == before_kind
        beats: NDArray[np.bool_] = rtt_ns < before_ns
        beats |= tie & (replies["kind"] < before_kind)
        beats |= tie & kind_tie & (replies["ttl"] < before_ttl)
        return beats

    def _first_open(self, sent_before_ns: int) -> int:
        """The place after the last probe sent at or before that time, moved back to the start of a group."""
        low, high = self._tail, self._head
        while low < high:  # a binary search over places, some 20 steps
            middle = (low + high) // 2
            if self._sent_ns[middle & self._mask] <= sent_before_ns:
                low = middle + 1
            else:
                high = middle
        group = self._probe_id[low & self._mask] >> MEMBER_BITS
        while (
            self._tail < low < self._head and self._probe_id[(low - 1) & self._mask] >> MEMBER_BITS == group
        ):
            low -= 1
        return low


def _flow(table: NDArray[np.void]) -> NDArray[np.uint64]:
    """64 bits that stand for the target and both ports of probes or replies. u64[n].

    Products with odd numbers, so what differs in one of them always differs here.
    """
    high, low = address_words(table["target"])
    ports = table["source_port"].astype(np.uint64) << np.uint64(16) | table["destination_port"].astype(
        np.uint64
    )
    flow: NDArray[np.uint64] = high * _FLOW_KEYS[0] + low * _FLOW_KEYS[1] + ports * _FLOW_KEYS[2]
    return flow


def _write_rows(rows: NDArray[np.void], probes: NDArray[np.void], content_hash: NDArray[np.uint64]) -> None:
    """Outcomes of probes that nothing is known of yet."""
    for name in _SENT_FIELDS:
        rows[name] = probes[name]
    rows["content_hash"] = content_hash
    rows["rtt_ns"] = _NO_REPLY_NS
    rows["reply_ttl"] = -1
    rows["reply_kind"] = ReplyKind.NONE
