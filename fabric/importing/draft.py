"""What a source says of a network, before anybody has decided what its nodes are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fabric.model import Fabric, Tier

Role = Literal["tor", "leaf", "spine", "border", "dci", "server", "prober", "collector"]
#: What an operator may say that a word means: a role, or that such nodes do not belong into the inventory.
Meaning = Literal["tor", "leaf", "spine", "border", "dci", "server", "prober", "collector", "skip"]

SWITCH_ROLES: tuple[Tier, ...] = ("tor", "leaf", "spine", "border", "dci")


@dataclass(frozen=True, slots=True)
class Word:
    """Something in the source that may tell what a node is."""

    where: str  # for the report, e.g. "label role"
    text: str
    free: bool = False  # a name, in which a word may be hidden among others
    fixed: bool = False  # written for us: means what it says, whatever the rest of the network looks like


@dataclass(frozen=True, slots=True)
class DraftNode:
    """A device of the source."""

    name: str  # as the source calls it; unique in a draft
    words: tuple[Word, ...]  # the most telling first
    #: What it is when no word tells: "switch" of a tier that is not known, or None: no idea.
    otherwise: Literal["switch", "server", "skip"] | None
    otherwise_because: str = ""  # for the report, e.g. "kind linux"
    pod: str | None = None
    loopbacks: tuple[str, ...] = ()  # addresses, with prefix length where it is known
    addresses: tuple[str, ...] = ()  # of its interfaces, the same
    management: tuple[str, ...] = ()  # on the management network
    drained: bool = False


@dataclass(frozen=True, slots=True)
class DraftCable:
    """A cable between two ports, named as the source names them."""

    a: str
    a_port: str
    b: str
    b_port: str

    @property
    def name(self) -> str:
        return f"{self.a}:{self.a_port} - {self.b}:{self.b_port}"


@dataclass(frozen=True, slots=True)
class Draft:
    name: str
    nodes: tuple[DraftNode, ...]
    cables: tuple[DraftCable, ...]


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What an operator adds to what the source says."""

    name: str | None = None  # of the fabric
    roles: tuple[tuple[str, Meaning], ...] = ()  # (word, what it means), before any default
    target_prefixes: tuple[str, ...] = ()  # empty: the networks of the servers' addresses
    previous: Fabric | None = None  # an inventory whose numbers are kept
