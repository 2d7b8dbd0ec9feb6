"""Where each expected answer is kept, and what several of them need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from tests.sinks.cookbook.world import Counts, LinkKey, World, moment

Row = tuple[Any, ...]
Answer = Callable[[World], list[Row]]

#: Name of the recipe -> rows as the store must answer them.
ANSWERS: dict[str, Answer] = {}


def answers(name: str) -> Callable[[Answer], Answer]:
    """What follows works out the answer to the recipe of that name."""

    def keep(found: Answer) -> Answer:
        assert name not in ANSWERS, name
        ANSWERS[name] = found
        return found

    return keep


def day_of(us: int) -> date:
    return moment(us).date()


def links_by_day(world: World) -> dict[tuple[date, LinkKey], list[tuple[int, Counts]]]:
    """Between switches only."""
    found: dict[tuple[date, LinkKey], list[tuple[int, Counts]]] = defaultdict(list)
    for slot in world.all_slots():
        for key, counts in slot.links.items():
            if not world.servers & set(key):
                found[day_of(slot.at_us), key].append((slot.at_us, counts))
    return found


def last_hour(world: World) -> Iterator[tuple[LinkKey, int, Counts]]:
    """Link, slot and counts: minutes after the newest slot's hour ago, servers' links included."""
    for slot in world.all_slots(world.since(hours=1)):
        for key, counts in slot.links.items():
            yield key, slot.at_us, counts
