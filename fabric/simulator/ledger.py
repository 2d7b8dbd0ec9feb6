"""What becomes of the probes of one slice, written down as it happens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fabric.simulator.tally import TallyBook
from fabric.simulator.truth import NOWHERE, Truth
from schemas.rows import Leg

I2 = NDArray[np.int16]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Place:
    """Where on its leg a packet is: on the cable that `link` names, or in the switch before it."""

    leg: Leg
    hop: int
    on_cable: bool


@dataclass(frozen=True, slots=True)
class Alteration:
    """Flips by one fault on one hop: row i alters `offset[i]` of probe `probe[i]`, as its `version[i]`-th."""

    probe: Rows
    reply: bool
    version: I2
    offset: I4
    mask: NDArray[np.uint8]


class Ledger:
    """Truth, tallies and alterations of n probes; packets are named by the row of their probe."""

    def __init__(self, sent_at_us: I8) -> None:
        """sent_at_us: i8[n], by a right clock."""
        self.truth = Truth.empty(len(sent_at_us))
        self.book = TallyBook(sent_at_us)
        self.alterations: list[Alteration] = []
        self._astray: list[tuple[int, Leg, Rows]] = []

    def lose(self, probe: Rows, place: Place, at: I4, link: I4, cause: I4 | int) -> None:
        """Packets that end here. at: i4[m], nodes. link: i4[m], taken down if the place is a cable."""
        truth = self.truth
        truth.lost_leg[probe] = place.leg
        truth.lost_at[probe] = at
        truth.lost_by[probe] = cause
        if place.on_cable:
            truth.lost_link[probe] = link
        if isinstance(cause, int):
            if cause >= 0:
                self.book.harmed(cause, "lost", probe)
            return
        for fault in np.unique(cause[cause >= 0]).tolist():
            self.book.harmed(fault, "lost", probe[cause == fault])

    def end_of_the_way(self, probe: Rows, place: Place, at: I4, otherwise: int) -> None:
        """Packets that a switch cannot send on: lost by the fault that sent them astray last, if one did."""
        if not self._astray:
            self.lose(probe, place, at, at, otherwise)
            return
        cause = np.full(len(probe), otherwise, dtype=np.int32)
        for fault, leg, strayed in self._astray:
            if leg == place.leg:
                cause[np.isin(probe, strayed)] = fault
        self.lose(probe, place, at, at, cause)

    def alter(self, fault: int, alteration: Alteration, place: Place, at: I4, link: I4) -> None:
        """Packets that are altered here."""
        self.alterations.append(alteration)
        self.book.harmed(fault, "altered", alteration.probe)
        truth = self.truth
        first = truth.altered_leg[alteration.probe] == NOWHERE
        probe = alteration.probe[first]
        truth.altered_leg[probe] = place.leg
        truth.altered_by[probe] = fault
        truth.altered_at[probe] = at[first]
        if place.on_cable:
            truth.altered_link[probe] = link[first]

    def stray(self, fault: int, probe: Rows, place: Place, at: I4, link: int) -> None:
        """Packets that a fault sends over `link`, where they should not go."""
        self.book.harmed(fault, "strayed", probe)
        self._astray.append((fault, place.leg, probe))
        truth = self.truth
        first = truth.strayed_leg[probe] == NOWHERE
        probe = probe[first]
        truth.strayed_leg[probe] = place.leg
        truth.strayed_at[probe] = at[first]
        truth.strayed_link[probe] = link
        truth.strayed_by[probe] = fault

    def silence(self, fault: int, probe: Rows) -> None:
        """Probes that their target does not answer. fault: may be BACKGROUND."""
        self.truth.silenced_by[probe] = fault
        if fault >= 0:
            self.book.harmed(fault, "silenced", probe)

    def delay(self, fault: int, probe: Rows) -> None:
        """Probes that their target answers too late. fault: may be BACKGROUND."""
        self.truth.delayed_by[probe] = fault
        if fault >= 0:
            self.book.harmed(fault, "delayed", probe)
