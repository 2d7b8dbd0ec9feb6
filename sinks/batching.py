"""Rows of many messages, gathered per table until they are worth an insert."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from sinks.columns import TableRows
from sinks.rows import DAY_COLUMN, INSERT_ORDER

_DAY_US = 86_400_000_000

#: Days in one insert. The server refuses more than 100 partitions in one block, which a replay of old
#: data reaches.
DAYS_MAX = 50


@dataclass(slots=True)
class Gathered:
    """What was read and is not yet stored: rows, and for each (topic, partition) the offset after the
    last message that they come from."""

    tables: dict[str, list[TableRows]] = field(default_factory=dict)
    next_offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    rows: int = 0

    def add(self, topic: str, partition: int, offset: int, rows: Iterable[TableRows]) -> None:
        """Take the rows of one message, which may be none."""
        for each in rows:
            self.tables.setdefault(each.table, []).append(each)
            self.rows += each.count
        self.next_offsets[topic, partition] = offset + 1

    def inserts(self) -> Iterator[TableRows]:
        """What to insert, in order: one after the other, each of at most DAYS_MAX partitions."""
        for table in sorted(self.tables, key=INSERT_ORDER.index):
            yield from by_days(joined(self.tables[table]))


def joined(parts: list[TableRows]) -> TableRows:
    """Rows of one table in one piece."""
    if len(parts) == 1:
        return parts[0]
    names = parts[0].columns
    return TableRows(parts[0].table, {n: np.concatenate([p.columns[n] for p in parts]) for n in names})


def by_days(rows: TableRows, days_max: int = DAYS_MAX) -> Iterator[TableRows]:
    """The same rows in pieces of at most `days_max` days; tables that are not partitioned by day in one
    piece."""
    column = DAY_COLUMN.get(rows.table)
    if column is None:
        yield rows
        return
    day = rows.columns[column] // _DAY_US
    days = np.unique(day)
    if len(days) <= days_max:
        yield rows
        return
    for start in range(0, len(days), days_max):
        chosen = np.isin(day, days[start : start + days_max])
        yield TableRows(rows.table, {name: values[chosen] for name, values in rows.columns.items()})
