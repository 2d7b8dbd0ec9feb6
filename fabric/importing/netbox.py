"""A NetBox export as a draft: the lists of its REST API, in one JSON document.

    {"devices": [...], "interfaces": [...], "ip_addresses": [...], "cables": [...]}

Each list is the records of `/api/dcim/devices/`, `/api/dcim/interfaces/`, `/api/ipam/ip-addresses/` and
`/api/dcim/cables/` (the last is needed only where interfaces have no `connected_endpoints`), or the pages of
them as the API answered. Fields are those of NetBox 3.3 and later, and of older ones where only their names
differ: https://netboxlabs.com/docs/netbox/integrations/rest-api/.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fabric.importing.draft import Draft, DraftCable, DraftNode, Word
from fabric.importing.report import ImportRefused, ImportReport

PodFrom = Literal["location", "site", "cables"]
Json = Mapping[str, Any]

#: Devices that are not there yet, or not any more as far as NetBox knows.
_ABSENT = ("planned", "staged", "inventory")
#: Addresses that several devices share.
_SHARED_ROLES = ("anycast", "vip", "vrrp", "hsrp", "glbp", "carp")
_IN_USE = ("active", "dhcp", "slaac", "")


@dataclass(frozen=True, slots=True)
class _Interface:
    device: str
    name: str
    is_management: bool
    is_loopback: bool


def read_netbox(text: str, source: str, report: ImportReport, pod_from: PodFrom = "location") -> Draft:
    """The draft of an export. Raises ImportRefused if it is none, or if pages of it are missing."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"{source}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ImportRefused(
            f"{source}: not an export: a JSON object with `devices` and `interfaces` is wanted"
        )
    return _Reader(document, source, report).draft(pod_from)


