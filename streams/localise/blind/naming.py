"""Blames and silences as findings: names, confidences, and what a person should know besides."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.localise.blind.cells import ROUGH, Cells, Named
from streams.localise.finding import Finding, Kind
from streams.localise.tomography.likelihood import Blame

I4 = NDArray[np.int32]

SUSPECTS_MAX = 8
SERVERS_MAX = 100
CONFIDENCE_MAX = 0.98
#: Below this a suspect is not worth naming.
CONFIDENCE_MIN = 0.01
#: Losses are those of hosts if so many of them come in whole groups, and so many more than a network's.
WHOLE_MIN, WHOLE_MARGIN = 0.5, 0.15
#: Of what is only roughly known, a switch is named for the unknown links beside it.
BESIDE = 0.5
NO_COPIES = "told from timeouts alone, without mirror copies"
NO_WAYS = f"{NO_COPIES}; the ways of the flows are not known"


@dataclass(frozen=True, slots=True)
class Stretch:
    """When a fault shows, and what of: lost of crossed probes, a probe counting as often as it crossed;
    times: how often those lost do so on average; whole_share: share of the losses that are in groups of which
    nothing came back."""

    first_us: int
    last_us: int
    lost: int
    crossed: int
    whole_share: float = 1.0
    times: float = 1.0

    @property
    def rate(self) -> float:
        """Share of crossings that are lost."""
        return self.lost / max(1, self.crossed)

    @property
    def is_of_hosts(self) -> bool:
        """Whether groups are lost whole more often than a network would lose them that drops a share of the
        probes: of a lost probe, each other member is lost by that share too."""
        share = self.lost / max(1.0, self.lost + (self.crossed - self.lost) / self.times)
        return self.whole_share > max(WHOLE_MIN, share + WHOLE_MARGIN)


class Naming:
    """Names of a fabric. `targets`: nodes of servers, then Probers, in the order of the detector's rows."""

    def __init__(self, cells: Cells, targets: I4) -> None:
        self._cells, self._fabric = cells, cells.fabric
        self._targets = targets
        probers = sorted(cells.attached)
        by_node = {prober.node: prober for prober in self._fabric.probers}
        self._probers = [by_node[node] for node in probers]

    def blamed(self, blame: Blame, stretch: Stretch, now_us: int) -> Finding:
        """A fault of the network that tomography found."""
        named = self._cells.named[blame.element]
        shares: dict[str, float] = defaultdict(float)
        for element, confidence in blame.rivals:
            for name, share in _shares(self._cells.named[element]):
                shares[name] += confidence * share
        suspects = sorted(shares.items(), key=lambda item: (-item[1], item[0]))[:SUSPECTS_MAX]
        rough = named.kind in ROUGH
        return Finding(
            kind="network_loss",
            suspects=tuple(
                (name, min(CONFIDENCE_MAX, round(share, 3)))
                for place, (name, share) in enumerate(suspects)
                if share > CONFIDENCE_MIN or not place
            ),
            where=self._where(named),
            direction=named.names[0] if named.kind == "link" else "",
            bad=stretch.lost,
            total=stretch.crossed,
            first_seen_us=stretch.first_us,
            last_seen_us=min(stretch.last_us, now_us),
            servers=self._servers(named),
            note=NO_WAYS if rough else NO_COPIES,
        )

    def server(self, target: int, stretch: Stretch) -> Finding:
        """A server that answers nothing."""
        server = self._fabric.node_name(int(self._targets[target]))
        tor = self._fabric.server_by_name[server].tor
        into, out = f"{tor}~{server}", f"{server}~{tor}"
        suspects = ((server, 0.9), (into, 0.05), (out, 0.05))
        where = {server, _cable(into)}
        return self._silent("host_silent", suspects, where, stretch, (server,), NO_COPIES, into)

    def tor(self, switch: int, stretch: Stretch) -> Finding:
        """A ToR none of whose servers answers."""
        named = Named("switch", (self._fabric.switches[switch].name,), switch)
        note = f"none of its servers answers: the switch, or their power; {NO_COPIES}"
        suspects = ((named.names[0], 0.95),)
        return self._silent("network_loss", suspects, self._where(named), stretch, self._servers(named), note)

    def pod(self, pod: int, stretch: Stretch) -> Finding:
        """A pod none of whose servers answers."""
        name = self._cells.index.pods[pod]
        own = [s.name for s in self._fabric.switches if s.pod == name]
        leaves = [s.name for s in self._fabric.switches if s.pod == name and s.tier != "tor"]
        suspects = ((name, 0.9), *((leaf, 0.02) for leaf in leaves[:4]))
        note = f"none of its servers answers; {NO_COPIES}"
        return self._silent("network_loss", suspects, {name, *own}, stretch, (), note)

    def prober(self, row: int, stretch: Stretch) -> Finding:
        """A Prober that no probe comes back to."""
        prober = self._probers[row]
        out, back = f"{prober.name}~{prober.switch}", f"{prober.switch}~{prober.name}"
        suspects = ((prober.name, 0.6), (out, 0.2), (back, 0.2))
        note = "none of its probes is answered or seen"
        return self._silent("prober_outage", suspects, {prober.name, _cable(out)}, stretch, (), note)

    def outage(self, since_us: int, now_us: int) -> Finding:
        """All mirrors at once: the collectors, or what leads to them."""
        collectors = [collector.name for collector in self._fabric.collectors]
        borders = [self._fabric.node_name(node) for node in sorted(set(self._cells.attached.values()))]
        share = 0.9 / max(1, len(collectors))
        return Finding(
            kind="mirror_outage",
            suspects=tuple((name, share) for name in collectors[:SUSPECTS_MAX] or borders[:1]),
            where=frozenset({*collectors, *borders}),
            direction="",
            bad=0,
            total=0,
            first_seen_us=since_us,
            last_seen_us=now_us,
            note="of no probe any copy comes in; faults are told from timeouts until it does",
        )

    def _silent(
        self,
        kind: Kind,
        suspects: tuple[tuple[str, float], ...],
        where: set[str] | frozenset[str],
        stretch: Stretch,
        servers: tuple[str, ...],
        note: str,
        direction: str = "",
    ) -> Finding:
        return Finding(
            kind=kind,
            suspects=suspects,
            where=frozenset(where),
            direction=direction,
            bad=stretch.lost,
            total=stretch.crossed,
            first_seen_us=stretch.first_us,
            last_seen_us=stretch.last_us,
            servers=servers,
            note=note,
        )

    def _where(self, named: Named) -> frozenset[str]:
        if named.kind in ("link", "cable"):
            return frozenset({_cable(named.names[0])})
        if named.kind in ("server", "prober"):
            return frozenset({named.names[0], _cable(named.names[1])})
        if named.kind in ("core", "pod"):
            return frozenset(named.names)
        switch = self._fabric.switches[named.row]
        cables = {_cable(f"{switch.name}~{port.peer}") for port in switch.ports}
        return frozenset({switch.name, *named.names, *(cables if named.kind == "switch" else ())})

    def _servers(self, named: Named) -> tuple[str, ...]:
        if named.kind == "server":
            return (named.names[0],)
        if named.kind not in ("switch", "down", "up"):
            return ()
        mine = self._cells.index.server_tor == self._cells.index.switch_node[named.row]
        rows = np.flatnonzero(mine)[:SERVERS_MAX].tolist()
        return tuple(self._fabric.servers[row].name for row in rows)


def _shares(named: Named) -> list[tuple[str, float]]:
    """How a confidence is divided among the names of an element."""
    names = named.names
    match named.kind:
        case "cable":  # both directions are meant
            return [(name, 1.0) for name in names]
        case "server" | "prober":
            return [(names[0], 0.2), (names[1], 0.4), (names[2], 0.4)]
        case "up" | "down":
            return [(names[0], BESIDE)]
        case "core":
            return [(name, 1 / len(names)) for name in names]
        case "pod":
            return [(names[0], 0.5), *((name, 0.5 / (len(names) - 1)) for name in names[1:])]
        case _:
            return [(name, 1.0) for name in names]


def _cable(link: str) -> str:
    """One name for both directions, as elsewhere in the localiser."""
    return "<>".join(sorted(link.split("~")))
