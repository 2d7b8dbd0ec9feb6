"""The mapped arrays of an evidence message that are worked out when a slot closes."""

from __future__ import annotations

from streams.altered_bytes import AlteredBytes
from streams.bits import bit_rows
from streams.blind import blind_rows
from streams.closing import Closed
from streams.distances import Distances
from streams.fates import Fates, fate_rows
from streams.flows import FlowMemory, Flows
from streams.learnt import path_rows
from streams.places import Places
from streams.settings import JoinSettings
from streams.strays import stray_rows
from streams.turns import Chips, turn_rows


class Tables:
    """Builds the arrays; holds what is looked up of a fabric."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._chips = Chips(places.index)
        self._distances = Distances(places.index)

    def __call__(
        self,
        closed: Closed,
        altered: AlteredBytes,
        flows: Flows,
        fates: Fates,
        memory: FlowMemory,
        settings: JoinSettings,
    ) -> dict[str, bytes]:
        """Arrays by their names in the head of `link-evidence`, as bytes of packed rows. `flows`: what
        `memory` gave when it took in the slot; `fates`: what became of flows that had been lost."""
        rows = {
            "turns": turn_rows(closed, self._places, self._chips),
            "strays": stray_rows(closed, self._places, self._distances),
            "bits": bit_rows(closed, altered, self._places),
            "blind": blind_rows(closed, settings.mirrors),
            "paths": path_rows(closed, flows, memory, settings.slot_us),
            "fates": fate_rows(fates, closed, flows.flow, memory, self._places),
        }
        return {name: table.tobytes() for name, table in rows.items()}
