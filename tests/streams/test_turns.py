"""From chip to chip, of probes written by hand."""

from __future__ import annotations

from dataclasses import replace

from fabric.model import Fabric
from tests.streams.by_hand import DOWN, UP, Path, judge, lost
from tests.streams.fabrics import CHIPS, table
from tests.streams.logs import SMALL

LC_1, LC_2, UNKNOWN = 0, 1, -1
OUT, BACK = 1, 2
BY_LC_2 = "border-1 spine-1 leaf-2-2 tor-2-1"


def turns(*paths: Path, fabric: Fabric = CHIPS) -> dict[tuple[str, int, int, int], tuple[int, int, int]]:
    """(switch, from chip, to chip, leg) -> (passed, lost, altered)."""
    numbered = [replace(path, member=member) for member, path in enumerate(paths)]
    rows = table(judge(*numbered, fabric=fabric).heads, "turns")
    return {(CHIPS.node_name(switch), a, b, leg): tuple(counts) for switch, a, b, leg, *counts in rows}


def test_there_and_back():
    assert turns(Path(out=DOWN, back=UP), Path(out=BY_LC_2, back=UP)) == {
        ("spine-1", LC_1, LC_1, OUT): (1, 0, 0),
        ("spine-1", LC_1, LC_2, OUT): (1, 0, 0),
        ("spine-2", LC_2, LC_1, BACK): (2, 0, 0),
    }


def test_switches_of_one_chip_have_no_turns():
    assert turns(Path(out=DOWN, back=UP), fabric=SMALL) == {}


def test_lost_inside_or_behind():
    """Where two leaves lead to the ToR, the way out of the spine is not known."""
    behind = lost("border-1 spine-1 leaf-2-1", source_port=20_001)
    assert turns(lost("border-1 spine-1"), behind) == {
        ("spine-1", LC_1, UNKNOWN, OUT): (0, 1, 0),
        ("spine-1", LC_1, LC_1, OUT): (1, 0, 0),
    }


def test_lost_where_the_flow_is_known_to_go_on():
    assert turns(Path(out=BY_LC_2, back=UP), lost("border-1 spine-1")) == {
        ("spine-1", LC_1, LC_2, OUT): (1, 1, 0),
        ("spine-2", LC_2, LC_1, BACK): (1, 0, 0),
    }


def test_lost_on_the_only_way_down():
    assert turns(lost(DOWN, "tor-2-1 leaf-2-2 spine-2")) == {
        ("spine-1", LC_1, LC_1, OUT): (1, 0, 0),
        ("spine-2", LC_2, LC_1, BACK): (0, 1, 0),
    }


def test_altered_inside_or_on_the_cable_behind():
    altered = Path(out="border-1 spine-1 leaf-2-1^ tor-2-1^", back="tor-2-1 leaf-2-2 spine-2* border-1*")
    assert turns(altered) == {
        ("spine-1", LC_1, LC_1, OUT): (1, 0, 1),
        ("spine-2", LC_2, LC_1, BACK): (1, 0, 0),
    }, "the reply of an altered probe is not looked at"
    altered_back = Path(out=DOWN, back="tor-2-1 leaf-2-2 spine-2 border-1*")
    assert turns(altered_back)["spine-2", LC_2, LC_1, BACK] == (1, 0, 1)


def test_altered_and_then_lost():
    assert turns(lost("border-1 spine-1 leaf-2-1^ tor-2-1^", "tor-2-1 leaf-2-2 spine-2")) == {
        ("spine-1", LC_1, LC_1, OUT): (1, 0, 1),
        ("spine-2", LC_2, LC_1, BACK): (0, 1, 0),
    }


def test_missing_copies():
    """A gap that only one switch can fill tells the chips; any other says nothing."""
    between_leaves = Path(out="border-1 spine-1 - tor-2-1", back="tor-2-1 - spine-2 border-1")
    assert turns(between_leaves) == {}
    assert turns(Path(out="- spine-1 leaf-2-1 tor-2-1", back="tor-2-1 leaf-2-2 spine-2 -")) == {
        ("spine-1", LC_1, LC_1, OUT): (1, 0, 0),
        ("spine-2", LC_2, LC_1, BACK): (1, 0, 0),
    }
    assert turns(lost("- spine-1")) == {("spine-1", LC_1, UNKNOWN, OUT): (0, 1, 0)}


def test_east_west():
    path = Path(
        encapsulated="border-1 spine-2 leaf-1-1 tor-1-2",
        out="leaf-1-2 spine-1 leaf-2-1 tor-2-1",
        back=UP,
        via="tor-1-2",
        target="server-2-1-1",
    )
    assert turns(path) == {
        ("spine-2", LC_1, LC_1, 0): (1, 0, 0),
        ("spine-1", LC_2, LC_1, OUT): (1, 0, 0),
        ("spine-2", LC_2, LC_1, BACK): (1, 0, 0),
    }


def test_a_silent_host_is_not_lost_in_a_chip():
    assert turns(lost(DOWN)) == {("spine-1", LC_1, LC_1, OUT): (1, 0, 0)}
