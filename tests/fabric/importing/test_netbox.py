"""NetBox exports as inventories."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.builtin import builtin_fabric
from fabric.importing.draft import ImportOptions
from fabric.importing.inventory_text import Imported, import_draft
from fabric.importing.netbox import PodFrom, read_netbox
from fabric.importing.report import ImportRefused, ImportReport
from fabric.importing.roles import parse_role
from fabric.inventory import InventoryError, parse_fabric
from tests.fabric.importing.sources import netbox_of

EXPORT = json.loads((Path(__file__).parent / "netbox.json").read_text())


def imported(document: Any, *roles: str, pod_from: PodFrom = "location") -> Imported:
    report = ImportReport()
    text = document if isinstance(document, str) else json.dumps(document)
    draft = read_netbox(text, "export.json", report, pod_from)
    options = ImportOptions(roles=tuple(map(parse_role, roles)))
    return import_draft(draft, options, report, "export.json")


def said(result: Imported, what: str) -> list[str]:
    return [element for f in result.report.findings if f.what == what for element in f.elements]


@pytest.mark.parametrize("name", ["lab", "small", "dci"])
def test_a_built_in_fabric_comes_back_with_its_links(name: str) -> None:
    original = builtin_fabric(name)
    result = imported(netbox_of(original))
    assert result.loads, result.report.of("gap")
    back = parse_fabric(result.text)
    assert set(back.links) == set(original.links)
    for switch in original.switches:
        again = back.switch_by_name[switch.name]
        assert (again.tier, again.pod, again.address) == (switch.tier, switch.pod, switch.address)
        assert again.exporter_addresses == switch.exporter_addresses
    assert {s.name: (s.tor, s.addresses) for s in back.servers} == {
        s.name: (s.tor, s.addresses) for s in original.servers
    }
    assert {(p.name, p.address, p.switch) for p in back.probers} == {
        (p.name, p.address, p.switch) for p in original.probers
    }


def test_an_export_as_it_comes() -> None:
    result = imported(EXPORT)
    fabric = result.fabric
    assert fabric.name == "fra1"
    assert {s.name: (s.tier, s.pod, s.drained) for s in fabric.switches} == {
        "fra1-tor-a01": ("tor", "hall-a", False),
        "fra1-agg-a1": ("leaf", "hall-a", False),  # has no location; joined to one that has
        "fra1-spine-1": ("spine", None, True),
    }
    tor, agg, spine = fabric.switches
    assert (tor.address, tor.exporter_addresses) == ("10.255.1.1", ("172.31.0.11",))
    assert (agg.address, agg.exporter_addresses) == ("10.255.1.2", ())
    assert spine.address == "MISSING"
    assert {(p.number, p.name, p.peer) for p in tor.ports} == {
        (1, "Ethernet1", "web-17"),
        (49, "Ethernet49", "fra1-agg-a1"),
    }
    # Both ports end in a number that is not the other's, but one of them is 0.
    assert {(p.name, p.peer) for p in agg.ports} == {
        ("et-0/0/0", "fra1-tor-a01"),
        ("et-0/0/1:2", "fra1-spine-1"),
    }
    (server,) = fabric.servers
    assert (server.name, server.tor, server.addresses) == ("web-17", "fra1-tor-a01", ("10.1.1.17",))

    assert said(result, "no-name") == ["id 16"]
    assert said(result, "not-there") == ["fra1-spine-2"]
    assert said(result, "role-unknown") == ["fra1-fw-1", "fra1-con-1", "panel-a01"]
    assert said(result, "no-exporter") == ["fra1-agg-a1"]
    assert said(result, "cable-elsewhere") == ["cable 2"]
    assert said(result, "address-not-used") == ["web 17: 10.1.1.100/24", "web 17: 10.1.1.18/24"]
    assert said(result, "drained") == ["fra1-spine-1"]
    assert len(said(result, "cable-to-unknown")) == 1
    (gap,) = result.report.of("gap")
    assert gap.message.startswith("fra1-spine-1: an address is MISSING")


def test_pods_by_site_and_by_cables() -> None:
    assert imported(EXPORT, pod_from="site").fabric.switches[0].pod == "fra1"
    by_cables = imported(EXPORT, pod_from="cables")
    assert by_cables.fabric.switches[0].pod == by_cables.fabric.switches[1].pod == "pod-1"


def test_roles_that_an_operator_names() -> None:
    result = imported(EXPORT, "firewall=border", "Console Server=skip")
    assert result.fabric.switch_by_name["fra1-fw-1"].tier == "border"
    assert said(result, "role-unknown") == ["panel-a01"]


def test_cables_alone_will_do_also_those_of_older_releases() -> None:
    original = builtin_fabric("lab")
    export = netbox_of(original)
    cables = []
    for record in export["interfaces"]:
        ends = record.pop("connected_endpoints")
        record.pop("connected_endpoints_type")
        if ends and record["id"] < ends[0]["id"]:
            a, b = record["id"], ends[0]["id"]
            if len(cables) % 2:
                sides = {f"termination_{side}_type": "dcim.interface" for side in "ab"}
                cables.append({"id": len(cables), "termination_a_id": a, "termination_b_id": b} | sides)
            else:
                a_end, b_end = ([{"object_type": "dcim.interface", "object_id": end}] for end in (a, b))
                cables.append({"id": len(cables), "a_terminations": a_end, "b_terminations": b_end})
    result = imported(export | {"cables": cables})
    assert result.loads
    assert set(result.fabric.links) == set(original.links)


def test_cables_that_are_not_there_yet_are_left_out() -> None:
    export = json.loads(json.dumps(EXPORT))
    export["cables"][0]["status"] = {"value": "planned"}
    for record in export["interfaces"]:
        if record["name"] == "Ethernet49" or record["name"] == "et-0/0/0":
            record["connected_endpoints_reachable"] = False
    export["cables"][2]["status"] = {"value": "decommissioning"}
    result = imported(export)
    assert said(result, "cable-not-there") == [
        "fra1-tor-a01:Ethernet49",
        "fra1-agg-a1:et-0/0/0",
        "cable 1",
        "cable 3",
    ]
    assert result.fabric.switch_by_name["fra1-agg-a1"].ports == ()


def test_pages_are_joined_and_missing_ones_are_refused() -> None:
    devices = EXPORT["devices"]["results"]
    pages = [
        {"count": 9, "next": "x", "results": devices[:4]},
        {"count": 9, "next": None, "results": devices[4:]},
    ]
    assert imported(EXPORT | {"devices": pages}).text == imported(EXPORT).text
    assert imported(EXPORT | {"devices": devices}).text == imported(EXPORT).text
    with pytest.raises(ImportRefused, match="4 of 9 devices"):
        imported(EXPORT | {"devices": pages[:1]})
    with pytest.raises(ImportRefused, match="4 of 9 devices"):
        imported(EXPORT | {"devices": pages[0]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[]", "not an export"),
        ("{}", "no 'devices'"),
        ('{"devices": []}', "no 'interfaces'"),
        ('{"devices": {"a": 1}, "interfaces": []}', "must be a list"),
        ('{"devices": [1], "interfaces": []}', "record 0 of 'devices'"),
        ('{"devices": [{"id": "x"}], "interfaces": []}', "record 0 of 'devices'"),
        ("[" * 100_000, "not JSON"),
        ("9" * 10_000, "export"),
    ],
)
def test_what_is_no_export_is_refused(text: str, message: str) -> None:
    with pytest.raises(ImportRefused) as refused:
        imported(text)
    assert message in str(refused.value)


_JUNK: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-2, 20), st.sampled_from(["", "leaf", "10.0.0.1/24", "a b"])
    ),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "value", "slug"]), inner)
    ),
    max_leaves=4,
)
_NAME = st.sampled_from(["leaf1", "tor 1", "spine", "web", "MISSING", "a/b", "a-b"])
_ID = st.integers(1, 8)
_DEVICE = st.fixed_dictionaries(
    {"id": _ID},
    optional={
        "name": _NAME | _JUNK,
        "role": st.builds(lambda slug: {"slug": slug}, st.sampled_from(["tor", "leaf", "server", "prober"]))
        | _JUNK,
        "location": st.just({"slug": "hall a"}) | _JUNK,
        "site": _JUNK,
        "status": st.just({"value": "active"}) | _JUNK,
        "oob_ip": st.just({"address": "172.16.0.1/24"}) | _JUNK,
        "primary_ip4": st.just({"address": "10.0.0.7/24"}) | _JUNK,
    },
)
_INTERFACE = st.fixed_dictionaries(
    {"id": _ID},
    optional={
        "device": st.builds(lambda number: {"id": number}, _ID) | _JUNK,
        "name": st.sampled_from(["e1", "e2", "lo0", "x~y"]) | _JUNK,
        "type": st.just({"value": "virtual"}) | _JUNK,
        "mgmt_only": st.booleans() | _JUNK,
        "connected_endpoints": st.lists(st.builds(lambda number: {"id": number}, _ID), max_size=2) | _JUNK,
    },
)
_ADDRESS = st.fixed_dictionaries(
    {"id": _ID, "assigned_object_type": st.just("dcim.interface"), "assigned_object_id": _ID | _JUNK},
    optional={"address": st.sampled_from(["10.0.0.1/24", "10.0.0.2/0", "nonsense"]) | _JUNK},
)
_CABLE = st.fixed_dictionaries({"id": _ID}, optional={"a_terminations": _JUNK, "b_terminations": _JUNK})


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "devices": st.lists(_DEVICE, max_size=6),
            "interfaces": st.lists(_INTERFACE, max_size=8),
            "ip_addresses": st.lists(_ADDRESS, max_size=4),
            "cables": st.lists(_CABLE, max_size=3),
        }
    )
)
def test_whatever_the_export_holds_the_report_says_whether_the_inventory_loads(document: Any) -> None:
    try:
        result = imported(document)
    except ImportRefused:
        return
    # A network that allows nearly everything is not made of an address without a prefix.
    assert "0.0.0.0/0" not in result.fabric.target_prefixes
    if result.loads:
        assert parse_fabric(result.text) == result.fabric
    else:
        with pytest.raises(InventoryError):
            parse_fabric(result.text)
