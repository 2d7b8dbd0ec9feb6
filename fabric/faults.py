"""Faults as people write them: `KIND:ELEMENT[:key=value,...]`, e.g. `loss:leaf-1-2~spine-1:rate=0.3`.

`KINDS` is the whole language: a new kind is a new entry. What a kind does is up to the simulator and the lab.
Every kind also takes `after` (seconds until it starts, default 0) and `for` (seconds it lasts, default: on).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from fabric.model import Chip, Element, Fabric, Link, Prober, Server, Switch, UnknownElement

#: Bytes of the TCP segment that `flip` may alter. Those before say whose probe it is and where it goes.
FLIP_OFFSET_FIRST = 14
FLIP_OFFSET_LAST = 20 + 512 - 1


class FaultError(ValueError):
    """A fault specification that means nothing in this fabric; the message says what would."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a kind takes. `least` and `most` are inclusive; a required one has no default."""

    doc: str
    least: float
    most: float
    type: Literal["float", "int"] = "float"
    required: bool = False

    def read(self, written: str) -> float | int:
        """The number as written (integers also as 0x..). Raises ValueError if it is none or out of range."""
        value: float | int = int(written, 0) if self.type == "int" else float(written)
        if not (math.isfinite(value) and self.least <= value <= self.most):
            raise ValueError
        return value

    @property
    def range(self) -> str:
        what = "an integer" if self.type == "int" else "a number"
        return f"{what} from {self.least:g} to {self.most:g}"


@dataclass(frozen=True, slots=True)
class FaultKind:
    doc: str
    elements: tuple[type[Element], ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


_RATE = Parameter("share of packets hit", 1e-9, 1, required=True)
_FORWARDING = (Link, Chip, Switch)

KINDS: Mapping[str, FaultKind] = MappingProxyType(
    {
        "loss": FaultKind("drops packets silently", _FORWARDING, {"rate": _RATE}),
        "link_down": FaultKind("drops everything, both ways, and routing does not notice", (Link,)),
        "flip": FaultKind(
            "alters bits of packets",
            _FORWARDING,
            {
                "rate": _RATE,
                "offset": Parameter(
                    "byte of the TCP segment; random if absent", FLIP_OFFSET_FIRST, FLIP_OFFSET_LAST, "int"
                ),
                "mask": Parameter("bits of that byte; one random bit if absent", 1, 255, "int"),
            },
        ),
        "host_down": FaultKind("a server that answers nothing", (Server,)),
        "mirror_loss": FaultKind("loses mirror copies, not packets", (Switch,), {"rate": _RATE}),
    }
)

_TIMES: Mapping[str, Parameter] = {
    "after": Parameter("seconds until it starts", 0, 1e9),
    "for": Parameter("seconds that it lasts", 1e-3, 1e9),
}

_ELEMENT_WORDS: Mapping[type[Element], str] = {
    Switch: "a switch",
    Chip: "a chip S/C",
    Server: "a server",
    Prober: "a prober",
    Link: "a directed link A~B",
}


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
    element_name, _, settings = rest.partition(":")
    kind = KINDS.get(kind_name)
    if kind is None:
        raise FaultError(f"fault {text!r}: unknown kind {kind_name!r}; known: {', '.join(KINDS)}")
    if not element_name:
        raise FaultError(f"fault {text!r}: no element; write KIND:ELEMENT[:key=value,...]")
    try:
        element = fabric.element(element_name)
    except UnknownElement as error:
        raise FaultError(f"fault {text!r}: {error}") from error
    if not isinstance(element, kind.elements):
        takes = " or ".join(_ELEMENT_WORDS[each] for each in kind.elements)
        given = _ELEMENT_WORDS[type(element)]
        raise FaultError(f"fault {text!r}: {kind_name} takes {takes}; {element_name!r} is {given}")
    values = _read_settings(text, settings, {**kind.parameters, **_TIMES})
    for name, parameter in kind.parameters.items():
        if parameter.required and name not in values:
            raise FaultError(f"fault {text!r}: {kind_name} needs {name}= ({parameter.doc})")
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
