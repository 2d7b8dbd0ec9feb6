"""Whether messages of one schema version can be read with another.

Avro's rules (1.12 specification, "Schema Resolution"), and ours for the mapped rows, where a column
that did not exist reads as zero and needs no default.
"""

from __future__ import annotations

from typing import Any

_PROMOTIONS = {
    "int": {"int", "long", "float", "double"},
    "long": {"long", "float", "double"},
    "float": {"float", "double"},
    "string": {"string", "bytes"},
    "bytes": {"bytes", "string"},
}


def problems(writer: dict[str, Any], reader: dict[str, Any]) -> list[str]:
    """Why messages written with `writer` cannot be read with `reader`, both as in `.avsc`; empty if
    they can. Every entry names the field."""
    found = _problems(writer, reader, _Names(writer), _Names(reader), reader["name"])
    mapped, still = _Names(writer).mapped, _Names(reader).mapped
    if ("rows" in mapped) != ("rows" in still):
        found.append(f"{reader['name']}.rows: mapped rows must stay mapped rows, and the last field")
    kept = {field["name"] for field in reader["fields"]} & {*mapped}
    found += [
        f"{reader['name']}.{name}: a mapped array must stay one, at the end"
        for name in sorted(kept - {*still, "rows"})
    ]
    return found


class _Names:
    """Definitions of the named types of a schema."""

    def __init__(self, schema: Any) -> None:
        self.known: dict[str, dict[str, Any]] = {}
        self._collect(schema)
        self.mapped = self._mapped(schema["fields"])

    def _collect(self, schema: Any) -> None:
        if isinstance(schema, list):
            for branch in schema:
                self._collect(branch)
        elif isinstance(schema, dict):
            if "name" in schema and schema.get("type") in ("record", "enum", "fixed"):
                self.known[schema["name"]] = schema
            for part in ("type", "items", "values"):
                if isinstance(schema.get(part), dict | list):
                    self._collect(schema[part])
            for field in schema.get("fields", ()):
                self._collect(field["type"])

    def _mapped(self, fields: list[dict[str, Any]]) -> list[str]:
        """The arrays of fixed-only records with which a schema ends."""
        found: list[str] = []
        for field in fields:
            items = field["type"].get("items") if isinstance(field["type"], dict) else None
            if isinstance(items, dict) and _is_fixed_only(items, self):
                found.append(field["name"])
            else:
                found.clear()
        return found

    def resolve(self, schema: Any) -> Any:
        """The definition behind a name, or of a type written as {"type": ...}."""
        if isinstance(schema, str):
            return self.known.get(schema, schema)
        if isinstance(schema, dict) and not isinstance(schema["type"], str):
            return self.resolve(schema["type"])
        return schema


def _kind(schema: Any) -> str:
    if isinstance(schema, list):
        return "union"
    return schema if isinstance(schema, str) else str(schema["type"])


def _problems(  # noqa: PLR0911 - one kind of type after the other
    writer: Any, reader: Any, ours: _Names, theirs: _Names, path: str
) -> list[str]:
    writer, reader = ours.resolve(writer), theirs.resolve(reader)
    kinds = _kind(writer), _kind(reader)
    if "union" in kinds:
        return _union_problems(writer, reader, ours, theirs, path)
    if kinds[0] != kinds[1]:
        readable = kinds[1] in _PROMOTIONS.get(kinds[0], set())
        return [] if readable else [f"{path}: {kinds[0]} cannot be read as {kinds[1]}"]
    match kinds[1]:
        case "record":
            return _record_problems(writer, reader, ours, theirs, path)
        case "array":
            return _problems(writer["items"], reader["items"], ours, theirs, f"{path}[]")
        case "map":
            return _problems(writer["values"], reader["values"], ours, theirs, f"{path}{{}}")
        case "enum":
            unknown = set(writer["symbols"]) - set(reader["symbols"])
            return [f"{path}: {sorted(unknown)} are no symbols any more"] if unknown else []
        case "fixed":
            same = all(writer.get(k) == reader.get(k) for k in ("name", "size", "logicalType", "scale"))
            return [] if same else [f"{path}: fixed {writer['name']} cannot be read as {reader['name']}"]
    return []


def _record_problems(writer: Any, reader: Any, ours: _Names, theirs: _Names, path: str) -> list[str]:
    found = [] if writer["name"] == reader["name"] else [f"{path}: was called {writer['name']}"]
    written = {field["name"]: field for field in writer["fields"]}
    are_rows = path.split(".")[1:] in [[f"{name}[]"] for name in theirs.mapped]
    for field in reader["fields"]:
        name = f"{path}.{field['name']}"
        if field["name"] in written:
            found += _problems(written[field["name"]]["type"], field["type"], ours, theirs, name)
        elif "default" not in field and not are_rows:
            found.append(f"{name}: is new and has no default")
    return found


def _union_problems(writer: Any, reader: Any, ours: _Names, theirs: _Names, path: str) -> list[str]:
    options = reader if isinstance(reader, list) else [reader]
    found: list[str] = []
    for branch in writer if isinstance(writer, list) else [writer]:
        if all(_problems(branch, option, ours, theirs, path) for option in options):
            found.append(f"{path}: {_kind(ours.resolve(branch))} is not in the union any more")
    return found


def _is_fixed_only(record: Any, names: _Names) -> bool:
    return all(_kind(names.resolve(field["type"])) == "fixed" for field in record["fields"])
