"""Answers that are kept for a moment."""

from __future__ import annotations

from threading import Barrier, Event, Thread

import pytest

from console.cache import ENTRIES_MAX, Moments


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_an_answer_is_kept_for_its_time() -> None:
    clock, made = Clock(), iter(range(10))
    moments = Moments(clock)
    assert [moments.get("a", 2.0, lambda: next(made)) for _ in range(3)] == [0, 0, 0]
    clock.now_s = 2.0
    assert moments.get("a", 2.0, lambda: next(made)) == 1
    assert moments.get("b", 2.0, lambda: next(made)) == 2
    moments.forget("a")
    assert moments.get("a", 2.0, lambda: next(made)) == 3


def test_a_failure_is_not_kept() -> None:
    moments = Moments(Clock())
    with pytest.raises(ZeroDivisionError):
        moments.get("a", 9.0, lambda: 1 / 0)
    assert moments.get("a", 9.0, lambda: 5) == 5


def test_of_those_who_ask_at_a_time_one_works() -> None:
    moments, all_here, made = Moments(Clock()), Barrier(8), []

    def make() -> int:
        made.append(1)
        return 7

    found: list[int] = []

    def ask() -> None:
        all_here.wait()
        found.append(moments.get("a", 9.0, make))

    threads = [Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, made) == ([7] * 8, [1])


def test_an_old_answer_is_given_at_once_and_renewed() -> None:
    clock, go, renewed = Clock(), Event(), Event()
    moments = Moments(clock)
    assert moments.get("a", 2.0, lambda: "old", stale_s=10.0) == "old"
    clock.now_s = 5.0

    def slow() -> str:
        go.wait(10)
        renewed.set()
        return "new"

    # Nobody waits for it, and nobody makes it twice.
    assert [moments.get("a", 2.0, slow, stale_s=10.0) for _ in range(3)] == ["old"] * 3
    go.set()
    assert renewed.wait(10)
    assert moments.get("a", 2.0, lambda: "never") == "new"
    clock.now_s = 100.0
    assert moments.get("a", 2.0, lambda: "newest", stale_s=10.0) == "newest"


def test_there_is_a_limit() -> None:
    moments = Moments(Clock())
    for number in range(2 * ENTRIES_MAX):
        moments.get(number, 1e9, lambda number=number: number)  # type: ignore[misc]
    assert len(moments._kept) == ENTRIES_MAX
