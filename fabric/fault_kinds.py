"""Every kind of fault that can be injected: what it acts on, which numbers it takes.

`KINDS` is the whole language: a new kind is a new entry. What a kind does is up to the simulator and the lab.
How a fault is written is in fabric.faults.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from fabric.model import Chip, ChipPair, Collector, Element, Link, PortRef, Prober, Server, Switch

#: Bytes of the TCP segment that `flip` may alter. Those before say whose probe it is and where it goes.
FLIP_OFFSET_FIRST = 14
FLIP_OFFSET_LAST = 20 + 512 - 1
#: Clocks that are further off than this are refused by the join.
SKEW_MS_MAX = 999


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
    between_switches: bool = False  # the link must join two switches
    must_end: bool = False  # `for` is required


_RATE = Parameter("share of packets hit", 1e-9, 1, required=True)
_FLOWS = "share of five-tuples hit, the same ones always"
_SHARE = Parameter(_FLOWS + "; all if absent", 1e-9, 1)
_PACKET_BYTES = 65_535
#: Where packets can come to harm.
_FORWARDING = (Link, Chip, Switch, ChipPair, PortRef)

KINDS: Mapping[str, FaultKind] = MappingProxyType(
    {
        "loss": FaultKind(
            "drops packets silently",
            _FORWARDING,
            {
                "rate": _RATE,
                "min_bytes": Parameter("only IP packets at least so long", 0, _PACKET_BYTES, "int"),
                "max_bytes": Parameter("only IP packets at most so long", 0, _PACKET_BYTES, "int"),
            },
        ),
        "black_hole": FaultKind(
            "drops all packets of some five-tuples, and none of the others",
            _FORWARDING,
            {"share": Parameter(_FLOWS, 1e-9, 1, required=True)},
        ),
        "link_down": FaultKind("drops everything, both ways, and routing does not notice", (Link, PortRef)),
        "switch_down": FaultKind(
            "forwards nothing and mirrors nothing, and its neighbours do not notice", (Switch,)
        ),
        "flip": FaultKind(
            "alters bits of packets; checksums stay as they were",
            _FORWARDING,
            {
                "rate": _RATE,
                "offset": Parameter(
                    "byte of the TCP segment; random if absent", FLIP_OFFSET_FIRST, FLIP_OFFSET_LAST, "int"
                ),
                "mask": Parameter("bits of that byte; one random bit if absent", 1, 255, "int"),
                "stuck": Parameter("0 or 1: bits become that; inverted if absent", 0, 1, "int"),
            },
        ),
        "loop": FaultKind(
            "A~B: B sends packets that came from A back to A, and A to B again, until their TTL ends",
            (Link,),
            {"share": _SHARE},
            between_switches=True,
        ),
        "wrong_route": FaultKind(
            "A~B: A sends packets to B although that is no shortest way; B goes by its own table",
            (Link,),
            {"share": _SHARE},
            between_switches=True,
        ),
        "host_down": FaultKind("a server that answers nothing", (Server,)),
        "host_slow": FaultKind(
            "a server that answers late",
            (Server,),
            {"delay_ms": Parameter("time added before the reply", 0, 10_000, required=True)},
        ),
        "rst_limit": FaultKind(
            "a server that answers only some probes",
            (Server,),
            {"rate": Parameter("share of probes answered", 0, 1, required=True)},
        ),
        "reboot": FaultKind(
            "a server that answers nothing for a while, or a switch as in switch_down",
            (Server, Switch),
            must_end=True,
        ),
        "mirror_loss": FaultKind("loses mirror copies, not packets", (Switch,), {"rate": _RATE}),
        "mirror_outage": FaultKind(
            "no copy of a switch arrives; a collector receives nothing and publishes nothing",
            (Switch, Collector),
        ),
        "mirror_truncate": FaultKind(
            "cuts mirror copies short",
            (Switch,),
            {"bytes": Parameter("of the IP packet that are left", 1, _PACKET_BYTES, "int", required=True)},
        ),
        "mirror_corrupt": FaultKind(
            "alters a bit of mirror copies, not of packets", (Switch,), {"rate": _RATE}
        ),
        "prober_outage": FaultKind("sends nothing and publishes nothing", (Prober,)),
        "clock_skew": FaultKind(
            "a clock that is off: of what a Prober, a collector or an exporter (switch) stamps",
            (Prober, Collector, Switch),
            {"ms": Parameter("ahead if positive", -SKEW_MS_MAX, SKEW_MS_MAX, required=True)},
        ),
    }
)

#: What every kind takes.
TIMES: Mapping[str, Parameter] = MappingProxyType(
    {
        "after": Parameter("seconds until it starts", 0, 1e9),
        "for": Parameter("seconds that it lasts", 1e-3, 1e9),
    }
)

ELEMENT_WORDS: Mapping[type[Element], str] = MappingProxyType(
    {
        Switch: "a switch",
        Chip: "a chip S/C",
        ChipPair: "a chip pair S/C1>C2",
        PortRef: "a port S:PORT",
        Server: "a server",
        Prober: "a prober",
        Collector: "a collector",
        Link: "a directed link A~B",
    }
)
