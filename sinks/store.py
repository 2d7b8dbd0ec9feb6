"""What the sink needs of a database, and the errors it must tell apart.

Two implementations: sinks.clickhouse (native protocol) and sinks.chdb_store (the same engine inside this
process). One contract suite, tests/sinks/test_store_contract.py, runs over both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from sinks.settings import checked_name

Columns = Mapping[str, np.ndarray]


class StoreError(Exception):
    """The store refused: bad SQL, no such table, no permission, wrong password. Trying again will not help.

    `code` is ClickHouse's number of the error, 0 where there is none.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class TransientStoreError(StoreError):
    """The store could not be reached, was too slow or is overloaded. What was sent may or may not be
    stored; try again. The connection is gone, the next call makes a new one."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Rows as tuples of Python values: int, float, str (bytes where it is no UTF-8), bool, None, datetime
    with a time zone, list, tuple, dict."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    #: There were more rows than asked for (see sinks.reading).
    truncated: bool = False


class Store(Protocol):
    """A database with the tables of sinks/migrations.

    Every call blocks at most its deadline (see the settings of the implementation; over a network twice
    that, once for sending and once for the answer) and raises TransientStoreError or StoreError, nothing
    else. An instance is for one thread at a time.
    """

    def prepare(self) -> None:
        """Make the database itself if it is not there. Tables are the business of sinks.migrate."""
        ...

    def insert(self, table: str, columns: Columns) -> int:
        """Append rows and return how many; when it returns they are stored and visible.

        Columns are of equal length n, shape (n,); columns of the table that are left out take their
        defaults. By type in the table: integers and Bool take arrays of any integer or bool dtype whose
        values fit; DateTime64(p) takes i8 ticks since 1970, so DateTime64(6) microseconds; Float64 f8;
        String and LowCardinality(String) object arrays of str (String: or bytes); Nullable(T) object
        arrays with None; Array(T) object arrays of lists of Python values (DateTime64 as int); Map object
        arrays of dicts. One insert is one block: all rows or none, unless they belong to several
        partitions.
        """
        ...

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> QueryResult:
        """Read. The store itself refuses to write or to change settings that guard it (`readonly`).

        `parameters` fill `{name:Type}` in the SQL; values are str, int or float.
        """
        ...

    def execute(self, sql: str) -> None:
        """Run one statement that returns nothing: DDL, INSERT ... SELECT."""
        ...

    def close(self) -> None:
        """Let go of connections and locks. Idempotent; the store is not used afterwards."""
        ...


#: ClickHouse error numbers after which another try may succeed. Source: src/Common/ErrorCodes.cpp.
TRANSIENT_CODES = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE: the connection broke
        32,  # ATTEMPT_TO_READ_AFTER_EOF
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED: the server is stopping
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY: a replica without its keeper
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS: merges are behind
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        439,  # CANNOT_SCHEDULE_TASK
        473,  # DEADLOCK_AVOIDED
        999,  # KEEPER_EXCEPTION
    }
)


def store_error(message: str, code: int) -> StoreError:
    """The right one of the two errors for a ClickHouse error number."""
    return (TransientStoreError if code in TRANSIENT_CODES else StoreError)(message, code)


#: Settings that delivery depends on, sent with each insert because the server's defaults have changed
#: before (26.2 turned asynchronous inserts and insert deduplication on). Rows are told apart by the
#: natural key of their table; deduplication of blocks would only add a second opinion.
INSERT_SETTINGS: Mapping[str, int] = {
    "async_insert": 0,
    "wait_for_async_insert": 1,
    "insert_deduplicate": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 0,
    "max_partitions_per_insert_block": 100,
    "insert_quorum": 0,
}

#: Every table's partition follows from its sorting key, so FINAL need not look across partitions.
QUERY_SETTINGS: Mapping[str, int] = {"do_not_merge_across_partitions_select_final": 1}


def insert_statement(table: str, columns: Columns) -> str:
    """``INSERT INTO table (columns)``, without VALUES. Raises ValueError for a name that is none."""
    for name in columns:
        for part in name.split("."):
            checked_name(part)
    return f"INSERT INTO {checked_name(table)} ({', '.join(f'`{name}`' for name in columns)})"
