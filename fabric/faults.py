"""Faults as people write them: `KIND:ELEMENT[:key=value,...]`, e.g. `loss:leaf-1-2~spine-1:rate=0.3`.

The kinds are in fabric.fault_kinds. Every kind also takes `after` (seconds until it starts, default 0) and
`for` (seconds it lasts, default: on). An element may hold colons itself (`loss:leaf-1-2:Ethernet3:rate=1`):
what stands behind the last one are the settings if it looks like settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fabric.fault_kinds import (
    ELEMENT_WORDS,
    FLIP_OFFSET_FIRST,
    FLIP_OFFSET_LAST,
    KINDS,
    TIMES,
    FaultKind,
    Parameter,
)
from fabric.model import Element, Fabric, Link, UnknownElement

__all__ = [
    "FLIP_OFFSET_FIRST",
    "FLIP_OFFSET_LAST",
    "KINDS",
    "FaultError",
    "FaultKind",
    "FaultSpec",
    "Parameter",
    "parse_spec",
]


class FaultError(ValueError):
    """A fault specification that means nothing in this fabric; the message says what would."""


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """A fault that was asked for, checked against a fabric."""

    text: str  # as written
    kind: str  # a key of KINDS
    element: str  # name of an element of the fabric
    params: Mapping[str, float | int]  # numbers of the kind, without the times
    after_s: float = 0.0
    for_s: float | None = None  # None: until the end


def parse_spec(text: str, fabric: Fabric) -> FaultSpec:
    """Read one specification. Raises FaultError with what is known instead of what was written."""
    kind_name, _, rest = text.partition(":")
    kind = KINDS.get(kind_name)
    if kind is None:
        raise FaultError(f"fault {text!r}: unknown kind {kind_name!r}; known: {', '.join(KINDS)}")
    known = {**kind.parameters, **TIMES}
    element_name, settings = _split(rest, known)
    if not element_name:
        raise FaultError(f"fault {text!r}: no element; write KIND:ELEMENT[:key=value,...]")
    try:
        element = fabric.element(element_name)
    except UnknownElement as error:
        raise FaultError(f"fault {text!r}: {error}") from error
    _check_element(text, kind_name, element, fabric)
    values = _read_settings(text, settings, known)
    for name, parameter in known.items():
        if name not in values and (parameter.required or (name == "for" and kind.must_end)):
            raise FaultError(f"fault {text!r}: {kind_name} needs {name}= ({parameter.doc})")
    if values.get("min_bytes", 0) > values.get("max_bytes", float("inf")):
        raise FaultError(f"fault {text!r}: no packet is as long as min_bytes and as short as max_bytes")
    after_s = float(values.pop("after", 0.0))
    for_s = values.pop("for", None)
    return FaultSpec(
        text=text,
        kind=kind_name,
        element=element_name,
        params=MappingProxyType(values),
        after_s=after_s,
        for_s=None if for_s is None else float(for_s),
    )


def _split(rest: str, known: Mapping[str, Parameter]) -> tuple[str, str]:
    """Element and settings; the name of a port holds a colon too."""
    head, colon, tail = rest.rpartition(":")
    is_settings = colon and (not tail or "=" in tail or tail.partition(",")[0] in known)
    return (head, tail) if is_settings else (rest, "")


def _check_element(text: str, kind_name: str, element: Element, fabric: Fabric) -> None:
    kind = KINDS[kind_name]
    if not isinstance(element, kind.elements):
        takes = " or ".join(ELEMENT_WORDS[each] for each in kind.elements)
        given = ELEMENT_WORDS[type(element)]
        raise FaultError(f"fault {text!r}: {kind_name} takes {takes}; {element.name!r} is {given}")
    if kind.between_switches and isinstance(element, Link):
        ends = (element.from_name, element.to_name)
        strangers = [name for name in ends if name not in fabric.switch_by_name]
        if strangers:
            raise FaultError(f"fault {text!r}: {kind_name} needs two switches; {strangers[0]!r} is none")


def _read_settings(text: str, settings: str, known: Mapping[str, Parameter]) -> dict[str, float | int]:
    values: dict[str, float | int] = {}
    for setting in settings.split(",") if settings else []:
        key, equals, written = setting.partition("=")
        if key not in known:
            raise FaultError(f"fault {text!r}: unknown key {key!r}; known: {', '.join(known)}")
        if not equals or key in values:
            raise FaultError(f"fault {text!r}: write {key}=VALUE, once")
        try:
            values[key] = known[key].read(written)
        except ValueError:
            raise FaultError(f"fault {text!r}: {key} must be {known[key].range}, not {written!r}") from None
    return values
