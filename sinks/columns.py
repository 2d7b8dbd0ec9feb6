"""Building blocks of rows: lists of decoded values to checked columns.

A value that its column cannot hold makes the message a bad one: it must never reach the store, which
would refuse the whole batch, again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from schemas.errors import BadMessage

#: Points in time are kept from 1970 to 2100, us.
TIME_LIMIT_US = 4_102_444_800_000_000

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows for one table: columns of equal length n, shape (n,), as Store.insert takes them."""

    table: str
    columns: dict[str, np.ndarray]

    @property
    def count(self) -> int:
        return len(next(iter(self.columns.values())))


@dataclass(frozen=True, slots=True)
class Origin:
    """The Kafka message that rows came from."""

    topic: str
    partition: int
    offset: int

    def columns(self, count: int) -> dict[str, np.ndarray]:
        return {
            "kafka_topic": constant(self.topic, count),
            "kafka_partition": np.full(count, self.partition, np.int32),
            "kafka_offset": np.full(count, self.offset, np.uint64),
            "kafka_index": np.arange(count, dtype=np.uint32),
        }


def constant(text: str, count: int) -> np.ndarray:
    column = np.empty(count, dtype=object)
    column[:] = text
    return column


def texts(values: Iterable[Any]) -> np.ndarray:
    """Strings, or None, or bytes: object[n]."""
    return objects(list(values))


def objects(values: Sequence[Any]) -> np.ndarray:
    """Any values, one a row; lists are not taken apart: object[n]."""
    column = np.empty(len(values), dtype=object)
    column[:] = values if not values or not isinstance(values[0], list | tuple | np.ndarray) else list(values)
    return column


def one_list(values: Iterable[Any]) -> np.ndarray:
    """One row that holds a list: object[1]."""
    column = np.empty(1, dtype=object)
    column[0] = list(values)
    return column


def integers(values: Iterable[int], dtype: DTypeLike, name: str) -> np.ndarray:
    """Integers as `dtype`, shape (n,). Raises BadMessage if one does not fit."""
    try:
        wide = np.array(list(values), dtype=np.int64)
    except OverflowError as error:
        raise BadMessage("out_of_range", f"{name} has more than 64 bits") from error
    return narrow(wide, dtype, name)


def narrow(wide: np.ndarray, dtype: DTypeLike, name: str) -> np.ndarray:
    """The same integers as `dtype`. Raises BadMessage if one does not fit."""
    limits = np.iinfo(np.dtype(dtype))
    if len(wide) and (int(wide.min()) < limits.min or int(wide.max()) > limits.max):
        raise BadMessage("out_of_range", f"{name} from {wide.min()} to {wide.max()} is no {np.dtype(dtype)}")
    return wide.astype(dtype)


def times(values: Iterable[int], name: str) -> np.ndarray:
    """Microseconds since 1970: i8[n]. Raises BadMessage outside 1970 to 2100."""
    column = integers(values, np.int64, name)
    if len(column) and (column.min() < 0 or column.max() >= TIME_LIMIT_US):
        raise BadMessage("time_out_of_range", f"{name} from {column.min()} to {column.max()} us")
    return column


def optional_integers(values: Sequence[int | None], dtype: DTypeLike, name: str) -> np.ndarray:
    """Integers or None: object[n]."""
    integers([v for v in values if v is not None], dtype, name)
    return objects(values)


def lists(
    records: Sequence[Record],
    outer: str,
    inner: str,
    check: Callable[[list[Any]], Any] | None = None,
    convert: Callable[[Any], Any] | None = None,
) -> np.ndarray:
    """Field `inner` of the records in array `outer` of each record: object[n] of lists. `check` sees all
    values at once and raises BadMessage."""
    nested = [[item[inner] for item in record[outer]] for record in records]
    if convert is not None:
        nested = [[convert(value) for value in values] for values in nested]
    if check is not None:
        check([value for values in nested for value in values])
    column = np.empty(len(nested), dtype=object)
    for row, values in enumerate(nested):
        column[row] = values
    return column
