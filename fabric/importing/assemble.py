"""From a draft to a fabric, with GAP where nothing is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from fabric.importing.cabling import Cabling, cabling_of
from fabric.importing.draft import Draft, DraftNode, ImportOptions
from fabric.importing.pods import pods_of
from fabric.importing.report import ImportReport
from fabric.importing.roles import Named, name_roles
from fabric.importing.spelling import (
    bare_addresses,
    networks_of,
    port_numbers,
    spelled_name,
    spelled_names,
    spelled_port,
)
from fabric.model import Chip, Collector, Fabric, Port, Prober, Server, Switch, Tier
from fabric.validate import GAP

_ONLY_CHIP = "chip-1"


def assemble(draft: Draft, options: ImportOptions, report: ImportReport) -> Fabric:
    """The fabric of a draft. It may not be valid: see fabric.validate."""
    named = name_roles(draft, options.roles, report)
    cabling = cabling_of(named, draft.cables, report)
    pods = pods_of(named, draft.cables, report)
    maker = _Maker(named, cabling, pods, options.previous, report)
    switches, servers, probers = tuple(maker.switches()), tuple(maker.servers()), tuple(maker.probers())
    fabric = Fabric(
        name=_fabric_name(options.name or draft.name, report),
        switches=switches,
        servers=servers,
        probers=probers,
        collectors=tuple(maker.collectors()),
        target_prefixes=options.target_prefixes or _prefixes(named, cabling, report),
    )
    _say_what_lacks(fabric, report)
    if options.previous is not None:
        _say_what_went(fabric, options.previous, report)
    else:
        report.add(
            "assumed",
            "numbers",
            "numbers are given in the order of the source; at the next import keep them with --numbers-from",
        )
    return fabric


class _Maker:
    """Makes the elements of a fabric of what is known of the nodes."""

    def __init__(
        self,
        named: Sequence[Named],
        cabling: Cabling,
        pods: dict[str, str],
        previous: Fabric | None,
        report: ImportReport,
    ) -> None:
        self._named = named
        self._cabling = cabling
        self._pods = pods
        self._previous = previous
        self._report = report
        self._names = spelled_names([each.node.name for each in named], report)

    def switches(self) -> Iterator[Switch]:
        nodes = [each for each in self._named if each.role in (None, "tor", "leaf", "spine", "border", "dci")]
        kept = {} if self._previous is None else {s.name: s.number for s in self._previous.switches}
        for each, number in zip(nodes, self._numbers([n.node for n in nodes], kept), strict=True):
            node, name = each.node, self._names[each.node.name]
            tier = cast(Tier, each.role or GAP)
            yield Switch(
                name=name,
                number=number,
                tier=tier,
                pod=spelled_name(self._pods.get(node.name, GAP)) if tier in ("tor", "leaf") else None,
                chips=(Chip(name, _ONLY_CHIP),),
                address=self._loopback(node),
                exporter_addresses=self._exporters(node),
                ports=self._ports(node, name),
                # Which format its mirrors have, and what number they carry, is known to its configuration
                # only. A number taken for a port's that is none would blame the wrong port.
                dialect=2,
                port_field="none",
                decapsulates=False,
                drained=node.drained,
            )

    def servers(self) -> Iterator[Server]:
        nodes = [n for n in self._nodes("server") if n.name in self._cabling.switch_of]
        kept = {} if self._previous is None else {s.name: s.number for s in self._previous.servers}
        for node, number in zip(nodes, self._numbers(nodes, kept), strict=True):
            tor = self._names[self._cabling.switch_of[node.name]]
            addresses = bare_addresses(node.addresses or node.loopbacks, node.name, self._report)
            yield Server(self._names[node.name], number, tor, addresses or (GAP,))

    def probers(self) -> Iterator[Prober]:
        nodes = self._nodes("prober")
        kept = {} if self._previous is None else {p.name: p.number for p in self._previous.probers}
        for node, number in zip(nodes, self._numbers(nodes, kept), strict=True):
            switch = self._cabling.switch_of.get(node.name)
            addresses = bare_addresses(node.addresses or node.loopbacks, node.name, self._report)
            if len(addresses) > 1:
                self._report.add(
                    "assumed", "prober-address", f"probes are sent from {addresses[0]}", node.name
                )
            yield Prober(
                self._names[node.name],
                number,
                addresses[0] if addresses else GAP,
                GAP if switch is None else self._names[switch],
            )

    def collectors(self) -> Iterator[Collector]:
        for node in self._nodes("collector"):
            addresses = bare_addresses(node.management or node.addresses, node.name, self._report)
            yield Collector(self._names[node.name], addresses[0] if addresses else GAP)

    def _nodes(self, role: str) -> list[DraftNode]:
        return [each.node for each in self._named if each.role == role]

    def _numbers(self, nodes: Sequence[DraftNode], kept: dict[str, int]) -> Iterator[int]:
        """Numbers of nodes: those that the previous inventory gave, else the next that it did not give."""
        fresh = max(kept.values(), default=0)
        for node in nodes:
            number = kept.get(self._names[node.name])
            if number is None:
                fresh += 1
                number = fresh
            yield number

    def _ports(self, node: DraftNode, name: str) -> tuple[Port, ...]:
        cabled = [
            (spelled_port(port), self._names[peer]) for port, peer in self._cabling.ports.get(node.name, [])
        ]
        known = None if self._previous is None else self._previous.switch_by_name.get(name)
        kept = {} if known is None else {port.name: port.number for port in known.ports}
        numbers = port_numbers([port for port, _ in cabled], kept)
        return tuple(
            Port(number, port, _ONLY_CHIP, peer)
            for number, port, peer in sorted((numbers[port], port, peer) for port, peer in cabled)
        )

    def _loopback(self, node: DraftNode) -> str:
        addresses = bare_addresses(node.loopbacks, node.name, self._report)
        if len(addresses) > 1:
            self._report.add("assumed", "loopback", f"its loopback is {addresses[0]}", node.name)
        return addresses[0] if addresses else GAP

    def _exporters(self, node: DraftNode) -> tuple[str, ...]:
        addresses = bare_addresses(node.management, node.name, self._report)
        if addresses:
            self._report.add(
                "assumed",
                "exporter-is-management",
                "its mirror packets are taken to come from its management address",
                node.name,
            )
        else:
            self._report.add(
                "missing",
                "no-exporter",
                "no address that its mirror packets come from (`exporters`)",
                node.name,
            )
        return addresses


def _fabric_name(name: str, report: ImportReport) -> str:
    written = spelled_name(name)
    if written == GAP:
        written = "imported"
        report.add("assumed", "fabric-name", "the fabric is called imported; name it with --name")
    return written


def _prefixes(named: Sequence[Named], cabling: Cabling, report: ImportReport) -> tuple[str, ...]:
    texts = [
        text
        for each in named
        if each.role == "prober" or (each.role == "server" and each.node.name in cabling.switch_of)
        for text in each.node.addresses or each.node.loopbacks
    ]
    prefixes = networks_of(texts)
    if prefixes:
        report.add(
            "assumed",
            "target-prefixes",
            "target_prefixes are the networks of servers and Probers, so they guard against nothing; write "
            "down what may be probed (--target-prefix)",
            *prefixes,
        )
    return prefixes


def _say_what_lacks(fabric: Fabric, report: ImportReport) -> None:
    """What no source knows, and what this one did not have."""
    for found, what, message in (
        (fabric.switches, "no-switches", "there is no switch"),
        (fabric.servers, "no-servers", "there is no server to probe"),
        (fabric.probers, "no-prober", "there is no Prober (`probers`): nothing would be probed"),
        (fabric.collectors, "no-collector", "there is no collector (`collectors`)"),
    ):
        if not found:
            report.add("missing", what, message)
    if fabric.switches:
        report.add(
            "missing",
            "chips-unknown",
            "every switch is written as one chip: a source like this does not tell which ports share a chip; "
            "give those of several chips their `chips`, and their ports a `chip`",
        )
        report.add(
            "missing",
            "decapsulation-unknown",
            "no switch is written as decapsulating: give one ToR per pod `decapsulates: true` once it takes "
            "IP-in-IP, or there are no East-West probes",
        )
        report.add(
            "assumed",
            "dialect",
            "every switch is written with `dialect: 2` and `port_field: none`; write what its mirrors are",
        )
    report.add(
        "assumed",
        "probe-mark",
        f"probes go to TCP port {fabric.probe_port} with DSCP {fabric.dscp}: check that both are unused",
    )


def _say_what_went(fabric: Fabric, previous: Fabric, report: ImportReport) -> None:
    now = set(_names_in(fabric))
    for name in _names_in(previous):
        if name not in now:
            report.add("left_out", "gone", "in the previous inventory, and not in the source", name)


def _names_in(fabric: Fabric) -> list[str]:
    nodes: list[Switch | Server | Prober] = [*fabric.switches, *fabric.servers, *fabric.probers]
    return [node.name for node in nodes]
