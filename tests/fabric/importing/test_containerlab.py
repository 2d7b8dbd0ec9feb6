"""containerlab files as inventories: what is understood, what is said, and what is refused."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bytetracker.planning import plan_document
from fabric.builtin import builtin_fabric
from fabric.importing.containerlab import read_containerlab
from fabric.importing.draft import ImportOptions
from fabric.importing.inventory_text import Imported, import_draft
from fabric.importing.report import ImportRefused, ImportReport
from fabric.importing.roles import parse_role
from fabric.inventory import InventoryError, parse_fabric
from tests.fabric.importing.sources import containerlab_of

LEAF_SPINE = (Path(__file__).parent / "leaf_spine.clab.yml").read_text()


def imported(text: str, *roles: str, **options: object) -> Imported:
    report = ImportReport()
    draft = read_containerlab(text, "lab.clab.yml", report)
    every = ImportOptions(roles=tuple(map(parse_role, roles)), **options)  # type: ignore[arg-type]
    return import_draft(draft, every, report, "lab.clab.yml")


def said(result: Imported, what: str) -> list[str]:
    """Elements of the findings of a kind."""
    return [element for f in result.report.findings if f.what == what for element in f.elements]


@pytest.mark.parametrize("name", ["lab", "small", "dci"])
def test_a_built_in_fabric_comes_back_with_its_links(name: str) -> None:
    original = builtin_fabric(name)
    result = imported(containerlab_of(original))
    assert result.loads, result.report.of("gap")
    back = parse_fabric(result.text)
    assert back == result.fabric
    assert set(back.links) == set(original.links)
    assert back.switch_links and set(back.switch_links) == set(original.switch_links)
    for switch in original.switches:
        again = back.switch_by_name[switch.name]
        assert (again.tier, again.pod, again.address) == (switch.tier, switch.pod, switch.address)
        assert again.exporter_addresses == switch.exporter_addresses
        assert [(p.number, p.name, p.peer) for p in again.ports] == [
            (p.number, p.name, p.peer) for p in switch.ports
        ]
    assert {s.name: s.addresses for s in back.servers} == {s.name: s.addresses for s in original.servers}
    assert {c.address for c in back.collectors} == {c.address for c in original.collectors}


def test_what_is_imported_can_be_probed() -> None:
    original = builtin_fabric("lab")
    plan = plan_document(parse_fabric(imported(containerlab_of(original)).text))
    of_original = plan_document(original)
    north_south = [p["groups"]["north_south"] for p in plan["probers"]]
    assert north_south == [p["groups"]["north_south"] for p in of_original["probers"]]
    assert north_south[0] == len(original.servers)


def test_a_usual_lab() -> None:
    result = imported(LEAF_SPINE)
    switches = result.fabric.switch_by_name
    # There are servers on the leaves and no ToRs: the leaves are what we call ToRs.
    assert {name: switch.tier for name, switch in switches.items()} == {
        "spine1": "spine",
        "spine2": "spine",
        "leaf1": "tor",
        "leaf2": "tor",
    }
    assert said(result, "tier-moved") == ["leaf1", "leaf2"]
    assert switches["leaf1"].pod == switches["leaf2"].pod == "pod-1"  # joined by their peer link
    assert [(p.number, p.name, p.peer) for p in switches["leaf1"].ports] == [
        (1, "e1-1", "client1"),
        (49, "e1-49", "spine1"),
        (50, "e1-50", "spine2"),
        (56, "e1-56", "leaf2"),
    ]
    servers = result.fabric.server_by_name
    assert servers["client1"].addresses == ("172.17.0.11", "2001:db8:17::11")
    assert servers["client2"].addresses == ("172.17.1.12",)
    assert result.fabric.target_prefixes == ("172.17.0.0/23", "2001:db8:17::/64")
    assert said(result, "cable-parallel") == ["spine2:e1-3 - leaf2:e1-51"]
    assert said(result, "second-switch") == ["leaf2:ethernet-1/2 - client1:eth2"]
    assert said(result, "same-tier") == ["leaf1:e1-56 - leaf2:e1-56"]
    assert said(result, "cable-to-unknown") == ["leaf2:e1-3 - exchange:leaf2"]
    assert len(said(result, "link-outside")) == 2
    assert said(result, "skipped") == ["exchange"]
    assert said(result, "server-without-switch") == ["gnmic"]
    assert {"no-prober", "no-collector", "chips-unknown"} <= {f.what for f in result.report.of("missing")}


def test_gaps_are_named_by_the_line_that_loading_names() -> None:
    result = imported(LEAF_SPINE)
    text = result.text
    filled = 0
    while gaps := lines_of_gaps(text):
        with pytest.raises(InventoryError, match=rf"inventory:{gaps[0]}: .*MISSING"):
            parse_fabric(text)
        filled += 1
        text = text.replace("address: MISSING", f"address: 10.255.0.{filled}", 1)
    assert filled == 4  # loopbacks of four switches
    assert len(parse_fabric(text).switches) == 4
    # What the report says of lines is what is there.
    lines = result.text.splitlines()
    for finding in result.report.of("gap"):
        assert finding.line is not None
        name = finding.message.partition(":")[0]
        assert name in lines[finding.line - 1]


def lines_of_gaps(text: str) -> list[int]:
    """Lines of the elements that hold a gap."""
    lines = text.splitlines()
    starts = [row for row, line in enumerate(lines) if line.startswith("- name")]
    return [
        max(start for start in starts if start <= row) + 1
        for row, line in enumerate(lines)
        if "MISSING" in line and not line.startswith("#")
    ]


def test_words_of_the_operator_go_before_the_defaults() -> None:
    result = imported(LEAF_SPINE, "spine=leaf", "leaf2=border", "gnmic=skip", "nowhere=tor")
    assert result.fabric.switch_by_name["spine1"].tier == "leaf"
    assert result.fabric.switch_by_name["leaf2"].tier == "border"
    assert said(result, "server-without-switch") == []
    assert said(result, "role-unused") == ["nowhere"]
    with pytest.raises(ImportRefused, match="WORD=ROLE"):
        parse_role("leaf=switch")
    with pytest.raises(ImportRefused, match="WORD=ROLE"):
        parse_role("leaf")


def test_the_older_spelling_of_management_addresses() -> None:
    node = "{kind: srl, mgmt_ipv4: 172.100.100.6, mgmt_ipv6: 2001:172::6}"
    (switch,) = imported(f"name: x\ntopology:\n  nodes:\n    spine1: {node}\n").fabric.switches
    assert switch.exporter_addresses == ("172.100.100.6", "2001:172::6")


def test_super_spines_make_leaves_of_spines() -> None:
    text = """
