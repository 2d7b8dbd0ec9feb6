"""A store that hangs holds up only so many of those who ask."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event, Thread
from typing import Any

import pytest

from console.context import Console
from console.errors import Away
from console.settings import ConsoleSettings
from fabric.builtin import builtin_fabric
from sinks.reading import Limits
from sinks.store import QueryResult


class HangingReader:
    """Answers nothing until it is let go."""

    def __init__(self) -> None:
        self.asked, self.let_go = Event(), Event()

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, limits: Limits | None = None
    ) -> QueryResult:
        self.asked.set()
        self.let_go.wait(30)
        return QueryResult(("x",), ("UInt8",), [(1,)])

    def close(self) -> None:
        self.let_go.set()


def test_more_than_may_ask_at_a_time_are_told_that_the_store_is_away() -> None:
    reader = HangingReader()
    settings = ConsoleSettings(page_at_once=1, page_seconds=0.05)
    console = Console(settings, builtin_fabric("tiny"), reader=reader)
    answers: list[QueryResult] = []
    first = Thread(target=lambda: answers.append(console.ask("SELECT 1", {})))
    first.start()
    assert reader.asked.wait(10)
    with pytest.raises(Away, match="has not answered 1 other"):
        console.ask("SELECT 1", {})
    reader.let_go.set()
    first.join(10)
    assert answers[0].rows == [(1,)]
    assert console.ask("SELECT 1", {}).rows == [(1,)]  # and the place is free again
