"""Planned maintenance in the inventory, and what lies within what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fabric.builtin import builtin_fabric
from fabric.inventory import InventoryError, dump_fabric, parse_fabric
from fabric.model import Chip, Fabric, Maintenance, UnknownElement
from fabric.within import check_element, within

LAB = builtin_fabric("lab")
WINDOW = Maintenance("spine-1", 1_772_398_800_000_000, 1_772_413_200_500_000, "new firmware")


def with_windows(*lines: str) -> str:
    return dump_fabric(LAB) + "maintenance:\n" + "".join(f"- {line}\n" for line in lines)


def test_windows_are_read_and_written() -> None:
    fabric = replace(LAB, maintenance=(WINDOW, replace(WINDOW, element="pod-1")))
    assert parse_fabric(dump_fabric(fabric)) == fabric
    assert parse_fabric(dump_fabric(LAB)).maintenance == ()


def test_times_carry_a_zone() -> None:
    text = with_windows(
        "{element: spine-1, from: 2026-03-01T22:00:00+01:00, "
        "until: '2026-03-02T01:00:00.5Z', why: new firmware}"
    )
    assert parse_fabric(text).maintenance == (WINDOW,)


GOOD = "{element: spine-1, from: 2026-03-01T22:00:00Z, until: 2026-03-02T02:00:00Z, why: optics}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("spine-1", "spine-11", "spine-1"),
        ("spine-1", "spine-1~leaf-1-9", "leaf-1-9"),
        ("spine-1", "pod-11", "pods: pod-1"),
        ("22:00:00Z", "22:00:00", "from must be a time in ISO 8601 with its zone"),
        ("2026-03-02T02:00:00Z", "tomorrow", "until must be a time in ISO 8601"),
        ("2026-03-02T02", "2026-03-01T02", "must end after it begins"),
        ("optics", "' '", "needs a reason"),
        (", why: optics", "", "has no 'why'"),
        ("why: optics", "why: optics, who: me", "unknown key 'who'"),
    ],
)
def test_a_wrong_window_is_refused_with_its_line(old: str, new: str, message: str) -> None:
    text = with_windows(GOOD, GOOD.replace(old, new))
    line = len(text.splitlines())
    with pytest.raises(InventoryError) as caught:
        parse_fabric(text, "inventory.yaml")
    assert str(caught.value).startswith(f"inventory.yaml:{line}: ")
    assert message in str(caught.value)


def chassis() -> Fabric:
    """The lab whose spine-1 has two line cards and a fabric chip."""
    spine = LAB.switch_by_name["spine-1"]
    chips = (
        Chip("spine-1", "lc-1", "line_card"),
        Chip("spine-1", "lc-2", "line_card"),
        Chip("spine-1", "fc-1", "fabric"),
    )
    ports = tuple(replace(port, chip=f"lc-{1 + row % 2}") for row, port in enumerate(spine.ports))
    other = replace(spine, chips=chips, ports=ports)
    return replace(LAB, switches=tuple(other if s is spine else s for s in LAB.switches))


CHASSIS = chassis()
PORT = CHASSIS.switch_by_name["spine-1"].ports[0]


@pytest.mark.parametrize(
    ("element", "names"),
    [
        ("spine-1", {"spine-1"}),
        ("tor-1-1", {"tor-1-1", "tor-1-1/chip-1", "pod-1"}),
        ("spine-1/lc-2", {"spine-1/lc-2", "spine-1"}),
        ("spine-1/lc-1>lc-2", {"spine-1/lc-1>lc-2", "spine-1/lc-1", "spine-1/lc-2", "spine-1"}),
        ("server-1-1-1", {"server-1-1-1", "tor-1-1", "tor-1-1/chip-1", "pod-1"}),
        ("prober-1", {"prober-1", "border-1", "border-1/chip-1"}),
        ("collector-1", {"collector-1"}),
        ("pod-1", {"pod-1"}),
        ("something else", {"something else"}),
    ],
)
def test_what_an_element_lies_within(element: str, names: set[str]) -> None:
    assert within(CHASSIS, element) == names


def test_a_link_lies_within_both_ends_and_is_one_cable_with_the_link_back() -> None:
    there, back = f"spine-1~{PORT.peer}", f"{PORT.peer}~spine-1"
    found = within(CHASSIS, there)
    assert found == within(CHASSIS, back) == within(CHASSIS, f"spine-1:{PORT.name}")
    pod = CHASSIS.switch_by_name[PORT.peer].pod
    assert {there, back, "spine-1", "spine-1/lc-1", f"spine-1:{PORT.name}", PORT.peer, pod} <= found
    assert "spine-1/lc-2" not in found
    assert {"server-1-1-1", "tor-1-1"} <= within(CHASSIS, "tor-1-1~server-1-1-1")


def test_elements_are_checked() -> None:
    for name in ("spine-1", "pod-1", "spine-1/lc-1", "server-1-1-1", "collector-1"):
        check_element(CHASSIS, name)
    with pytest.raises(UnknownElement, match="pods: pod-2"):
        check_element(CHASSIS, "pod-22")
    with pytest.raises(UnknownElement, match="no element 'nonsense'"):
        check_element(CHASSIS, "nonsense")
