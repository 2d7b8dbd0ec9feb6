"""Elements drawn from a fabric by seed: a suite fits any fabric, and strikes another place each time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np

from fabric.model import Fabric, Link

_T = TypeVar("_T")

SEED_BITS = 31


def seed_of(seed: int, name: str) -> int:
    """The seed of one scenario of a suite: a function of the suite's seed and the scenario's name alone."""
    digest = hashlib.blake2b(f"{seed}|{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - SEED_BITS)


class NothingToDraw(LookupError):
    """The fabric has no such element."""


class Draw:
    """Draws without putting back: no two elements touch the same switch, as long as there are others."""

    def __init__(self, fabric: Fabric, seed: int) -> None:
        self.fabric = fabric
        self._rng = np.random.default_rng(seed)
        self._used: set[str] = set()

    @cached_property
    def _probed_borders(self) -> set[str]:
        return {prober.switch for prober in self.fabric.probers}

    def tier(self, name: str) -> str:
        """Of a switch its tier, else `server` or `prober`."""
        switch = self.fabric.switch_by_name.get(name)
        if switch is not None:
            return switch.tier
        return "server" if name in self.fabric.server_by_name else "prober"

    def fill(self, template: str) -> str:
        """A specification whose element is drawn. In its place stands, in angle brackets,

        `leaf~spine` a link, `leaf:spine` a port that leads there, `leaf` a switch, `leaf/chip` the chip of a
        switch that has one, `line-card`, `fabric-chip`, `chip-pair`, `server`, `collector` or `prober`.
        """
        before, _, rest = template.partition("<")
        what, _, after = rest.partition(">")
        return f"{before}{self._element(what)}{after}"

    def _element(self, what: str) -> str:
        plain: dict[str, Callable[[], str]] = {
            "line-card": lambda: self.chip("line_card"),
            "fabric-chip": lambda: self.chip("fabric"),
            "chip-pair": self.chip_pair,
            "server": self.server,
            "collector": lambda: self.choice(self.fabric.collectors).name,
            "prober": lambda: self.choice(self.fabric.probers).name,
        }
        if what in plain:
            return plain[what]()
        if "~" in what:
            return self.link(*what.split("~"))
        if ":" in what:
            return self.port(*what.split(":"))
        return self.only_chip(what.removesuffix("/chip")) if what.endswith("/chip") else self.switch(what)

    def link(self, near: str, far: str) -> str:
        """A directed link from one tier to another. Links of border switches that have no Prober of
        their own carry no probes and are left out."""

        def fits(link: Link) -> bool:
            ends = (link.from_name, link.to_name)
            if (self.tier(ends[0]), self.tier(ends[1])) != (near, far):
                return False
            return all(self.tier(end) != "border" or end in self._probed_borders for end in ends)

        return self._take(self.fabric.links, fits, lambda each: each.name).name

    def switch(self, tier: str) -> str:
        return self._take(self.fabric.switches, lambda each: each.tier == tier, lambda each: each.name).name

    def chip(self, role: str) -> str:
        """A `line_card` or `fabric` chip of a switch of several chips."""
        chips = [chip for switch in self.fabric.switches if switch.is_multi_chip for chip in switch.chips]
        return self._take(chips, lambda each: each.role == role, lambda each: each.name).name

    def chip_pair(self) -> str:
        """The way from one line card to another, or to itself, of a switch of several chips."""
        first = self.chip("line_card")
        switch, label = first.split("/")
        others = [c.label for c in self.fabric.switch_by_name[switch].chips if c.role == "line_card"]
        return f"{switch}/{label}>{self.choice(others)}"

    def only_chip(self, tier: str) -> str:
        """The chip of a switch of that tier that has one."""
        chips = [s.chips[0] for s in self.fabric.switches if s.tier == tier and not s.is_multi_chip]
        return self._take(chips, lambda each: True, lambda each: each.name).name

    def port(self, tier: str, far: str) -> str:
        """A port of a switch that leads to another tier."""
        near, _, peer = self.link(tier, far).partition("~")
        switch = self.fabric.switch_by_name[near]
        return f"{near}:{next(port.name for port in switch.ports if port.peer == peer)}"

    def leaves_of_a_pod(self) -> list[str]:
        """All leaves of one pod."""
        pod = self.choice(self.fabric.index.pods)
        return [s.name for s in self.fabric.switches if s.pod == pod and s.tier == "leaf"]

    def server(self) -> str:
        return self._take(self.fabric.servers, lambda each: each.answers, lambda each: each.name).name

    def servers(self, count: int) -> list[str]:
        """So many servers, anywhere."""
        names = [server.name for server in self.fabric.servers if server.answers]
        return [names[i] for i in sorted(self._rng.choice(len(names), min(count, len(names)), replace=False))]

    def number(self, least: int, most: int) -> int:
        """Uniform, both ends included."""
        return int(self._rng.integers(least, most + 1))

    def choice(self, options: Sequence[_T]) -> _T:
        return options[int(self._rng.integers(len(options)))]

    def _take(self, elements: Sequence[_T], fits: Callable[[_T], bool], name: Callable[[_T], str]) -> _T:
        found = [each for each in elements if fits(each)]
        if not found:
            raise NothingToDraw(self.fabric.name)
        fresh = [each for each in found if not self._touched(name(each)) & self._used]
        taken = self.choice(fresh or found)
        self._used |= self._touched(name(taken))
        return taken

    def _touched(self, name: str) -> set[str]:
        """Switches, servers and Probers that an element is or touches."""
        ends = name.split("/", 1)[0].split("~")
        return set(ends)