name: five-stage
topology:
  defaults: {kind: arista_ceos}
  nodes:
    super-spine1: {group: superspine}
    spine1: {group: spine}
    leaf1: {group: leaf}
    host1: {kind: linux}
  links:
  - endpoints: ["super-spine1:eth1", "spine1:eth9"]
  - endpoints: ["spine1:eth1", "leaf1:eth9"]
  - endpoints: ["leaf1:eth1", "host1:eth1"]
"""
    tiers = {s.name: s.tier for s in imported(text).fabric.switches}
    assert tiers == {"super-spine1": "spine", "spine1": "leaf", "leaf1": "tor"}


def test_a_switch_of_no_known_tier_is_a_gap() -> None:
    result = imported("name: x\ntopology:\n  nodes:\n    r7: {kind: cisco_n9kv}\n")
    assert "tier: MISSING" in result.text
    with pytest.raises(InventoryError, match="tier must be one of"):
        parse_fabric(result.text)
    assert not result.loads


def test_pods_that_the_labels_put_apart_and_the_cables_together_are_said() -> None:
    text = """
name: x
topology:
  nodes:
    tor1: {kind: arista_ceos, labels: {pod: a}}
    tor2: {kind: arista_ceos, labels: {pod: b}}
    leaf1: {kind: arista_ceos}
  links:
  - endpoints: ["tor1:eth1", "leaf1:eth1"]
  - endpoints: ["tor2:eth1", "leaf1:eth2"]
"""
    result = imported(text)
    assert set(said(result, "pods-joined")) == {"tor1", "tor2", "leaf1"}
    assert any("leaf1: its pod is MISSING" in finding.message for finding in result.report.of("gap"))


def test_numbers_are_kept() -> None:
    first = parse_fabric(imported(containerlab_of(builtin_fabric("small"))).text)
    # One switch more in front, and one less.
    text = containerlab_of(builtin_fabric("small"))
    text = text.replace("nodes:\n", "nodes:\n    leaf-9-9: {kind: arista_ceos}\n", 1)
    result = imported(text, "tor-1-1=skip", previous=first)
    for switch in result.fabric.switches:
        if switch.name != "leaf-9-9":
            assert switch.number == first.switch_by_name[switch.name].number
            kept = {p.name: p.number for p in first.switch_by_name[switch.name].ports}
            assert all(kept[p.name] == p.number for p in switch.ports)
    fresh = result.fabric.switch_by_name["leaf-9-9"].number
    assert fresh not in {switch.number for switch in first.switches}
    assert "tor-1-1" in said(result, "gone")


def test_names_that_are_not_allowed_are_written_otherwise_and_said() -> None:
    text = """
name: my lab
topology:
  nodes:
    "leaf 1/a": {kind: arista_ceos, labels: {pod: one}}
    "leaf 1 a": {kind: arista_ceos, labels: {pod: one}}
  links:
  - endpoints: ["leaf 1/a:eth1", "leaf 1 a:eth1"]
