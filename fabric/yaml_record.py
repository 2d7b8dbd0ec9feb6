"""Reading YAML mappings so that every complaint names its line.

PyYAML's composed nodes carry marks; plain `yaml.load` forgets them. A `Record` is a mapping whose keys are
asked for one by one and whose unknown keys are refused: a misspelt option must not be a silent default.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar, cast

import yaml

_Choice = TypeVar("_Choice", bound="int | str")


class InventoryError(ValueError):
    """An inventory cannot be used; the message says where (`file:line:`) and why."""


class Record:
    """One YAML mapping of a file. All getters raise InventoryError with the file and line."""

    def __init__(self, node: yaml.Node, source: str, what: str) -> None:
        self.source = source
        self.line: int = node.start_mark.line + 1
        self._what = what
        if not isinstance(node, yaml.MappingNode):
            raise self.error(f"{what} must be a mapping of keys to values")
        self._values: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = str(key_node.value)
            if key in self._values:
                raise self._error_at(key_node, f"key {key!r} is given twice in {what}")
            self._values[key] = value
        self._asked: set[str] = set()

    def error(self, message: str) -> InventoryError:
        return InventoryError(f"{self.source}:{self.line}: {message}")

    def line_of(self, key: str) -> int:
        """Line of a key's value, or of the mapping if it is absent."""
        node = self._values.get(key)
        return self.line if node is None else int(node.start_mark.line) + 1

    def refuse_unknown_keys(self) -> None:
        """Call after the last getter."""
        for key, value in self._values.items():
            if key not in self._asked:
                known = ", ".join(sorted(self._asked))
                raise self._error_at(value, f"unknown key {key!r} in {self._what}; known: {known}")

    def text(self, key: str, default: str | None = None) -> str:
        """A scalar as written. Required if `default` is None."""
        node = self._node(key, required=default is None)
        return self._scalar(node, key) if node is not None else cast(str, default)

    def optional_text(self, key: str) -> str | None:
        node = self._node(key, required=False)
        if node is None or node.tag == "tag:yaml.org,2002:null":
            return None
        return self._scalar(node, key)

    def integer(self, key: str, default: int | None = None) -> int:
        node = self._node(key, required=default is None)
        if node is None:
            return cast(int, default)
        written = self._scalar(node, key)
        try:
            return int(written)
        except ValueError:
            raise self._error_at(node, f"{key} must be an integer, not {written!r}") from None

    def boolean(self, key: str, default: bool) -> bool:
        node = self._node(key, required=False)
        if node is None:
            return default
        written = self._scalar(node, key)
        if written not in ("true", "false"):
            raise self._error_at(node, f"{key} must be true or false, not {written!r}")
        return written == "true"

    def choice(self, key: str, choices: Sequence[_Choice], default: _Choice | None = None) -> _Choice:
        """One of the choices, compared as text."""
        node = self._node(key, required=default is None)
        if node is None:
            return cast(_Choice, default)
        written = self._scalar(node, key)
        for choice in choices:
            if str(choice) == written:
                return choice
        known = ", ".join(map(str, choices))
        raise self._error_at(node, f"{key} must be one of {known}, not {written!r}")

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of scalars; empty if the key is absent."""
        return tuple(self._scalar(node, key) for node in self._sequence(key))

    def nodes(self, key: str) -> Iterator[yaml.Node]:
        """The items of a list, for lists of mixed items; empty if the key is absent."""
        yield from self._sequence(key)

    def records(self, key: str, what: str) -> list[Record]:
        """A list of mappings; empty if the key is absent."""
        return [Record(node, self.source, what) for node in self._sequence(key)]

    def mapping(self, key: str, what: str) -> Record | None:
        """A mapping inside this one; None if the key is absent."""
        node = self._node(key, required=False)
        return None if node is None else Record(node, self.source, what)

    def _sequence(self, key: str) -> list[yaml.Node]:
        node = self._node(key, required=False)
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            raise self._error_at(node, f"{key} must be a list")
        return cast(list[yaml.Node], node.value)

    def _node(self, key: str, required: bool) -> yaml.Node | None:
        self._asked.add(key)
        node = self._values.get(key)
        if node is None and required:
            raise self.error(f"{self._what} has no {key!r}")
        return node

    def _scalar(self, node: yaml.Node, key: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error_at(node, f"{key} must be a single value")
        return str(node.value)

    def _error_at(self, node: yaml.Node, message: str) -> InventoryError:
        return InventoryError(f"{self.source}:{node.start_mark.line + 1}: {message}")


def compose_record(text: str, source: str, what: str) -> Record:
    """The mapping that is the whole document. Raises InventoryError, also for text that is no YAML."""
    try:
        # The C parser reads a large inventory ten times faster; not every PyYAML is built with it.
        node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark is not None else 1
        raise InventoryError(f"{source}:{line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InventoryError(f"{source}:1: not YAML: {error}") from error
    if node is None:
        raise InventoryError(f"{source}:1: the file is empty")
    return Record(node, source, what)
