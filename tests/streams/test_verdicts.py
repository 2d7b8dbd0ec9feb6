"""Every rule of the verdict on paths written by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from schemas.rows import ReplyKind
from streams.settings import JoinSettings
from tests.streams.by_hand import DOWN, HEALTHY, UP, Path, judge, lost
from tests.streams.logs import SMALL

EW = {"via": "tor-1-2", "target": "server-2-1-1"}
ENC = "border-1 spine-2 leaf-1-1 tor-1-2"
EW_OUT = "leaf-1-2 spine-1 leaf-2-1 tor-2-1"

#: name: (path, verdict, last seen, next, leg)
CASES: dict[str, tuple[Path, str, str, str, str | None]] = {
    "ok": (HEALTHY, "ok", "", "", None),
    "ok although no mirror saw it": (Path(), "ok", "", "", None),
    "ok with copies missing": (Path(out="border-1 - leaf-2-1 -", back="- leaf-2-2"), "ok", "", "", None),
    "ok although some switches mirror both ways": (
        Path(out="border-1> spine-1> leaf-2-1 tor-2-1>", back="tor-2-1= leaf-2-2= spine-2= border-1="),
        *("ok", "", "", None),
    ),
    "lost after a switch that mirrors as packets go out": (
        lost("border-1= spine-1= leaf-2-1="),
        *("network_loss", "leaf-2-1", "tor-2-1", "probe"),
    ),
    # 2: no reply, but the reply was seen
    "reply lost on the way up": (lost(DOWN, "tor-2-1 leaf-2-2"), "network_loss", "leaf-2-2", "", "reply"),
    "reply lost at the ToR": (lost(DOWN, "tor-2-1"), "network_loss", "tor-2-1", "", "reply"),
    "reply lost on the way down": (
        lost(DOWN, "tor-2-1 leaf-2-2 spine-2"),
        *("network_loss", "spine-2", "border-1", "reply"),
    ),
    "reply lost at the last cable": (lost(DOWN, UP), "network_loss", "border-1", "prober-1", "reply"),
    "reply seen although the probe was not": (lost("", "tor-2-1"), "network_loss", "tor-2-1", "", "reply"),
    "reply seen by a switch of no inventory": (lost(DOWN, "9999"), "network_loss", "", "", "reply"),
    # 3: the ToR saw the SYN
    "host silent": (lost(DOWN), "host_silent", "tor-2-1", "server-2-1-1", "probe"),
    "host silent, copies missing": (lost("- - - tor-2-1"), "host_silent", "tor-2-1", "server-2-1-1", "probe"),
    "corrupted": (
        lost("border-1 spine-1 leaf-2-1* tor-2-1*"),
        *("corrupted", "spine-1", "leaf-2-1", "probe"),
    ),
    "corrupted on the last cable": (
        lost("border-1 spine-1 leaf-2-1 tor-2-1*"),
        *("corrupted", "leaf-2-1", "tor-2-1", "probe"),
    ),
    # 4: last seen before the ToR
    "lost on the way up": (lost("border-1"), "network_loss", "border-1", "", "probe"),
    "lost after the spine, which has two ways": (
        lost("border-1 spine-1"),
        "network_loss",
        "spine-1",
        "",
        "probe",
    ),
    "lost after the leaf": (
        lost("border-1 spine-1 leaf-2-1"),
        "network_loss",
        "leaf-2-1",
        "tor-2-1",
        "probe",
    ),
    "altered, then lost": (
        lost("border-1 spine-1* leaf-2-1*"),
        "network_loss",
        "leaf-2-1",
        "tor-2-1",
        "probe",
    ),
    # 5
    "unobserved": (lost(), "unobserved", "prober-1", "border-1", "probe"),
    "unobserved East-West": (lost(**EW), "unobserved", "prober-1", "border-1", "encapsulated"),
    # altered content, yet answered
    "altered on the way out": (
        Path(out="border-1 spine-1 leaf-2-1^ tor-2-1^", back=UP),
        *("altered", "spine-1", "leaf-2-1", "probe"),
    ),
    "altered before the first switch": (
        Path(out="border-1^ spine-1^ leaf-2-1^ tor-2-1^", back=UP),
        *("altered", "prober-1", "border-1", "probe"),
    ),
    "altered where a copy is missing": (
        Path(out="border-1 - leaf-2-1^ tor-2-1^", back=UP),
        *("altered", "border-1", "", "probe"),
    ),
    "altered around a truncated copy": (
        Path(out="border-1 spine-1% leaf-2-1^ tor-2-1^", back=UP),
        *("altered", "border-1", "", "probe"),
    ),
    "altered on the way back": (
        Path(out=DOWN, back="tor-2-1 leaf-2-2 spine-2* border-1*"),
        *("altered", "leaf-2-2", "spine-2", "reply"),
    ),
    "altered on the last link of the way back": (
        Path(out=DOWN, back="tor-2-1 leaf-2-2 spine-2 border-1*"),
        *("altered", "spine-2", "border-1", "reply"),
    ),
    "altered before the first switch of the way back": (
        Path(out=DOWN, back="tor-2-1* leaf-2-2* spine-2* border-1*"),
        *("altered", "server-2-1-1", "tor-2-1", "reply"),
    ),
    "reply altered and not accepted": (
        lost(DOWN, "tor-2-1 leaf-2-2 spine-2* border-1*"),
        *("corrupted", "leaf-2-2", "spine-2", "reply"),
    ),
    "altered both ways": (
        Path(out="border-1 spine-1^ leaf-2-1^ tor-2-1^", back="tor-2-1 leaf-2-2* spine-2* border-1*"),
        *("altered", "border-1", "spine-1", "probe"),
    ),
    "a bad mirror copy": (Path(out="border-1 spine-1* leaf-2-1 tor-2-1", back=UP), "ok", "", "", None),
    "a bad mirror copy of the reply": (
        Path(out=DOWN, back="tor-2-1 leaf-2-2* spine-2 border-1"),
        "ok",
        "",
        "",
        None,
    ),
    "a bad mirror copy at the ToR of a packet that was answered": (
        Path(out="border-1 spine-1 leaf-2-1 tor-2-1*", back=UP),
        *("ok", "", "", None),
    ),
    "a bad first copy of a reply": (
        Path(out=DOWN, back="tor-2-1* leaf-2-2 spine-2 border-1"),
        "ok",
        "",
        "",
        None,
    ),
    "truncated copies": (
        Path(out="border-1% spine-1% leaf-2-1% tor-2-1%", back="tor-2-1%"),
        "ok",
        "",
        "",
        None,
    ),
    # paths
    "a valley": (
        Path(out="border-1 spine-1 leaf-2-1 spine-2 leaf-2-2 tor-2-1", back=UP),
        *("unexpected_path", "", "", None),
    ),
    "no such cable": (Path(out="border-1 leaf-2-1 tor-2-1", back=UP), "unexpected_path", "", "", None),
    "a loop, and lost": (
        lost("border-1 spine-1 leaf-2-1 spine-1 leaf-2-1 spine-1"),
        *("loop", "spine-1", "", "probe"),
    ),
    "a loop of the reply": (
        lost(DOWN, "tor-2-1 leaf-2-2 spine-2 leaf-2-2 spine-2"),
        *("loop", "spine-2", "", "reply"),
    ),
    "turned back at the top": (lost("border-1 spine-1 border-1"), "loop", "border-1", "", "probe"),
    "round, and answered all the same": (
        Path(out="border-1 spine-1 leaf-2-1 spine-1 leaf-2-1 tor-2-1", back=UP),
        *("unexpected_path", "", "", None),
    ),
    "two switches of no inventory are no loop": (lost("border-1 9998 9999"), "network_loss", "", "", "probe"),
    "the TTL ran out": (lost("spine-1 leaf-2-1", first_ttl=2), "loop", "leaf-2-1", "", "probe"),
    "the TTL was just enough": (
        lost("spine-1 leaf-2-1 tor-2-1", first_ttl=3),
        "host_silent",
        "tor-2-1",
        "server-2-1-1",
        "probe",
    ),
    # replies
    "SYN-ACK": (replace(HEALTHY, reply_kind=ReplyKind.SYN_ACK), "unexpected_reply", "", "", None),
    "ICMP": (replace(HEALTHY, reply_kind=ReplyKind.ICMP), "unexpected_reply", "", "", None),
    "late reply": (lost(DOWN, UP, back_after_us=600_000), "late_reply", "", "", None),
    "late and lost on the way": (
        lost(DOWN, "tor-2-1 leaf-2-2", back_after_us=600_000),
        *("network_loss", "leaf-2-2", "", "reply"),
    ),
    "duplicate reply": (
        Path(out=DOWN, back="tor-2-1 leaf-2-2+ spine-2+ border-1+"),
        "duplicate_reply",
        "",
        "",
        None,
    ),
    "a mirror that doubles": (Path(out=DOWN, back="tor-2-1 leaf-2-2 spine-2+ border-1"), "ok", "", "", None),
    "a doubled probe is no doubled reply": (
        Path(out="border-1+ spine-1+ leaf-2-1+ tor-2-1+", back=UP),
        "ok",
        "",
        "",
        None,
    ),
    # East-West
    "East-West ok": (Path(encapsulated=ENC, out=EW_OUT, back=UP, **EW), "ok", "", "", None),
    "East-West lost on the way to the ToR": (
        lost(encapsulated="border-1 spine-2", **EW),
        *("network_loss", "spine-2", "", "encapsulated"),
    ),
    "East-West lost on the way up to a spine": (
        lost(encapsulated="border-1", **EW),
        *("network_loss", "border-1", "", "encapsulated"),
    ),
    "East-West lost after decapsulation": (
        lost(encapsulated=ENC, **EW),
        *("network_loss", "tor-1-2", "", "probe"),
    ),
    "East-West lost on the inner way": (
        lost("leaf-1-2 spine-1", encapsulated=ENC, **EW),
        *("network_loss", "spine-1", "", "probe"),
    ),
    "East-West host silent": (
        lost(EW_OUT, encapsulated=ENC, **EW),
        "host_silent",
        "tor-2-1",
        "server-2-1-1",
        "probe",
    ),
    "East-West altered where it is decapsulated": (
        Path(encapsulated=ENC, out="leaf-1-2^ spine-1^ leaf-2-1^ tor-2-1^", back=UP, **EW),
        *("altered", "tor-1-2", "leaf-1-2", "probe"),
    ),
    "East-West altered on the way to the ToR": (
        Path(
            encapsulated="border-1 spine-2^ leaf-1-1^ tor-1-2^",
            out=EW_OUT.replace(" ", "^ ") + "^",
            back=UP,
            **EW,
        ),
        *("altered", "border-1", "spine-2", "encapsulated"),
    ),
    # between Probers
    "between Probers": (
        Path(out="border-1 spine-1 border-2", back="border-2 spine-1 border-1", target="prober-2"),
        "ok",
        "",
        "",
        None,
    ),
    "a Prober that is silent": (
        lost("border-1 spine-1 border-2", target="prober-2"),
        *("host_silent", "border-2", "prober-2", "probe"),
    ),
    "a target of no inventory": (
        lost("border-1 spine-1", target="192.0.2.1"),
        "network_loss",
        "spine-1",
        "",
        "probe",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_verdict(name):
    path, verdict, last, following, leg = CASES[name]
    row = judge(path).only
    found = (row["verdict"], row["last_seen"], row["next_node"], row["fault_leg"])
    assert found == (verdict, last, following, leg), row["reason"]


def drained(name: str):
    switches = tuple(replace(s, drained=True) if s.name == name else s for s in SMALL.switches)
    return replace(SMALL, switches=switches)


def test_through_a_drained_switch():
    assert judge(HEALTHY, fabric=drained("spine-1")).only["verdict"] == "unexpected_path"
    assert judge(HEALTHY, fabric=drained("leaf-1-1")).only["verdict"] == "ok"


def test_a_host_known_to_be_silent_is_no_evidence():
    servers = tuple(replace(s, answers=s.name != "server-2-1-1") for s in SMALL.servers)
    known = replace(SMALL, servers=servers)
    path = lost(DOWN)
    assert judge(path).counted("lost") == {("tor-2-1", "server-2-1-1", 1): 1}
    said = judge(path, fabric=known)
    assert said.only["verdict"] == "host_silent"
    assert said.counted("lost") == {}
    assert said.counted("passed")
    assert all(not head["examples"] for head in said.heads)


def test_three_of_three_lost_at_one_tor_is_the_network():
    """Evidence beats counting: all members timed out, and yet it is no host fault."""
    said = judge(*(lost("border-1 spine-1 leaf-2-1", member=m) for m in range(3)))
    assert {row["verdict"] for row in said.rows.values()} == {"network_loss"}
    assert said.counted("lost") == {("leaf-2-1", "tor-2-1", 1): 3}


@pytest.mark.parametrize(
    ("members", "verdicts"),
    [
        ((lost(), lost(), lost()), ["host_silent"] * 3),
        ((lost(), Path(), lost()), ["network_loss", "ok", "network_loss"]),
        ((lost(), Path(), Path()), ["network_loss", "ok", "ok"]),
        ((lost(), lost()), ["network_loss"] * 2),  # the third outcome is missing: nobody knows
    ],
)
def test_groups_judge_where_nothing_is_mirrored(members, verdicts):
    settings = JoinSettings(sample_one_in=1, mirrors=False)
    said = judge(*(replace(p, member=m) for m, p in enumerate(members)), settings=settings)
    assert [row["verdict"] for _, row in sorted(said.rows.items())] == verdicts
    assert said.counted("lost") == {}, "where in the network is not known"


def test_evidence_of_a_healthy_probe():
    said = judge(HEALTHY)
    out = ["prober-1", *DOWN.split(), "server-2-1-1"]
    back = ["server-2-1-1", *UP.split(), "prober-1"]
    expected = {(a, b, 1): 1 for a, b in pairwise(out)}
    expected |= {(a, b, 2): 1 for a, b in pairwise(back)}
    assert said.counted("passed") == expected
    assert not said.counted("lost") | said.counted("altered") | said.counted("missing")


def test_evidence_of_missing_copies():
    """A gap that one switch alone can fill, a ToR and a border switch that did not mirror."""
    said = judge(Path(out="border-1 spine-1 leaf-2-1 -", back="- leaf-2-2 spine-2 -"))
    assert said.counted("missing") == {
        ("leaf-2-1", "tor-2-1", 1): 1,
        ("server-2-1-1", "tor-2-1", 2): 1,
        ("spine-2", "border-1", 2): 1,
    }
    said = judge(Path(out="border-1 spine-1 - tor-2-1", back=UP))
    assert said.counted("missing") == {}, "either leaf can have been the one"


def test_evidence_of_an_alteration():
    said = judge(Path(out="border-1 spine-1 leaf-2-1^ tor-2-1^", back=UP))
    assert said.counted("altered") == {("spine-1", "leaf-2-1", 1): 1}
    assert [e["verdict"] for head in said.heads for e in head["examples"]] == ["altered"]


def damaged(said) -> dict[str, int]:
    return {
        SMALL.node_name(each["switch"]): each["damaged"]
        for head in said.heads
        for each in head["exporters"]
        if each["damaged"]
    }


def test_a_mirror_known_to_damage_copies_makes_no_alteration():
    """Of a copy at the end of its way nobody can tell; but other copies of the same switch can be told."""
    last_of_reply = Path(out=DOWN, back="tor-2-1 leaf-2-2 spine-2 border-1*", member=1)
    assert judge(last_of_reply).only["verdict"] == "altered"
    proof = Path(out="border-1* spine-1 leaf-2-1 tor-2-1", back=UP)
    said = judge(proof, last_of_reply)
    assert {row["verdict"] for row in said.rows.values()} == {"ok"}
    assert said.counted("altered") == {}
    assert damaged(said) == {"border-1": 2}

    silent = lost("border-1 spine-1 leaf-2-1 tor-2-1*", member=1)
    assert judge(silent).only["verdict"] == "corrupted"
    said = judge(Path(out="border-1 spine-1 leaf-2-1 tor-2-1*", back=UP), silent)
    assert [row["verdict"] for _, row in sorted(said.rows.items())] == ["ok", "host_silent"]
    assert damaged(said) == {"tor-2-1": 2}


def test_a_mirror_that_damages_copies_hides_no_alteration_that_others_saw():
    proof = Path(out="border-1 spine-1 leaf-2-1* tor-2-1", back=UP)
    said = judge(proof, Path(out="border-1 spine-1 leaf-2-1* tor-2-1*", back=UP, member=1))
    assert said.counted("altered") == {("spine-1", "leaf-2-1", 1): 1}
    assert damaged(said) == {"leaf-2-1": 1}


def test_an_altered_packet_that_was_lost_later_is_evidence_of_both():
    said = judge(lost("border-1 spine-1^ leaf-2-1^"))
    assert said.only["verdict"] == "network_loss"
    assert said.counted("altered") == {("border-1", "spine-1", 1): 1}
    assert said.counted("lost") == {("leaf-2-1", "tor-2-1", 1): 1}
    examples = {(e["from_node"], e["verdict"]) for head in said.heads for e in head["examples"]}
    node = SMALL.node
    assert examples == {(node("border-1"), "altered"), (node("leaf-2-1"), "network_loss")}


def test_hops_stand_in_the_order_of_legs_and_ttls():
    row = judge(Path(encapsulated=ENC, out=EW_OUT, back=UP, **EW)).only
    assert [h["switch"] for h in row["hops"]] == f"{ENC} {EW_OUT} {UP}".split()
    assert [h["leg"] for h in row["hops"]] == ["encapsulated"] * 4 + ["probe"] * 4 + ["reply"] * 4
    assert row["via"] == "tor-1-2"
    assert row["kind"] == "east_west"
