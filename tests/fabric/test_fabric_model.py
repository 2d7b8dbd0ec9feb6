"""Names, numbers and columns of a fabric agree with each other."""

import numpy as np
import pytest

from fabric.address import pack_address, pack_addresses, unpack_address
from fabric.builtin import SHAPES, builtin_fabric
from fabric.clos import CampusShape, ClosShape, build_clos, fat_tree
from fabric.lookup import ColumnLookup
from fabric.model import Chip, Link, Prober, Server, Switch, UnknownElement
from fabric.validate import problems_of


@pytest.fixture(scope="module")
def demo():
    return builtin_fabric("demo")


@pytest.mark.parametrize("name", [*SHAPES, "fat-tree-4", "fat-tree-8"])
def test_builtin_fabrics_are_valid(name):
    assert list(problems_of(builtin_fabric(name))) == []


def test_every_element_is_found_by_its_name(demo):
    names = [s.name for s in (*demo.switches, *demo.servers, *demo.probers)]
    names += [chip.name for s in demo.switches for chip in s.chips]
    names += [link.name for link in demo.links]
    assert len(set(names)) == len(names)
    assert all(demo.element(name).name == name for name in names)


def test_elements_have_their_types(demo):
    assert isinstance(demo.element("spine-1"), Switch)
    assert isinstance(demo.element("spine-1/lc-1"), Chip)
    assert demo.element("spine-1/fc-2").role == "fabric"
    assert isinstance(demo.element("server-1-1-1"), Server)
    assert isinstance(demo.element("prober-1"), Prober)
    assert isinstance(demo.element("tor-1-1~leaf-1-1"), Link)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("spin-1", "spine-1"),
        ("tor-1-1~leaf-9-9", "leaf-"),
        ("tor-1-1~spine-1", "tor-1-1~leaf-1-1"),
        ("spine-1/lc-9", "spine-1/lc-1"),
        ("spine-77/lc-1", "spine-7"),
        ("server-1-1-99", "server-1-1-9"),
    ],
)
def test_unknown_elements_are_refused_with_near_ones(demo, name, hint):
    with pytest.raises(UnknownElement, match=hint):
        demo.element(name)


def test_node_numbers_lead_back_to_names(demo):
    for element in (*demo.switches, *demo.servers, *demo.probers):
        assert demo.node(element.name) == element.node
        assert demo.node_name(element.node) == element.name
    assert demo.node_name(-1) == "node:-1"


def test_links_come_in_pairs_with_swapped_ports(demo):
    for link in demo.links:
        back = demo.element(f"{link.to_name}~{link.from_name}")
        assert (back.from_port, back.to_port) == (link.to_port, link.from_port)
        if link.from_name in demo.switch_by_name:
            ports = {p.number: p.peer for p in demo.switch_by_name[link.from_name].ports}
            assert ports[link.from_port] == link.to_name


def test_columns_agree_with_the_model(demo):
    index = demo.index
    for row, link in enumerate(demo.links):
        ends = [np.array([demo.node(name)], np.int32) for name in (link.from_name, link.to_name)]
        assert index.link_index(*ends) == [row]
        assert index.link_name(row) == link.name
    nodes = np.array([s.node for s in demo.servers], np.int32)
    assert (index.server_of(pack_addresses(s.addresses[0] for s in demo.servers)) == nodes).all()
    assert [demo.node_name(n) for n in index.tor_of_server(nodes)] == [s.tor for s in demo.servers]
    exporters = pack_addresses(s.exporter_addresses[0] for s in demo.switches)
    assert (index.switch_of_exporter(exporters) == index.switch_node).all()
    loopbacks = pack_addresses(s.address for s in demo.switches)
    assert (index.node_of(loopbacks) == index.switch_node).all()
    assert (index.server_of(loopbacks) == -1).all()


def test_columns_answer_for_strangers(demo):
    index = demo.index
    strangers = np.array([-1, 0, 99_999, 299_999_999], np.int32)
    assert (index.link_index(strangers, strangers) == -1).all()
    assert (index.tor_of_server(strangers) == -1).all()
    assert (index.rank_of(strangers) == -1).all()
    assert (index.pod_of(strangers) == -1).all()
    assert not index.drained_of(strangers).any()
    assert (index.node_of(pack_addresses(["203.0.113.1", "2001:db8::1"])) == -1).all()


def test_lookup_equals_a_dict():
    rng = np.random.default_rng(7)
    keys = np.unique(rng.integers(0, 2**63, 20_000, dtype=np.uint64))
    values = rng.permutation(len(keys)).astype(np.int32)
    lookup = ColumnLookup(keys, values)
    asked = np.concatenate([keys, keys + np.uint64(1), np.zeros(1, np.uint64)])
    expected = dict(zip(keys.tolist(), values.tolist(), strict=True))
    assert lookup(asked).tolist() == [expected.get(key, -1) for key in asked.tolist()]


