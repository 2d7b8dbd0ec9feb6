"""A containerlab topology file (`*.clab.yml`) as a draft.

Format: https://containerlab.dev/manual/topo-def-file/ and https://containerlab.dev/manual/nodes/. Settings of
a node go before those of its group, its kind and the defaults. Labels of ours, beside the usual ones:
`bytetracker-role`, `bytetracker-pod`, `bytetracker-address` (loopback of a switch, addresses of a server or
Prober) and `bytetracker-exporter`; lists are separated by commas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import yaml

from fabric.importing.draft import Draft, DraftCable, DraftNode, Word
from fabric.importing.report import ImportRefused, ImportReport, shown

CHARS_MAX = 16_000_000

_LABEL = "bytetracker-"
#: Other kinds are network operating systems: https://containerlab.dev/manual/kinds/.
_SERVER_KINDS = frozenset(("linux", "ext-container", "generic_vm", "freebsd", "openbsd"))
_NO_NODES = {
    "bridge": "a Linux bridge is no switch of yours",
    "ovs-bridge": "an Open vSwitch bridge is no switch of yours",
    "host": "the host that the lab runs on",
    "k8s-kind": "a Kubernetes cluster",
    "keysight_ixia-c-one": "a traffic generator",
    "spirent_stc": "a traffic generator",
    "ostinato": "a traffic generator",
}
#: Ends of links that are no nodes.
_NO_ENDS = ("host", "mgmt-net", "macvlan", "dummy")
_ADDRESS_COMMAND = re.compile(
    r"\bip\s+(?:-[46]\s+)?a(?:ddr(?:ess)?)?\s+(?:add|replace)\s+([0-9A-Fa-f.:/]+)\s+dev\s+([\w.-]+)"
)


def read_containerlab(text: str, source: str, report: ImportReport) -> Draft:
    """The draft of a topology file. Raises ImportRefused with the line if it is none."""
    root = _composed(text, source)
    reader = _Reader(source, report)
    try:
        return reader.draft(root)
    except RecursionError as error:
        raise ImportRefused(f"{source}: nested too deeply") from error


def _composed(text: str, source: str) -> yaml.Node:
    if len(text) > CHARS_MAX:
        raise ImportRefused(f"{source}: larger than {CHARS_MAX:,} characters")
    try:
        # Not the C parser: it recurses on the machine's stack, and a file of brackets alone would end us.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        template = "; a template has to be rendered first" if "{{" in text else ""
        raise ImportRefused(f"{source}:{line}: not YAML: {error.problem}{template}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ImportRefused(f"{source}: not YAML: {str(error) or 'nested too deeply'}") from error
    if not isinstance(node, yaml.MappingNode):
        raise ImportRefused(f"{source}:1: not a containerlab topology: no mapping of keys to values")
    return node


class _Reader:
    """Walks the nodes of a YAML document, to be able to name lines. All scalars are text."""

    def __init__(self, source: str, report: ImportReport) -> None:
        self._source = source
        self._report = report

    def draft(self, root: yaml.Node) -> Draft:
        document = self._mapping(root, "the file")
        if "topology" not in document:
            raise self._refusal(root, "not a containerlab topology: it has no `topology`")
        topology = self._mapping(document["topology"], "topology")
        if "nodes" not in topology:
            raise self._refusal(document["topology"], "the topology has no `nodes`")
        shared = {
            key: self._mapping(topology[key], key) if key in topology else {}
            for key in ("defaults", "kinds", "groups")
        }
        cables: list[DraftCable] = []
        addresses: dict[str, list[str]] = {}
        links = topology.get("links")
        for link in self._items(links, "links") if links is not None else ():
            cable = self._link(link, addresses)
            if cable is not None:
                cables.append(cable)
        nodes = [
            self._node(name, node, shared, addresses.get(name, []))
            for name, node in self._mapping(topology["nodes"], "nodes").items()
        ]
        name = self._text(document.get("name"), "name") or ""
        return Draft(name, tuple(nodes), tuple(cables))

    def _node(
        self,
        name: str,
        node: yaml.Node,
        shared: Mapping[str, Mapping[str, yaml.Node]],
        link_addresses: Sequence[str],
    ) -> DraftNode:
        own = self._mapping(node, f"node {name}")
        defaults = shared["defaults"]
        group_name = self._text(own.get("group", defaults.get("group")), "group")
        group = self._shared(shared["groups"], group_name)
        kind = (self._text(own.get("kind", group.get("kind", defaults.get("kind"))), "kind") or "").lower()
        of_kind = self._shared(shared["kinds"], kind)
        levels = (defaults, of_kind, group, own)
        labels: dict[str, str] = {}
        for level in levels:
            if "labels" in level:
                for key, value in self._mapping(level["labels"], "labels").items():
                    labels[key] = self._text(value, key) or ""
        # `defaults` and `kinds` may name a group as well, but it is the node's that says what the node is.
        words = [
            Word(f"label {key}", labels[key], fixed=key.startswith(_LABEL))
            for key in (f"{_LABEL}role", "role", "tier")
            if labels.get(key)
        ]
        if group_name:
            words.append(Word("group", group_name))
        words.append(Word("name", name, free=True))
        loopbacks, addresses = self._assigned(levels)
        own_addresses = _listed(labels.get(f"{_LABEL}address"))
        # Older files spell them with an underscore.
        keys = ("mgmt-ipv4", "mgmt_ipv4", "mgmt-ipv6", "mgmt_ipv6")
        management = _listed(labels.get(f"{_LABEL}exporter")) or tuple(
            address for key in keys if (address := self._text(own.get(key), key))
        )
        otherwise, because = _by_kind(kind)
        if otherwise == "skip":
            words = [word for word in words if not word.free]
        return DraftNode(
            name=name,
            words=(*words, *([Word("kind", kind)] if kind else [])),
            otherwise=otherwise,
            otherwise_because=because,
            pod=labels.get(f"{_LABEL}pod") or labels.get("pod") or None,
            loopbacks=own_addresses or loopbacks,
            addresses=own_addresses or (*addresses, *link_addresses),
            management=management,
        )

    def _shared(self, section: Mapping[str, yaml.Node], key: str | None) -> dict[str, yaml.Node]:
        """The settings of a kind or group; containerlab's names of kinds do not care for case."""
        if not key:
            return {}
        node = next((value for name, value in section.items() if name.lower() == key.lower()), None)
        return {} if node is None else self._mapping(node, key)

    def _assigned(self, levels: Sequence[Mapping[str, yaml.Node]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Addresses that commands of `exec` put on loopbacks, and on other interfaces."""
        found: dict[bool, list[str]] = {True: [], False: []}
        for level in levels:
            commands = level.get("exec")
            for command in self._items(commands, "exec") if commands is not None else ():
                text = command.value if isinstance(command, yaml.ScalarNode) else ""
                for address, interface in _ADDRESS_COMMAND.findall(text):
                    found[interface.startswith("lo")].append(address)
        return tuple(found[True]), tuple(found[False])

    def _link(self, link: yaml.Node, addresses: dict[str, list[str]]) -> DraftCable | None:
        fields = self._mapping(link, "a link")
        if "endpoints" not in fields:
            kind = self._text(fields.get("type"), "type")
            if "endpoint" not in fields or not kind:
                raise self._refusal(link, "a link has `endpoints`, or a `type` and an `endpoint`")
            self._left_out(link, kind)
            return None
        ends = [self._end(end, addresses) for end in self._items(fields["endpoints"], "endpoints")]
        if len(ends) != 2:
            raise self._refusal(link, f"a link has 2 endpoints, not {len(ends)}")
        (a, a_port), (b, b_port) = ends
        for end in (a, b):
            if end in _NO_ENDS:
                self._left_out(link, end)
                return None
        return DraftCable(a, a_port, b, b_port)

    def _end(self, end: yaml.Node, addresses: dict[str, list[str]]) -> tuple[str, str]:
        if isinstance(end, yaml.ScalarNode):
            node, _, port = str(end.value).partition(":")
            if not node or (not port and node not in _NO_ENDS):
                raise self._refusal(end, f"an endpoint is `node:interface`, not {shown(end.value)!r}")
            return node, port
        fields = self._mapping(end, "an endpoint")
        node = self._text(fields.get("node"), "node") or ""
        port = self._text(fields.get("interface"), "interface") or ""
        if not node or not port:
            raise self._refusal(end, "an endpoint has a `node` and an `interface`")
        for key in ("ipv4", "ipv6"):
            address = self._text(fields.get(key), key)
            if address:
                addresses.setdefault(node, []).append(address)
        return node, port

    def _left_out(self, link: yaml.Node, kind: str) -> None:
        line = link.start_mark.line + 1
        self._report.add(
            "left_out", "link-outside", f"a link of type {shown(kind)} leads out of the lab", f"line {line}"
        )

    def _mapping(self, node: yaml.Node, what: str) -> dict[str, yaml.Node]:
        """Keys and values, with `<<` merged in as YAML 1.1 has it. An empty value is an empty mapping."""
        if isinstance(node, yaml.ScalarNode) and node.value in ("", "~", "null"):
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise self._refusal(node, f"{shown(what)} must be a mapping of keys to values")
        merged: dict[str, yaml.Node] = {}
        own: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._refusal(key, f"a key of {shown(what)} must be a single value")
            if key.value == "<<":
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    merged = self._mapping(part, what) | merged
            elif key.value in own:
                raise self._refusal(key, f"{shown(key.value)} is given twice in {shown(what)}")
            else:
                own[str(key.value)] = value
        return merged | own

    def _items(self, node: yaml.Node, what: str) -> Iterator[yaml.Node]:
        if isinstance(node, yaml.ScalarNode) and node.value in ("", "~", "null"):
            return
        if not isinstance(node, yaml.SequenceNode):
            raise self._refusal(node, f"{shown(what)} must be a list")
        yield from node.value

    def _text(self, node: yaml.Node | None, what: str) -> str | None:
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
            return None
        if not isinstance(node, yaml.ScalarNode):
            raise self._refusal(node, f"{shown(what)} must be a single value")
        return str(node.value)

    def _refusal(self, node: yaml.Node, message: str) -> ImportRefused:
        return ImportRefused(f"{self._source}:{node.start_mark.line + 1}: {message}")


def _by_kind(kind: str) -> tuple[Literal["switch", "server", "skip"], str]:
    if kind in _NO_NODES:
        return "skip", _NO_NODES[kind]
    if kind in _SERVER_KINDS:
        return "server", f"kind {kind}"
    return "switch", f"kind {kind}"


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
