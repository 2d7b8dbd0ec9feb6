"""Which neighbours a switch forwards to: the equal-cost routes of a Clos, as a routing protocol finds them.

Routes are valley-free by construction: a switch that can reach the destination by descending only, descends
on the shortest way; every other one climbs. (A plain shortest path would also cross a ToR, leaf to leaf.)
"""

from __future__ import annotations

from collections.abc import Mapping

from fabric.model import TIER_RANK, Fabric, Switch

_UNREACHABLE = 1 << 30


def next_hops(fabric: Fabric, destination: str) -> Mapping[str, tuple[str, ...]]:
    """Per switch the neighbours, in port order, over which it reaches the switch `destination`.

    The destination itself and switches without a way to it are absent. Drained switches carry no transit.
    """
    down = _distances_down(fabric, destination)
    up: dict[str, int] = {}
    hops: dict[str, tuple[str, ...]] = {}
    # From the top tier downwards, so that whoever one would climb to is already settled.
    for switch in sorted(fabric.switches, key=lambda s: -TIER_RANK[s.tier]):
        name = switch.name
        if name == destination:
            continue
        if name in down:
            below = _transits(fabric, switch, -1, destination)
            chosen = [n for n in below if down.get(n, _UNREACHABLE) == down[name] - 1]
        else:
            costs = {
                above: min(down.get(above, _UNREACHABLE), up.get(above, _UNREACHABLE))
                for above in _transits(fabric, switch, +1, destination)
            }
            best = min(costs.values(), default=_UNREACHABLE)
            if best == _UNREACHABLE:
                continue
            up[name] = best + 1
            chosen = [above for above, cost in costs.items() if cost == best]
        hops[name] = tuple(chosen)
    return hops


def _distances_down(fabric: Fabric, destination: str) -> dict[str, int]:
    """Hops from each switch that can reach the destination by descending only."""
    distances = {destination: 0}
    frontier = [destination]
    while frontier:
        climbed: list[str] = []
        for name in frontier:
            switch = fabric.switch_by_name[name]
            if switch.drained and name != destination:
                continue
            for above in _neighbours(fabric, switch, +1):
                if above not in distances:
                    distances[above] = distances[name] + 1
                    climbed.append(above)
        frontier = climbed
    return distances


def _transits(fabric: Fabric, switch: Switch, direction: int, destination: str) -> list[str]:
    """Neighbours that may carry packets to the destination."""
    return [
        name
        for name in _neighbours(fabric, switch, direction)
        if name == destination or not fabric.switch_by_name[name].drained
    ]


def _neighbours(fabric: Fabric, switch: Switch, direction: int) -> list[str]:
    """Neighbouring switches of a higher (+1) or lower (-1) tier, in port order."""
    rank = TIER_RANK[switch.tier]
    peers = [fabric.switch_by_name.get(port.peer) for port in switch.ports]
    return [peer.name for peer in peers if peer and (TIER_RANK[peer.tier] - rank) * direction > 0]