def test_lookup_refuses_a_key_twice():
    with pytest.raises(ValueError, match="distinct"):
        ColumnLookup(np.array([1, 1], np.uint64), np.array([1, 2], np.int32))


@pytest.mark.parametrize("address", ["10.1.2.3", "2001:db8::5", "::"])
def test_addresses_round_trip(address):
    assert unpack_address(pack_address(address)) == address


@pytest.mark.parametrize(
    "text", ["", "10.1.2", "10.1.2.03", "10.1.2.256", "10.1.2.3 ", "10.1.2.3/8", "x", ":::"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="address"):
        pack_address(text)


def test_fat_tree_has_the_published_size():
    fabric = build_clos(fat_tree(8))
    tiers = [s.tier for s in fabric.switches]
    assert (tiers.count("tor"), tiers.count("leaf"), tiers.count("spine")) == (32, 32, 16)
    assert len(fabric.servers) == 128
    assert all(len(s.ports) == 8 for s in fabric.switches if s.tier in ("tor", "leaf"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spines": 3, "planes": True}, "planes"),
        ({"pods": 0}, "pods must be between"),
        ({"spine_line_cards": 2}, "fabric chips"),
        ({"dialects": ()}, "dialect"),
    ],
)
def test_shapes_that_contradict_themselves_are_refused(changes, message):
    shape = {"pods": 2, "tors_per_pod": 2, "leaves_per_pod": 2, "spines": 2, "servers_per_tor": 1}
    with pytest.raises(ValueError, match=message):
        ClosShape("bad", **(shape | changes))


def test_sites_of_a_campus_are_joined_by_dci_switches_only():
    fabric = builtin_fabric("dci")
    tiers = [s.tier for s in fabric.switches]
    assert [tiers.count(t) for t in ("tor", "leaf", "spine", "border", "dci")] == [8, 8, 8, 4, 2]
    assert [p.switch for p in fabric.probers] == ["border-1", "border-2", "border-3", "border-4"]
    assert [p.peer for p in fabric.switch_by_name["dci-2"].ports] == [f"border-{n}" for n in (1, 2, 3, 4)]
    names = {s.name for s in fabric.switches if s.tier != "dci"}
    peers = {s.name: {p.peer for p in s.ports} & names for s in fabric.switches if s.name in names}
    reached, ahead = {"tor-1-1"}, {"tor-1-1"}
    while ahead:
        ahead = set().union(*(peers[name] for name in ahead)) - reached
        reached |= ahead
    assert {name for name in reached if name.startswith("tor")} == {
        f"tor-{p}-{t}" for p in (1, 2) for t in (1, 2)
    }
    assert {name for name in reached if name.startswith(("spine", "border"))} == {
        "spine-1",
        "spine-2",
        "spine-3",
        "spine-4",
        "border-1",
        "border-2",
    }


def test_large_has_the_size_it_claims():
    fabric = builtin_fabric("large")
    assert (len(fabric.servers), len(fabric.switches)) == (102_400, 3_340)
    spine = fabric.switch_by_name["spine-256"]
    assert [chip.role for chip in spine.chips].count("line_card") == 8
    assert len({port.chip for port in spine.ports}) == 8
    last = fabric.servers[-1]
    assert fabric.index.server_of(pack_addresses(last.addresses)) == [last.node]


@pytest.mark.parametrize(
    ("sites", "dci", "message"),
    [(1, 1, "at least 2 sites"), (2, 0, "dci must be between"), (126, 1, "252 pods"), (2, 1_001, "dci must")],
)
def test_campuses_that_cannot_be_are_refused(sites, dci, message):
    site = ClosShape("site", pods=2, tors_per_pod=1, leaves_per_pod=1, spines=1, servers_per_tor=1)
    with pytest.raises(ValueError, match=message):
        CampusShape("bad", sites=(site,) * sites, dci=dci)


def test_the_lab_is_what_the_lab_needs():
    lab = builtin_fabric("lab")
    tiers = [s.tier for s in lab.switches]
    assert [tiers.count(t) for t in ("tor", "leaf", "spine")] == [4, 4, 2]
    assert len(lab.probers) == 1
    assert {s.dialect for s in lab.switches} == {2, 3}
    assert all(s.decapsulates == (s.tier == "tor") for s in lab.switches)


def test_links_know_the_chips_at_their_ends(demo):
    index = demo.index

    def chip(node, port):
        switch = demo.switch_by_name.get(node)
        if switch is None:
            return -1
        (label,) = (p.chip for p in switch.ports if p.number == port)
        return [c.label for c in switch.chips].index(label)

    ends = [(chip(k.from_name, k.from_port), chip(k.to_name, k.to_port)) for k in demo.links]
    assert list(zip(index.link_from_chip.tolist(), index.link_to_chip.tolist(), strict=True)) == ends
    assert {chips for chips in ends if min(chips) >= 0} == {(0, 0), (0, 1), (1, 0)}
