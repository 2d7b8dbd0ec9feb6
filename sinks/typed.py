"""SQL that a person typed: how it is put to the store, so that it can only be a question.

The store refuses what is more, in four steps:

1. The text becomes a subquery. Whatever is not one SELECT is then a syntax error of the store's: KILL, SET,
   USE, DESCRIBE, several statements, INTO OUTFILE.
2. The store's parser tells what it takes that text for, before anything runs. It must be one question that
   changes no settings: ClickHouse 26.7 lets a subquery lift `readonly` (`SELECT * FROM (SELECT ... SETTINGS
   readonly = 0)`), later versions ignore it there.
3. It runs with `readonly = 1`, under which nothing can be written and no source outside of the database be
   read.
4. Time, rows, bytes and memory are limited by settings.

A server does the rest by its users' rights, and should: with no more than GRANT SELECT on the one database,
none of this is needed. The embedded store has no users, its functions read files of the machine even when
it is read-only, and it takes several statements in one text. So there the parser is asked by way of a
function, and the names in the tree that it returns are looked at too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sinks.store import StoreError

#: What the parser calls a question, and a SETTINGS clause.
_QUESTION = "SelectWithUnionQuery"
_SETTINGS, _SETTINGS_LINE = "SetQuery", "Set"
#: Table functions that reach nothing but the database. All others are refused, those of later versions
#: included.
_HARMLESS_TABLES = frozenset(
    {
        "format",
        "generate_series",
        "generaterandom",
        "generateseries",
        "null",
        "numbers",
        "numbers_mt",
        "primes",
        "sqlstandardvalues",
        "values",
        "zeros",
        "zeros_mt",
    }
)
#: Functions that read files or the code of models; those that ask services elsewhere begin with `ai`.
_REACHING_OUT = frozenset({"file", "catboostevaluate", "filesystem", "executable", "python", "url", "eval"})
#: ClickHouse's numbers: SYNTAX_ERROR, READONLY, ACCESS_DENIED.
_SYNTAX_ERROR, _READONLY, _ACCESS_DENIED = 62, 164, 497


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a typed query may use."""

    seconds: float = 10.0  # of running, by the store's clock
    rows: int = 10_000  # of the answer; more are cut off, and it says so
    result_bytes: int = 64 * 1024**2  # of the answer; more is an error
    memory_bytes: int = 1024**3  # while it runs; more is an error
    threads: int = 2  # so that one question leaves the others something

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0")

    def settings(self) -> dict[str, float | str]:
        """ClickHouse settings; `readonly` is the last, as nothing can be set after it."""
        return {
            "max_execution_time": self.seconds,
            "timeout_overflow_mode": "throw",
            "max_result_bytes": self.result_bytes,
            "result_overflow_mode": "throw",
            "max_memory_usage": self.memory_bytes,
            "max_threads": self.threads,
            "readonly": 1,
        }


def as_subquery(sql: str, rows_max: int) -> str:
    """The text as part of a SELECT that returns one row more than `rows_max`, which shows that there are
    more."""
    return f"SELECT * FROM (\n{sql.strip().rstrip(';').rstrip()}\n) LIMIT {rows_max + 1}"


def explained(question: str) -> str:
    """Asks a server for the tree of a text of `as_subquery`, without running it."""
    return f"EXPLAIN AST {question}"


def check_explained(lines: Sequence[str]) -> None:
    """Raise StoreError unless the lines of `explained` are those of a question that changes no settings.
    Names and values stand behind the kind of a node and within a line, so they cannot pass for a kind."""
    kinds = [line.split(maxsplit=1)[0] for line in lines if line.strip()]
    _check_kinds(kinds[:1] == [_QUESTION], _SETTINGS_LINE in kinds)


#: Gives the tree of `{sql:String}` as JSON. The text is a value, so nothing of it can run.
PARSE = "SELECT parseQueryToJSON({sql:String})"


def check_parsed(tree_json: str) -> None:
    """Raise StoreError unless the tree that `PARSE` gives is a question that changes no settings and
    reaches nothing outside of the database."""
    tree = json.loads(tree_json)
    nodes = list(_nodes(tree))
    _check_kinds(tree.get("type") == _QUESTION, any(node.get("type") == _SETTINGS for node in nodes))
    for node in nodes:
        if "out_file" in node:
            raise StoreError("an answer cannot be written to a file here", _ACCESS_DENIED)
        table = node.get("table_function")
        if isinstance(table, Mapping) and str(table.get("name", "")).lower() not in _HARMLESS_TABLES:
            raise _denied(str(table.get("name", "")))
        for word in _words(node):
            if word.lower() in _REACHING_OUT or (word.startswith("ai") and word[2:3].isupper()):
                raise _denied(word)


def _check_kinds(question: bool, settings: bool) -> None:
    if not question:
        raise StoreError("only a SELECT can be asked here", _SYNTAX_ERROR)
    if settings:
        raise StoreError("a typed query cannot have SETTINGS", _READONLY)


def _denied(name: str) -> StoreError:
    return StoreError(
        f"{name} reaches outside of the database and is not allowed in typed queries of the embedded store "
        "(nor may anything be called so)",
        _ACCESS_DENIED,
    )


def _nodes(tree: Any) -> Iterator[Mapping[str, Any]]:
    """All nodes but values: what stands in quotes is no name of anything."""
    if isinstance(tree, Mapping):
        if tree.get("type") == "Literal":
            return
        yield tree
        for child in tree.values():
            yield from _nodes(child)
    elif isinstance(tree, list):
        for child in tree:
            yield from _nodes(child)


def _words(node: Mapping[str, Any]) -> Iterator[str]:
    """Names in a node. A function can be called by a bare identifier too: `arrayMap(file, ...)`,
    `APPLY(file)`."""
    for value in node.values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (each for each in value if isinstance(each, str))
