"""The few numbers that make a Clos fabric: pods of ToRs and leaves below spines, and borders for Probers.

With planes, leaf i of every pod is cabled to the spines of plane i only, as in large fabrics; without,
every leaf to every spine. Multi-chip spines deal their ports to line-card chips, joined by fabric chips.

A campus is several such fabrics, its sites, whose border switches hang below common DCI switches.
fabric.clos builds both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fabric.model import Dialect

#: Pods of all sites; the number of a pod is the second byte of its servers' addresses.
PODS_MAX = 250
#: Probers of all sites; the number of one is the last byte of its address.
PROBERS_MAX = 250


@dataclass(frozen=True, slots=True)
class ClosShape:
    """The numbers of a Clos fabric. Raises ValueError if they contradict each other."""

    name: str
    pods: int
    tors_per_pod: int
    leaves_per_pod: int
    spines: int
    servers_per_tor: int
    borders: int = 1
    planes: bool = False  # leaf i of each pod reaches only the spines of plane i
    spine_line_cards: int = 0  # 0: single-chip spines
    spine_fabric_chips: int = 0
    probers: int = 1  # dealt to the border switches in turn
    collectors: int = 1
    dialects: Sequence[Dialect] = field(default=(2, 3))  # dealt to the switches in turn

    def __post_init__(self) -> None:
        counts = {
            "pods": (self.pods, 1, PODS_MAX),
            "tors_per_pod": (self.tors_per_pod, 1, 255),
            "leaves_per_pod": (self.leaves_per_pod, 1, 255),
            "spines": (self.spines, 1, 100_000),
            "servers_per_tor": (self.servers_per_tor, 1, 240),
            "borders": (self.borders, 1, 1_000),
            "spine_line_cards": (self.spine_line_cards, 0, 64),
            "probers": (self.probers, 1, PROBERS_MAX),
            "collectors": (self.collectors, 1, 250),
        }
        for name, (value, least, most) in counts.items():
            if not least <= value <= most:
                raise ValueError(f"{self.name}: {name} must be between {least} and {most}, not {value}")
        if self.planes and self.spines % self.leaves_per_pod:
            raise ValueError(
                f"{self.name}: {self.spines} spines do not divide into {self.leaves_per_pod} planes"
            )
        if (self.spine_line_cards > 0) != (self.spine_fabric_chips > 0):
            raise ValueError(f"{self.name}: multi-chip spines need both line cards and fabric chips")
        if not self.dialects:
            raise ValueError(f"{self.name}: at least one mirror dialect is needed")


@dataclass(frozen=True, slots=True)
class CampusShape:
    """Sites below DCI switches; each DCI switch has a cable to every border switch.

    Raises ValueError if the numbers contradict each other. Collectors and dialects are those of the first
    site: exporters are dealt to collectors, and dialects to switches, through the whole campus.
    """

    name: str
    sites: tuple[ClosShape, ...]
    dci: int

    def __post_init__(self) -> None:
        if len(self.sites) < 2:
            raise ValueError(f"{self.name}: a campus has at least 2 sites, not {len(self.sites)}")
        if not 1 <= self.dci <= 1_000:
            raise ValueError(f"{self.name}: dci must be between 1 and 1000, not {self.dci}")
        pods, probers = sum(site.pods for site in self.sites), sum(site.probers for site in self.sites)
        if pods > PODS_MAX or probers > PROBERS_MAX:
            raise ValueError(
                f"{self.name}: {pods} pods and {probers} probers in all sites; at most {PODS_MAX} "
                f"and {PROBERS_MAX} can be numbered"
            )


def fat_tree(k: int) -> ClosShape:
    """The fat-tree of k-port switches (Al-Fares et al., SIGCOMM 2008), with two border switches."""
    if k < 4 or k % 2:
        raise ValueError(f"a fat-tree has an even k of at least 4, not {k}")
    half = k // 2
    return ClosShape(
        f"fat-tree-{k}",
        pods=k,
        tors_per_pod=half,
        leaves_per_pod=half,
        spines=half * half,
        servers_per_tor=half,
        borders=2,
        planes=True,
        probers=2,
        collectors=2,
    )
