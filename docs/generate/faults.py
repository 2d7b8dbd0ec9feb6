"""Block of docs/cli.md: the kinds of faults, from their source."""

from __future__ import annotations

from random import Random

from docs.generate.markdown import Block, code, table
from fabric.builtin import builtin_fabric
from fabric.fault_kinds import ELEMENT_WORDS, KINDS, TIMES, FaultKind, Parameter
from fabric.faults import FaultError, parse_spec
from fabric.lab.fault_rules import fault_rules
from fabric.model import Chip, ChipPair, Collector, Element, Fabric, Link, PortRef, Prober, Server, Switch


def blocks() -> dict[str, Block]:
    return {"fault kinds": _kinds, "fault keys": _keys}


def _kinds() -> str:
    fabric = builtin_fabric("lab")
    rows = [
        [code(name), _elements(kind.elements), _names(kind), kind.doc, _in_lab(name, kind, fabric)]
        for name, kind in KINDS.items()
    ]
    return table(["Kind", "Elements", "Keys", "What it does", "In the lab"], rows)


def _keys() -> str:
    known: dict[tuple[str, Parameter], list[str]] = {}
    for name, kind in KINDS.items():
        for key, parameter in kind.parameters.items():
            known.setdefault((key, parameter), []).append(code(name))
    rows = [
        [code(key), ", ".join(kinds), parameter.range.capitalize(), parameter.doc]
        for (key, parameter), kinds in known.items()
    ]
    return table(["Key", "Of", "Value", "Meaning"], rows)


def _in_lab(name: str, kind: FaultKind, fabric: Fabric) -> str:
    """Which elements the lab can do it to, as found by asking it."""
    done = tuple(each for each in kind.elements if _lab_does(name, kind, _example(each, fabric), fabric))
    if not done:
        return "no"
    return "yes" if done == kind.elements else f"{_elements(done)} only"


def _lab_does(name: str, kind: FaultKind, element: str, fabric: Fabric) -> bool:
    needed = {key: parameter for key, parameter in kind.parameters.items() if parameter.required}
    if kind.must_end:
        needed["for"] = TIMES["for"]
    settings = ",".join(f"{key}={parameter.most:g}" for key, parameter in needed.items())
    spec = parse_spec(f"{name}:{element}:{settings}", fabric)
    try:
        return bool(fault_rules(spec, fabric, "fault", Random(0)))
    except FaultError:
        return False


def _example(kind: type[Element], fabric: Fabric) -> str:
    switch = fabric.switches[0]
    chip = switch.chips[0].label
    port = next(port for port in switch.ports if port.peer in fabric.switch_by_name)
    examples: dict[type[Element], str] = {
        Switch: switch.name,
        Chip: switch.chips[0].name,
        ChipPair: ChipPair(switch.name, chip, chip).name,
        PortRef: PortRef(switch.name, port).name,
        Link: f"{switch.name}~{port.peer}",
        Server: fabric.servers[0].name,
        Prober: fabric.probers[0].name,
        Collector: fabric.collectors[0].name,
    }
    return examples[kind]


def _elements(kinds: tuple[type[Element], ...]) -> str:
    # "a chip pair S/C1>C2" -> "chip pair"
    named = [ELEMENT_WORDS[each].split()[1:] for each in kinds]
    return ", ".join(" ".join(word for word in words if word.islower()) for words in named)


def _names(kind: FaultKind) -> str:
    written = [code(key) + (" (required)" if p.required else "") for key, p in kind.parameters.items()]
    return ", ".join([*written, *(["`for` (required)"] if kind.must_end else [])])
