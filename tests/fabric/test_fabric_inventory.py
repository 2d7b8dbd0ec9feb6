"""Inventory files: what is written reads back equal, and what is wrong is refused with its line."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.builtin import builtin_fabric
from fabric.clos import ClosShape, build_clos
from fabric.inventory import InventoryError, dump_fabric, load_fabric, parse_fabric

INVENTORY = """\
fabric: edge
target_prefixes: [10.0.0.0/8]
switches:
- name: tor-1
  number: 1
  tier: tor
  pod: pod-1
  address: 172.16.0.1
  exporters: [100.64.0.1]
  ports: [server-1, {number: 7, name: uplink, chip: chip-1, peer: border-1}]
- name: border-1
  number: 2
  tier: border
  address: 172.16.0.2
  ports:
  - tor-1
  - prober-1
servers:
- {name: server-1, number: 1, tor: tor-1, addresses: [10.1.1.10, "2001:db8::1"], answers: false}
probers:
- {name: prober-1, number: 1, address: 10.255.0.1, switch: border-1}
""".replace('"2001:db8::1"', "10.1.1.11")


def test_a_small_inventory_is_read():
    fabric = parse_fabric(INVENTORY)
    tor = fabric.switch_by_name["tor-1"]
    assert [(p.number, p.name, p.peer) for p in tor.ports] == [
        (1, "Ethernet1", "server-1"),
        (7, "uplink", "border-1"),
    ]
    assert tor.decapsulates
    assert fabric.servers[0].addresses == ("10.1.1.10", "10.1.1.11")
    assert not fabric.servers[0].answers
    assert {link.name for link in fabric.links} == {
        "tor-1~server-1",
        "server-1~tor-1",
        "tor-1~border-1",
        "border-1~tor-1",
        "border-1~prober-1",
        "prober-1~border-1",
    }


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("number: 2\n", "number: 1\n", 11, "number 1 is taken by tor-1"),
        ("name: border-1\n", "name: tor-1\n", 11, "name 'tor-1' is taken"),
        ("172.16.0.2", "172.16.0.1", 11, "address 172.16.0.1 is taken by tor-1"),
        ("172.16.0.2", "172.16.0", 11, "no IP address"),
        ("- prober-1\n", "- leaf-9\n", 17, "there is no 'leaf-9'"),
        ("  - tor-1\n  - prober-1", "  - prober-1", 10, "no port back to tor-1"),
        ("tier: border", "tier: middle", 13, "tier must be one of tor, leaf, spine, border, dci"),
        ("tier: border", "teir: border", 11, "a switch has no 'tier'"),
        ("  pod: pod-1\n", "  pod: pod-1\n  drain: true\n", 8, "unknown key 'drain'"),
        ("number: 1, address: 10.255", "number: 65536, address: 10.255", 21, "between 1 and 65535"),
        ("number: 1, address: 10.255", "number: one, address: 10.255", 21, "number must be an integer"),
        ("tor: tor-1", "tor: tor-2", 19, "there is no switch 'tor-2'"),
        ("tor: tor-1", "tor: border-1", 19, "border-1 is a border, not a ToR"),
        ("switch: border-1", "switch: tor-1", 17, "prober-1 says it is attached to tor-1"),
        ("[server-1, {", "[{", 19, "tor-1 has no port to it"),
        ("answers: false", "answers: no", 19, "answers must be true or false"),
        ("10.0.0.0/8", "192.168.0.0/16", 19, "in none of the target_prefixes"),
        ("10.0.0.0/8", "10.0.0.1/8", 2, "host bits set"),
        ("chip: chip-1", "chip: lc-1", 10, "chips with ports: chip-1"),
        ("number: 7", "number: 1", 10, "port number 1 must be positive and distinct"),
        ("fabric: edge", "fabric: edge\nfabric: core", 2, "given twice"),
        ("fabric: edge", "fabric: edge\ndscp: 64", 2, "dscp must be between"),
        ("fabric: edge", "fabric: {", 3, "not YAML"),
        ("  pod: pod-1\n", "  pod: pod-1\n  port_field: key\n", 4, "dialect 2 has no port_field"),
        ("[server-1, {", "[tor-1, {", 10, "cabled to its own switch"),
        ("  - tor-1\n", "  - tor-1\n  - tor-1\n", 16, "more than one cable"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(old, new, line, message):
    assert INVENTORY.count(old) == 1
    with pytest.raises(InventoryError, match=message) as refused:
        parse_fabric(INVENTORY.replace(old, new), "edge.yaml")
    assert str(refused.value).startswith(f"edge.yaml:{line}: ")


@pytest.mark.parametrize("text", ["", "[]", "fabric", "fabric: [1]", "switches: 3\nfabric: x", "- {", "\x00"])
def test_other_text_is_refused(text):
    with pytest.raises(InventoryError):
        parse_fabric(text)


@pytest.mark.parametrize("name", ["demo", "lab", "tiny", "dci", "fat-tree-6"])
def test_builtin_fabrics_read_back_equal(name):
    fabric = builtin_fabric(name)
    assert parse_fabric(dump_fabric(fabric)) == fabric


@st.composite
def fabrics(draw):
    leaves = draw(st.integers(1, 3))
    multi_chip = draw(st.booleans())
    fabric = build_clos(
        ClosShape(
            "drawn",
            pods=draw(st.integers(1, 3)),
            tors_per_pod=draw(st.integers(1, 3)),
            leaves_per_pod=leaves,
            spines=leaves * draw(st.integers(1, 2)),
            servers_per_tor=draw(st.integers(1, 3)),
            borders=draw(st.integers(1, 2)),
            planes=draw(st.booleans()),
            spine_line_cards=2 if multi_chip else 0,
            spine_fabric_chips=2 if multi_chip else 0,
            probers=draw(st.integers(1, 3)),
            dialects=draw(st.sampled_from([(2,), (1, "teb"), (3, 2)])),
        ),
        probe_port=draw(st.integers(1, 65_535)),
        dscp=draw(st.integers(1, 63)),
    )
    drained, silent = draw(st.booleans()), draw(st.booleans())
    return replace(
        fabric,
        switches=(replace(fabric.switches[0], drained=drained), *fabric.switches[1:]),
        servers=(replace(fabric.servers[0], answers=silent), *fabric.servers[1:]),
    )


@given(fabrics())
@settings(max_examples=30, deadline=None)
def test_any_fabric_reads_back_equal(fabric):
    assert parse_fabric(dump_fabric(fabric)) == fabric


def test_fabrics_are_loaded_by_name_and_by_file(tmp_path):
    path = tmp_path / "edge.yaml"
    path.write_text(INVENTORY)
    assert load_fabric(path) == parse_fabric(INVENTORY)
    assert load_fabric("lab") == builtin_fabric("lab")


@pytest.mark.parametrize("name", ["demmo", "missing.yaml", "fat-tree-5"])
def test_what_cannot_be_loaded_is_named(name):
    with pytest.raises(InventoryError):
        load_fabric(name)