"""
    result = imported(text)
    assert result.fabric.name == "my-lab"
    assert said(result, "name-spelled") == ["leaf 1/a -> leaf-1-a", "leaf 1 a -> leaf-1-a"]
    # Both come out the same: that cannot be loaded, and is said.
    assert any("is taken by" in finding.message for finding in result.report.of("gap"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no mapping"),
        ("- a\n- b\n", "no mapping"),
        ("name: x\n", "no `topology`"),
        ("name: x\ntopology: {links: []}\n", "no `nodes`"),
        ("name: x\ntopology:\n  nodes: [a, b]\n", "lab.clab.yml:3: nodes must be a mapping"),
        (
            "name: x\ntopology:\n  nodes:\n    a: {}\n  links:\n  - endpoints: [a]\n",
            "lab.clab.yml:6: an endpoint",
        ),
        (
            "name: x\ntopology:\n  nodes: {a: {}}\n  links:\n  - endpoints: ['a:1']\n",
            "5: a link has 2 endpoints",
        ),
        ("name: x\ntopology:\n  nodes: {a: {}}\n  links:\n  - {}\n", "5: a link has `endpoints`"),
        ("name: x\ntopology:\n  nodes: {a: {}}\n  links: nothing\n", "4: links must be a list"),
        ("name: x\ntopology:\n  nodes: {a: {}, a: {}}\n", "a is given twice"),
        ("name: {{ .name }}\n topology:\n  nodes: {{ range }}\n", "a template has to be rendered"),
        ("name: x\ntopology: {nodes: {a: {kind: [x]}}}", "kind must be a single value"),
        ("[" * 5000, "lab.clab.yml"),
        ("a: &a {<<: *a}\ntopology: *a", "lab.clab.yml"),
        ("name: \x00", "not YAML"),
    ],
)
def test_what_is_no_topology_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ImportRefused) as refused:
        imported(text)
    assert message in str(refused.value)


def test_anchors_that_refer_to_each_other_do_not_blow_up() -> None:
    bomb = "a0: &a0 {x: y}\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )
    result = imported(f"{bomb}name: x\ntopology: {{nodes: {{leaf1: {{kind: arista_ceos}}}}}}\n")
    assert list(result.fabric.switch_by_name) == ["leaf1"]


def test_a_report_is_fit_for_a_terminal() -> None:
    from fabric.importing.report import report_text

    result = imported('name: x\ntopology:\n  nodes:\n    "leaf\\e[2J1": {kind: arista_ceos}\n')
    text = report_text(result.report)
    assert "leaf\\x1b[2J1" in text
    assert "\x1b" not in text


_NAMES = st.sampled_from(["leaf1", "tor-1", "spine 2", "srv", "client1", "host", "", "a/b", "MISSING", "1.5"])
_VALUES: st.SearchStrategy[object] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), _NAMES, st.just("10.0.0.1/24"), st.just("leaf1:e1")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=6,
)
_NODE = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(["linux", "bridge", "nokia_srlinux", "x"]) | _VALUES,
        "group": _NAMES | _VALUES,
        "labels": st.dictionaries(
            st.sampled_from(
                ["role", "pod", "bytetracker-role", "bytetracker-address", "bytetracker-exporter"]
            ),
            st.sampled_from(["tor", "leaf", "server", "prober", "10.1.1.1", "10.1.1.2/24,x", "MISSING", ""]),
            max_size=4,
        )
        | _VALUES,
        "mgmt-ipv4": st.sampled_from(["172.20.0.1", "172.20.0.2", "nonsense"]) | _VALUES,
        "exec": st.just(["ip addr add 10.9.9.9/24 dev eth1"]) | _VALUES,
    },
)
_END = st.builds(lambda node, port: f"{node}:{port}", _NAMES, st.sampled_from(["e1", "e2", "e3~4", ""]))
_LINK = st.one_of(
    st.fixed_dictionaries({"endpoints": st.lists(_END, min_size=2, max_size=2)}),
    st.fixed_dictionaries({"type": st.just("dummy"), "endpoint": _VALUES}),
    _VALUES,
)


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "name": _NAMES,
            "topology": st.fixed_dictionaries(
                {
                    "nodes": st.dictionaries(_NAMES, _NODE | _VALUES, max_size=6),
                    "links": st.lists(_LINK, max_size=6),
                },
                optional={"defaults": _NODE, "kinds": _VALUES, "groups": _VALUES},
            ),
        }
    )
)
def test_whatever_the_file_holds_the_report_says_whether_the_inventory_loads(document: object) -> None:
    import yaml

    try:
        result = imported(yaml.safe_dump(document))
    except ImportRefused:
        return
    if result.loads:
        assert parse_fabric(result.text) == result.fabric
    else:
        with pytest.raises(InventoryError):
            parse_fabric(result.text)
