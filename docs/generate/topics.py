"""Blocks of docs/schema.md about topics: from schemas/topics.yaml and the newest Avro schema of each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from docs.generate.markdown import Block, code, table
from schemas import catalog
from schemas.topics import Topic, all_topics

_UNITS = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))
_HOUR_MS = 3_600_000


def blocks() -> dict[str, Block]:
    return {
        "topics": _overview,
        **{f"topic {topic.name}": partial(_message, topic) for topic in all_topics()},
    }


def _overview() -> str:
    rows = [
        [
            f"[{code(topic.name)}](#{topic.name})",
            "as configured" if topic.joined else "1",
            topic.key,
            ("compacted, " if topic.compacted else "")
            + f"{_duration(topic.retention_ms)} or {_size(topic.retention_bytes)} a partition",
            _size(topic.message_bytes_max),
            ", ".join(topic.producers),
            ", ".join(topic.consumers),
        ]
        for topic in all_topics()
    ]
    return table(["Topic", "Partitions", "Key", "Kept", "Largest message", "Written by", "Read by"], rows)


def _message(topic: Topic) -> str:
    schema = catalog.latest(topic.name)
    sections = [
        f"{topic.doc} Schema: [version {schema.version}]"
        f"(../schemas/avsc/{topic.name}/{schema.version}.avsc), record `{schema.definition['name']}`."
    ]
    for title, name, fields in _records(schema.definition):
        head = f"An element of `{title}`, `{name}`:" if title else ""
        packed = {"rows": schema.row_dtype, **schema.tables}.get(title)
        if packed is not None:
            head = f"An element of `{title}`, `{name}`, {packed.itemsize} bytes:"
        rows = [[code(f["name"]), _type_name(f["type"]), f.get("doc", "")] for f in fields]
        sections += [head, table(["Field", "Type", "Meaning"], rows)]
    return "\n\n".join(section for section in sections if section)


def _records(record: dict[str, Any], title: str = "") -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """What holds a record (empty: the message), its name and fields; then those in its arrays."""
    yield title, record["name"], record["fields"]
    for field in record["fields"]:
        kind = field["type"]
        if isinstance(kind, dict) and kind["type"] == "array" and isinstance(kind["items"], dict):
            below = f"{title}.{field['name']}" if title else field["name"]
            yield from _records(kind["items"], below)


def _type_name(kind: Any) -> str:
    """A type as a reader of the topic meets it."""
    match kind:
        case list():
            return " or ".join(_type_name(each) for each in kind)
        case {"type": "array", "items": items}:
            return f"array of {_type_name(items)}"
        case {"type": "map", "values": values}:
            return f"map of {_type_name(values)}"
        case {"type": "enum", "symbols": symbols}:
            return "enum: " + ", ".join(code(symbol) for symbol in symbols)
        case {"name": name} | str(name):
            return _fixed(name)
    raise ValueError(f"no words for the type {kind!r}")


def _fixed(name: str) -> str:
    """`Int8`: a big-endian integer of 8 bytes; others are opaque bytes."""
    for prefix, what in (("Int", "integer"), ("Hash", "hash"), ("Bytes", "bytes")):
        if name.startswith(prefix) and name.removeprefix(prefix).isdigit():
            return f"{what}, {name.removeprefix(prefix)} bytes"
    return name


def _size(size_bytes: int) -> str:
    for unit, name in _UNITS:
        if size_bytes % unit == 0:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes} bytes"


def _duration(milliseconds: int) -> str:
    hours = milliseconds // _HOUR_MS
    return f"{hours} h" if hours < 48 else f"{hours // 24} d"
