"""Where in the network an element is: what people route and group alerts by."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from fabric.model import (
    Chip,
    ChipPair,
    Fabric,
    Link,
    PortRef,
    Prober,
    Server,
    Switch,
    UnknownElement,
)


@dataclass(frozen=True, slots=True)
class Place:
    """`switch`: the one to look at; empty where that is not known. `tier`: of that switch, or `server` or
    `prober` where the element is one."""

    switch: str = ""
    tier: str = ""
    pod: str = ""


_NOWHERE = Place()


class Places:
    """The places of one fabric's elements."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric_name = fabric.name
        self._fabric = fabric

    def of(self, element: str) -> Place:
        """Where an element is; all empty if the inventory does not have it."""
        place = _NOWHERE
        with suppress(UnknownElement):
            match self._fabric.element(element):
                case Switch() as switch:
                    place = self._switch(switch.name)
                case Chip() | ChipPair() | PortRef() as part:
                    place = self._switch(part.switch)
                case Server() as server:
                    place = Place(server.tor, "server", self._switch(server.tor).pod)
                case Prober() as prober:
                    place = Place(prober.switch, "prober", self._switch(prober.switch).pod)
                case Link() as link:
                    place = self._link(link)
        return place

    def _switch(self, name: str) -> Place:
        switch = self._fabric.switch_by_name.get(name)
        return _NOWHERE if switch is None else Place(name, switch.tier, switch.pod or "")

    def _link(self, link: Link) -> Place:
        """The sending end, or, of a link from a server, the switch at the other; the pod of either."""
        near, far = self._switch(link.from_name), self._switch(link.to_name)
        place = near if near.switch else far
        return Place(place.switch, place.tier, near.pod or far.pod)


def labels_of(place: Place) -> Mapping[str, str]:
    """As labels; what is not known is left out."""
    return {
        name: value
        for name, value in (("switch", place.switch), ("tier", place.tier), ("pod", place.pod))
        if value
    }
