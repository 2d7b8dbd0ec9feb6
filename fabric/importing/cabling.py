"""Which cables of a draft an inventory can hold: at most one between two nodes, and one ToR to a server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fabric.importing.draft import DraftCable
from fabric.importing.report import ImportReport, shown
from fabric.importing.roles import Named

_ENDS = ("server", "prober")


@dataclass(frozen=True, slots=True)
class Cabling:
    """What is left of the cables. Names are those of the draft."""

    ports: dict[str, list[tuple[str, str]]]  # switch -> (name of its port, node at the other end)
    switch_of: dict[str, str]  # server or Prober -> switch that it hangs on


def cabling_of(named: Sequence[Named], cables: Sequence[DraftCable], report: ImportReport) -> Cabling:
    """The cables that are kept; every other one is in the report."""
    kept = _Cables({each.node.name: each.role or "switch" for each in named}, report)
    for cable in cables:
        kept.take(cable)
    for name, role in kept.lonely():
        if role == "server":
            report.add("left_out", "server-without-switch", "a server without a cable to a switch", name)
        elif role not in ("prober", "collector"):  # a Prober without a switch is a gap of its own
            report.add("check", "switch-without-cable", "a switch without any cable", name)
    return Cabling(dict(kept.ports), kept.switch_of)


class _Cables:
    """Takes cables one by one."""

    def __init__(self, roles: dict[str, str], report: ImportReport) -> None:
        self.ports: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self.switch_of: dict[str, str] = {}
        self._roles = roles
        self._report = report
        self._pairs: set[frozenset[str]] = set()
        self._ports_taken: set[tuple[str, str]] = set()

    def take(self, cable: DraftCable) -> None:
        refusal = next(self._refusals(cable), None)
        if refusal:
            self._report.add("left_out", *refusal, cable.name)
            return
        self._pairs.add(frozenset((cable.a, cable.b)))
        for near, port, far in ((cable.a, cable.a_port, cable.b), (cable.b, cable.b_port, cable.a)):
            if self._roles[near] in _ENDS:
                self.switch_of[near] = far
            else:
                self._ports_taken.add((near, port))
                self.ports[near].append((port, far))
        if self._roles[cable.a] == self._roles[cable.b] != "switch":
            self._report.add(
                "check",
                "same-tier",
                f"a cable between two of tier {self._roles[cable.a]}: what takes it is an unexpected path",
                cable.name,
            )

    def lonely(self) -> list[tuple[str, str]]:
        """Nodes without a cable, and their roles."""
        return [
            (name, role)
            for name, role in self._roles.items()
            if name not in self.ports and name not in self.switch_of
        ]

    def _refusals(self, cable: DraftCable) -> Iterator[tuple[str, str]]:
        """Kind of finding and message, for each reason why the cable cannot be kept."""
        roles = self._roles.get(cable.a), self._roles.get(cable.b)
        if None in roles:
            yield "cable-to-unknown", "a cable to something that is not in the inventory"
        if cable.a == cable.b:
            yield "cable-to-itself", "a cable from a device to itself"
        if "collector" in roles:
            yield "cable-of-collector", "a cable of a collector: they hang on the management network"
        if all(role in _ENDS for role in roles):
            yield "cable-between-ends", "a cable between two servers or Probers"
        if frozenset((cable.a, cable.b)) in self._pairs:
            yield (
                "cable-parallel",
                "a second cable between the same two: a link is named by its ends, so the first one "
                "stands for all of them",
            )
        for end in (cable.a, cable.b):
            if end in self.switch_of:
                yield (
                    "second-switch",
                    f"{shown(end)} hangs on {shown(self.switch_of[end])} already, and can hang on one switch "
                    "only; what comes by this one is an unexpected path",
                )
        if (cable.a, cable.a_port) in self._ports_taken or (cable.b, cable.b_port) in self._ports_taken:
            yield "port-taken", "a second cable at the same port"
