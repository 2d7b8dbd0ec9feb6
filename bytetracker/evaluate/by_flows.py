"""Methods that read what flows lost: NetBouncer, 007 and PLL. See streams.localise.tomography."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from bytetracker.evaluate.flows import FlowWindow
from bytetracker.evaluate.lives import FORGOTTEN_AFTER_US, Claim, PlainLives
from bytetracker.evaluate.pipeline import LoggedEvent
from fabric.model import Fabric
from streams.localise.tomography import netbouncer, pll, votes
from streams.localise.tomography.elements import Elements
from streams.localise.tomography.paths import PathCounts, Suspect

#: 007 as published blames some link for every single lost packet; five flows of ten links make half a vote.
VOTES_MIN = 0.5
SILENT_RATE = 0.5
#: Of NetBouncer, without its lowest: at 1e-3 the noise of hosts is blamed on links.
BANDS = (0.05, 5e-3)


class Tomography(ABC):
    """Asks the same question of every window, and tells of elements that were not named before."""

    name: str

    def __init__(self, fabric: Fabric, window_us: int) -> None:
        self.events: list[LoggedEvent] = []
        self._fabric = fabric
        self._lives = PlainLives(max(FORGOTTEN_AFTER_US, 2 * window_us))

    def add(self, window: FlowWindow, log_us: int) -> None:
        suspects = self._locate(window.counts) if window.counts.lost.any() else []
        claims = [_claim(self._fabric, self._name(each), each.rate) for each in suspects]
        self.events += self._lives.step([claim for claim in claims if claim is not None], log_us)

    @abstractmethod
    def _locate(self, counts: PathCounts) -> list[Suspect]: ...

    def _name(self, suspect: Suspect) -> str:
        return self._fabric.links[suspect.links[0]].name


class Votes(Tomography):
    name = "007"

    def _locate(self, counts: PathCounts) -> list[Suspect]:
        return votes.locate(counts, votes.VoteSettings(votes_min=VOTES_MIN))


class Pll(Tomography):
    name = "PLL"

    def _locate(self, counts: PathCounts) -> list[Suspect]:
        return pll.locate(counts)


class NetBouncer(Tomography):
    name = "NetBouncer"

    def __init__(self, fabric: Fabric, window_us: int) -> None:
        super().__init__(fabric, window_us)
        index = fabric.index
        switches = ((np.flatnonzero(index.link_from == s.node).tolist(), 0.0) for s in fabric.switches)
        self._devices = Elements.of(switches, len(fabric.links))

    def _locate(self, counts: PathCounts) -> list[Suspect]:
        return netbouncer.locate(counts, netbouncer.NetBouncerSettings(bands=BANDS), self._devices)

    def _name(self, suspect: Suspect) -> str:
        switches = self._fabric.switches
        if suspect.element < len(switches):
            return switches[suspect.element].name
        return super()._name(suspect)


def _claim(fabric: Fabric, name: str, rate: float) -> Claim | None:
    """A link to a server is taken for the server: what they could say of either is the same. Nothing is said
    of servers that answer more often than not: hosts are left alone when they are merely slow."""
    for end in name.split("~"):
        if end in fabric.server_by_name:
            silent = Claim("host_silent", ((end, 1.0),), frozenset({end}))
            return silent if rate >= SILENT_RATE else None
    return Claim("network_loss", ((name, 1.0),), frozenset({name}))
