"""How far event time has come, as a function of the messages alone."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from schemas.batch import Envelope
from schemas.rows import END_OF_SOURCE_US
from streams.watermark import (
    AHEAD_MAX_US,
    FORGET_AFTER_MS,
    LAG_MAX_US,
    NO_WATERMARK_US,
    SILENT_AFTER_MS,
    Watermark,
)

S = 1_000_000


class Told:
    """A watermark that is told things at log times, sequences counted for it."""

    def __init__(self) -> None:
        self.mark = Watermark()
        self.sequence: dict[tuple[int, str, int], int] = {}

    def say(self, at_ms: int, side: int, source: str, promise_us: int, epoch: int = 1) -> int:
        key = (side, source, epoch)
        sequence = self.sequence.get(key, 0)
        self.sequence[key] = sequence + 1
        self.mark.advance_log_time(at_ms)
        assert self.mark.accept(side, Envelope(source, epoch, 0, sequence, promise_us)) is None
        return self.mark.update()

    def tick(self, at_ms: int) -> int:
        self.mark.advance_log_time(at_ms)
        return self.mark.update()


def two() -> Told:
    told = Told()
    told.say(0, 0, "prober-1", 5 * S)
    told.say(0, 1, "collector-1", 7 * S)
    return told


def test_minimum_over_sources_of_both_sides():
    told = Told()
    assert told.say(0, 0, "prober-1", 5 * S) == NO_WATERMARK_US, "the other side has not been heard of"
    assert told.say(0, 1, "collector-1", 7 * S) == 5 * S
    assert told.say(1, 0, "prober-1", 9 * S) == 7 * S
    assert told.say(1, 1, "collector-2", 6 * S) == 7 * S, "it never goes back"
    assert told.say(1, 1, "collector-1", 20 * S) == 7 * S
    assert told.say(1, 1, "collector-2", 8 * S) == 8 * S


def test_one_name_on_both_sides_is_two_sources():
    told = Told()
    told.say(0, 0, "edge", 5 * S)
    assert told.say(0, 1, "edge", 3 * S) == 3 * S
    assert told.say(0, 0, "edge", 9 * S) == 3 * S


def test_a_side_that_never_speaks_is_waited_for_as_long_as_a_source():
    told = Told()
    told.say(0, 0, "prober-1", 5 * S)
    assert told.say(SILENT_AFTER_MS, 0, "prober-1", 15 * S) == NO_WATERMARK_US
    assert told.say(SILENT_AFTER_MS + 1, 0, "prober-1", 16 * S) == 16 * S


def test_a_silent_source_leaves_the_minimum_by_log_time():
    told = two()
    told.say(SILENT_AFTER_MS, 0, "prober-1", 15 * S)
    assert told.tick(SILENT_AFTER_MS) == 7 * S
    assert told.mark.silent() == ()
    assert told.tick(SILENT_AFTER_MS + 1) == 15 * S
    assert told.mark.silent() == ("collector-1",)
    assert told.say(SILENT_AFTER_MS + 2, 1, "collector-1", 8 * S) == 15 * S
    assert told.mark.silent() == ()
    assert told.say(SILENT_AFTER_MS + 2, 0, "prober-1", 30 * S) == 15 * S, "it counts again"


def test_the_end_of_a_source():
    told = two()
    assert told.say(1, 0, "prober-1", END_OF_SOURCE_US) == 7 * S
    assert not told.mark.nobody_left()
    told.say(2, 1, "collector-1", END_OF_SOURCE_US)
    assert told.mark.nobody_left()
    assert told.tick(SILENT_AFTER_MS * 2) == 7 * S
    assert told.mark.silent() == (), "it said that it ends"


def test_nobody_left_also_when_all_fell_silent():
    told = two()
    assert not told.mark.nobody_left()
    told.tick(SILENT_AFTER_MS + 1)
    assert told.mark.nobody_left()
    assert told.mark.silent() == ("collector-1", "prober-1")


def test_a_restart_is_a_new_epoch():
    told = two()
    told.say(1, 0, "prober-1", 8 * S, epoch=2)
    assert told.mark.accept(0, Envelope("prober-1", 2, 0, 0, 8 * S)) == "duplicate_batch"
    # Left over from before: its rows count, its promise does not.
    assert told.mark.accept(0, Envelope("prober-1", 1, 0, 1, 99 * S)) is None
    assert told.mark.sources[0, "prober-1"].low_watermark_us == 8 * S
    told.say(1, 0, "prober-1", END_OF_SOURCE_US, epoch=2)
    told.say(2, 0, "prober-1", 9 * S, epoch=3)
    assert told.say(3, 1, "collector-1", 11 * S) == 9 * S, "back after its end"


def test_duplicates_and_gaps_by_sequence():
    told = two()
    assert told.mark.accept(0, Envelope("prober-1", 1, 0, 0, 50 * S)) == "duplicate_batch"
    assert told.mark.update() == 5 * S
    later = Envelope("prober-1", 1, 0, 4, 6 * S)
    assert told.mark.gap_before(0, later) == 3
    assert told.mark.accept(0, later) is None, "rows after a gap are used"
    assert told.mark.accept(0, Envelope("prober-1", 1, 0, 2, 6 * S)) == "duplicate_batch"
    assert told.mark.gap_before(0, Envelope("prober-1", 2, 0, 4, 0)) == 0
    assert told.mark.gap_before(0, Envelope("unheard-of", 2, 0, 4, 0)) == 0


def test_a_laggard_does_not_hold_everything_up():
    told = two()
    assert told.say(1, 1, "collector-1", 5 * S + LAG_MAX_US) == 5 * S
    assert told.say(1, 1, "collector-1", 6 * S + LAG_MAX_US) == 6 * S + LAG_MAX_US


def test_the_wildest_clock_that_is_believed_does_not_make_laggards_of_the_others():
    """What intake lets pass is at most AHEAD_MAX_US ahead; a source that is on time stays in."""
    told = two()
    now_us = 100 * S
    told.say(now_us // 1_000, 0, "prober-1", now_us - 2 * S)
    told.say(now_us // 1_000, 1, "collector-1", now_us - 1 * S)
    assert told.say(now_us // 1_000, 1, "collector-2", now_us + AHEAD_MAX_US) == now_us - 2 * S


def test_silent_sources_are_forgotten_in_the_end():
    told = two()
    told.tick(FORGET_AFTER_MS)
    assert len(told.mark.sources) == 2
    told.tick(FORGET_AFTER_MS + 1)
    assert told.mark.sources == {}
    assert told.mark.watermark_us == 5 * S
    assert not told.mark.nobody_left(), "nothing is known, so nothing is concluded"


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 15_000),  # log time since the last event, ms
        st.integers(0, 1),
        st.sampled_from(["a", "b", "c"]),
        st.integers(1, 3),
        st.integers(-40, 40) | st.just(None),
    ),
    max_size=40,
)


@given(EVENTS, st.integers(0, 40))
def test_a_snapshot_goes_on_as_if_nothing_had_happened(events, cut):
    told, heir = Told(), None
    now_ms = 0
    highest = NO_WATERMARK_US
    for i, (after_ms, side, source, epoch, offset_s) in enumerate(events):
        if i == cut:
            heir = Told()
            heir.sequence = dict(told.sequence)
            heir.mark = Watermark.restore(json.loads(json.dumps(told.mark.snapshot())))
        now_ms += after_ms
        promise = END_OF_SOURCE_US if offset_s is None else now_ms * 1_000 + offset_s * S
        for each in (told, heir):
            if each is not None:
                each.say(now_ms, side, source, promise, epoch)
        assert told.mark.watermark_us >= highest
        highest = told.mark.watermark_us
        if heir is not None:
            assert heir.mark == told.mark
            assert heir.mark.silent() == told.mark.silent()
            assert heir.mark.nobody_left() == told.mark.nobody_left()
