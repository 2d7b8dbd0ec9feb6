"""Which events are right about which kind of injected fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LOSSES_MIN = 5
ALTERED_MIN = 2

Expected = Literal["yes", "may"]

DROPS = frozenset({"network_loss", "black_hole"})
ASTRAY = frozenset({"loop", "wrong_route"})
HOST = frozenset({"host_silent"})
MIRROR = frozenset({"mirror_outage"})
PROBER = frozenset({"prober_outage", "source_silent"})
#: Kinds of events that say that the network is broken; all others say that something else is.
NETWORK_KINDS = DROPS | ASTRAY | {"alteration"}


@dataclass(frozen=True, slots=True)
class Rule:
    """families: kinds of event that are right. hits: probes (of mirrors: copies) that it must have harmed to
    be observable. expected: whether somebody has to report it, or may. beside: kinds that may be said of the
    same element too, and are neither right nor wrong. costs_probes: whether probes are lost or altered by it
    (or not answered), or only copies lost and probes not sent."""

    families: frozenset[str]
    hits: int = LOSSES_MIN
    expected: Expected = "yes"
    beside: frozenset[str] = frozenset()
    costs_probes: bool = True


RULES: dict[str, Rule] = {
    "loss": Rule(DROPS),
    "black_hole": Rule(DROPS),
    "link_down": Rule(DROPS),
    # A switch that is off mirrors nothing either.
    "switch_down": Rule(DROPS, beside=MIRROR),
    "flip": Rule(frozenset({"alteration"}), ALTERED_MIN),
    "loop": Rule(ASTRAY),
    "wrong_route": Rule(ASTRAY),
    "host_down": Rule(HOST),
    "host_slow": Rule(HOST, expected="may"),
    "rst_limit": Rule(HOST, expected="may"),
    "reboot": Rule(HOST),
    # Mirrors that lose, cut or damage copies are no fault of the network; that they do may be said.
    "mirror_loss": Rule(MIRROR, expected="may"),
    "mirror_truncate": Rule(MIRROR, expected="may"),
    "mirror_corrupt": Rule(MIRROR, expected="may"),
    "mirror_outage": Rule(MIRROR, costs_probes=False),
    "prober_outage": Rule(PROBER, costs_probes=False),
    "clock_skew": Rule(frozenset(), expected="may"),
}
#: A switch that reboots is a switch that is down.
SWITCH_REBOOT = RULES["switch_down"]
#: A collector that is silent is a source that is silent.
COLLECTOR_OUTAGE = Rule(MIRROR | {"source_silent"}, costs_probes=False)