class _Reader:
    def __init__(self, document: Json, source: str, report: ImportReport) -> None:
        self._source = source
        self._report = report
        self._devices = list(self._records(document, "devices", required=True))
        self._interface_records = list(self._records(document, "interfaces", required=True))
        self._addresses = list(self._records(document, "ip_addresses"))
        self._cables = list(self._records(document, "cables"))

    def draft(self, pod_from: PodFrom) -> Draft:
        names = self._names()
        self._interfaces = self._interfaces_of(names)
        addresses = self._assigned()
        nodes = [
            self._node(device, names[device["id"]], addresses, pod_from)
            for device in self._devices
            if device["id"] in names
        ]
        if pod_from != "cables" and any(node.pod for node in nodes):
            self._report.add("assumed", "pod-from", f"the pod of a switch is its NetBox {pod_from}")
        sites = sorted({_slug(device.get("site")) for device in self._devices} - {""})
        return Draft("-".join(sites) if len(sites) <= 3 else "netbox", tuple(nodes), self._wires())

    def _records(self, document: Json, key: str, required: bool = False) -> Iterator[Json]:
        """The records of a list, of one page as the API gives it, or of a list of such pages."""
        value = document.get(key)
        if value is None:
            if required:
                raise ImportRefused(f"{self._source}: not an export: it has no {key!r}")
            return
        pages = value if isinstance(value, list) and value and _is_page(value[0]) else [value]
        found, count = 0, 0
        for page in pages:
            records = page["results"] if _is_page(page) else page
            if _is_page(page):
                count = max(count, _number(page.get("count")))
            if not isinstance(records, list):
                raise ImportRefused(f"{self._source}: {key!r} must be a list of records, or of pages")
            for row, record in enumerate(records):
                if not isinstance(record, dict) or not isinstance(record.get("id"), int):
                    raise ImportRefused(f"{self._source}: record {row} of {key!r} has no `id`")
                found += 1
                yield record
        if found < count:
            raise ImportRefused(
                f"{self._source}: {found} of {count} {key} are in the export: it needs all pages of the API"
            )

    def _names(self) -> dict[int, str]:
        """Names of the devices that are taken, by their id."""
        names: dict[int, str] = {}
        taken: set[str] = set()
        for device in self._devices:
            name = _text(device.get("name"))
            status = _choice(device.get("status"))
            if not name:
                self._report.add("left_out", "no-name", "devices without a name", f"id {device['id']}")
            elif status in _ABSENT:
                self._report.add("left_out", "not-there", f"devices whose status is {status}", name)
            elif name in taken:
                # NetBox names are unique within a site only.
                self._report.add("left_out", "name-twice", "a second device of that name", name)
            else:
                taken.add(name)
                names[device["id"]] = name
        return names

    def _interfaces_of(self, names: Mapping[int, str]) -> dict[int, _Interface]:
        found: dict[int, _Interface] = {}
        for record in self._interface_records:
            device = names.get(_id(record.get("device")))
            if device is None:
                continue
            name = _text(record.get("name"))
            found[record["id"]] = _Interface(
                device,
                name,
                record.get("mgmt_only") is True,
                name.lower().startswith(("lo", "system")) and _choice(record.get("type")) == "virtual",
            )
        return found

    def _assigned(self) -> dict[str, list[tuple[_Interface, str]]]:
        """Addresses of each device, with the interface that has it."""
        assigned: defaultdict[str, list[tuple[_Interface, str]]] = defaultdict(list)
        for record in self._addresses:
            if record.get("assigned_object_type") != "dcim.interface":
                continue
            interface = self._interfaces.get(_number(record.get("assigned_object_id")))
            address = _text(record.get("address"))
            if interface is None or not address:
                continue
            role, status = _choice(record.get("role")), _choice(record.get("status"))
            if role in _SHARED_ROLES or status not in _IN_USE:
                why = role if role in _SHARED_ROLES else status
                self._report.add(
                    "left_out",
                    "address-not-used",
                    f"addresses that are {why}",
                    f"{interface.device}: {address}",
                )
                continue
            assigned[interface.device].append((interface, address))
        return assigned

    def _node(
        self,
        device: Json,
        name: str,
        assigned: Mapping[str, Sequence[tuple[_Interface, str]]],
        pod_from: PodFrom,
    ) -> DraftNode:
        role = device.get("role") or device.get("device_role")
        here = assigned.get(name, ())
        of_lines = tuple(a for i, a in here if not i.is_management and not i.is_loopback)
        loopbacks = tuple(a for i, a in here if i.is_loopback)
        management = tuple(a for i, a in here if i.is_management)
        primary = tuple(
            address
            for key in ("primary_ip4", "primary_ip6")
            if (address := _address(device.get(key))) and address not in management
        )
        out_of_band = _address(device.get("oob_ip"))
        status = _choice(device.get("status"))
        drained = status in ("offline", "failed", "decommissioning")
        if drained:
            self._report.add(
                "assumed", "drained", f"its status is {status}: a switch is written as drained", name
            )
        if device.get("virtual_chassis"):
            self._report.add(
                "check",
                "virtual-chassis",
                "a member of a virtual chassis is written as a device of its own",
                name,
            )
        if not loopbacks and primary:
            self._report.add("assumed", "primary-address", "its address is its primary one", name)
        pod = "" if pod_from == "cables" else _slug(device.get(pod_from))
        return DraftNode(
            name=name,
            words=tuple(Word("role", text) for text in _slug_and_name(role)),
            otherwise=None,
            pod=pod or None,
            loopbacks=loopbacks or primary,
            addresses=of_lines or primary,
            management=(out_of_band,) if out_of_band else management,
            drained=drained,
        )

    def _wires(self) -> tuple[DraftCable, ...]:
        """Cables between interfaces: by what interfaces are connected to, else by the list of cables."""
        pairs: dict[tuple[int, int], None] = {}
        for record in self._interface_records:
            ends = record.get("connected_endpoints")
            ends = ends if isinstance(ends, list) else [record.get("connected_endpoint")]
            kind = record.get("connected_endpoints_type") or record.get("connected_endpoint_type")
            if record.get("connected_endpoints_reachable") is False and record["id"] in self._interfaces:
                interface = self._interfaces[record["id"]]
                self._report.add(
                    "left_out",
                    "cable-not-there",
                    "interfaces whose cable is planned or being taken away",
                    f"{interface.device}:{interface.name}",
                )
                continue
            for end in ends if kind in (None, "dcim.interface") else ():
                if (far := _id(end)) >= 0:
                    pairs.setdefault(_sorted(record["id"], far))
        for cable in self._cables:
            if _choice(cable.get("status")) in ("planned", "decommissioning"):
                self._report.add(
                    "left_out",
                    "cable-not-there",
                    "cables that are planned or being taken away",
                    f"cable {cable['id']}",
                )
                continue
            a, b = (list(self._terminations(cable, side)) for side in ("a", "b"))
            if not a or not b:
                self._report.add(
                    "left_out",
                    "cable-elsewhere",
                    "cables that do not join two interfaces (patch panels, circuits, power); through a panel "
                    "only `connected_endpoints` of the interfaces tell the far end",
                    f"cable {cable['id']}",
                )
            elif len(a) > 1 or len(b) > 1:
                missing = [pair for x in a for y in b if (pair := _sorted(x, y)) not in pairs]
                if len(missing) == len(a) * len(b):
                    self._report.add(
                        "left_out",
                        "cable-of-many",
                        "cables with several ends on a side",
                        f"cable {cable['id']}",
                    )
            else:
                pairs.setdefault(_sorted(a[0], b[0]))
        return tuple(self._wire(pair) for pair in pairs if any(end in self._interfaces for end in pair))

    def _terminations(self, cable: Json, side: str) -> Iterator[int]:
        ends = cable.get(f"{side}_terminations")
        if not isinstance(ends, list):
            # Before NetBox 3.3.
            kind, number = cable.get(f"termination_{side}_type"), cable.get(f"termination_{side}_id")
            ends = [{"object_type": kind, "object_id": number}]
        for end in ends:
            if not isinstance(end, dict) or end.get("object_type") != "dcim.interface":
                continue
            number = _number(end.get("object_id"))
            if number >= 0:
                yield number

    def _wire(self, pair: tuple[int, int]) -> DraftCable:
        (a, a_port), (b, b_port) = (self._end(number) for number in pair)
        return DraftCable(a, a_port, b, b_port)

    def _end(self, number: int) -> tuple[str, str]:
        interface = self._interfaces.get(number)
        # A name that no device can have here, so that it is reported as unknown.
        return (
            (interface.device, interface.name) if interface else (f"interface {number} of another device", "")
        )


def _sorted(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a <= b else (b, a)


def _is_page(value: object) -> bool:
    return isinstance(value, dict) and "results" in value


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _choice(value: object) -> str:
    """`{"value": "active", "label": "Active"}`, or the value alone."""
    return _text(value.get("value") if isinstance(value, dict) else value)


def _slug(value: object) -> str:
    return _text(value.get("slug") or value.get("name")) if isinstance(value, dict) else _text(value)


def _slug_and_name(value: object) -> list[str]:
    texts = [value.get("slug"), value.get("name")] if isinstance(value, dict) else [value]
    return list(dict.fromkeys(filter(None, map(_text, texts))))


def _address(value: object) -> str:
    return _text(value.get("address")) if isinstance(value, dict) else _text(value)


def _id(value: object) -> int:
    """The id of a nested record, or -1."""
    return _number(value.get("id") if isinstance(value, dict) else value)


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
