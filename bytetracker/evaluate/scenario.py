"""A scenario: a fabric, its noise, and the faults that strike it. Read from YAML and written back.

    fabric: demo
    seed: 7
    duration_s: 30
    interval_us: 250000
    noise: {mirror_loss: 1e-3, host: 1e-3, background: 1e-6}
    faults: ["loss:leaf-1-1~spine-1:rate=0.01,after=5"]

A file holds one scenario, or a list of them under `scenarios`; what stands beside that list holds for all
of its scenarios that do not say otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from fabric.yaml_record import InventoryError, Record, compose_record

DEFAULT_INTERVAL_US = 1_000_000
DEFAULT_TICK_MS = 100
#: Few, because small messages cost as much as large ones.
DEFAULT_PARTITIONS = 2
DEFAULT_WINDOW_S = 10.0
DURATION_S_MAX = 7 * 86_400.0


class ScenarioError(ValueError):
    """A scenario file cannot be used; the message says where (`file:line:`) and why."""


@dataclass(frozen=True, slots=True)
class Noise:
    """What goes wrong in a healthy network."""

    mirror_loss: float = 1e-3  # share of mirror copies lost, at every exporter
    host: float = 1e-3  # share of probes that a healthy server answers not (half of them) or too late
    background: float = 1e-6  # share of packets lost on every cable; a path has about ten


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run. It is a function of these values and of the program."""

    name: str
    fabric: str
    seed: int
    duration_s: float
    faults: tuple[str, ...] = ()  # specifications as on the command line, with their times
    noise: Noise = field(default_factory=Noise)
    interval_us: int = DEFAULT_INTERVAL_US  # between two groups of probes to a target
    tick_ms: int = DEFAULT_TICK_MS  # how often sources write and the stages are stepped
    partitions: int = DEFAULT_PARTITIONS  # of the joined topics
    window_s: float = DEFAULT_WINDOW_S  # that the methods look at which cut time into windows

    def document(self) -> dict[str, Any]:
        """As it stands in a file; what is a default is left out."""
        values: dict[str, Any] = {
            "name": self.name,
            "fabric": self.fabric,
            "seed": self.seed,
            "duration_s": self.duration_s,
        }
        plain = Scenario(self.name, self.fabric, self.seed, self.duration_s)
        for key in ("interval_us", "tick_ms", "partitions", "window_s"):
            if getattr(self, key) != getattr(plain, key):
                values[key] = getattr(self, key)
        values["noise"] = {each.name: getattr(self.noise, each.name) for each in fields(Noise)}
        values["faults"] = list(self.faults)
        return values


def load_scenarios(path: Path) -> list[Scenario]:
    """All scenarios of a file, in its order. Raises ScenarioError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"cannot read the scenarios {path}: {error}") from error
    return parse_scenarios(text, str(path))


def parse_scenarios(text: str, source: str = "scenarios") -> list[Scenario]:
    """The same for a document at hand. `source` names it in errors."""
    try:
        document = compose_record(text, source, "the scenario")
        common = _scenario(document, Scenario(Path(source).stem, "demo", 1, 0.0))
        records = document.records("scenarios", "a scenario")
        document.refuse_unknown_keys()
        scenarios = []
        for number, record in enumerate(records, 1):
            scenarios.append(_scenario(record, replace(common, name=f"{common.name}-{number}")))
            record.refuse_unknown_keys()
            _refuse_no_duration(record, scenarios[-1])
            if scenarios[-1].name in {each.name for each in scenarios[:-1]}:
                raise record.error(f"the name {scenarios[-1].name!r} is given twice")
        if not records:
            _refuse_no_duration(document, common)
            scenarios = [common]
    except InventoryError as error:
        raise ScenarioError(str(error)) from error
    return scenarios


def dump_scenarios(scenarios: list[Scenario]) -> str:
    """The document that `parse_scenarios` reads back as equal scenarios."""
    documents = [scenario.document() for scenario in scenarios]
    whole: Any = documents[0] if len(documents) == 1 else {"scenarios": documents}
    return str(yaml.safe_dump(whole, sort_keys=False, default_flow_style=None, width=110))


def _scenario(record: Record, common: Scenario) -> Scenario:
    return Scenario(
        name=record.text("name", common.name),
        fabric=record.text("fabric", common.fabric),
        seed=record.integer("seed", common.seed),
        duration_s=_number(record, "duration_s", common.duration_s, 0, DURATION_S_MAX),
        faults=record.texts("faults") or common.faults,
        noise=_noise(record, common.noise),
        interval_us=int(_number(record, "interval_us", common.interval_us, 10_000, 1e10)),
        tick_ms=int(_number(record, "tick_ms", common.tick_ms, 10, 1_000)),
        partitions=int(_number(record, "partitions", common.partitions, 1, 64)),
        window_s=_number(record, "window_s", common.window_s, 1, DURATION_S_MAX),
    )


def _noise(record: Record, common: Noise) -> Noise:
    found = record.mapping("noise", "noise")
    if found is None:
        return common
    noise = Noise(
        **{each.name: _number(found, each.name, getattr(common, each.name), 0, 1) for each in fields(Noise)}
    )
    found.refuse_unknown_keys()
    return noise


def _number(record: Record, key: str, default: float, least: float, most: float) -> float:
    written = record.text(key, str(default))
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        message = f"{key} must be a number from {least:g} to {most:g}, not {written!r}"
        raise InventoryError(f"{record.source}:{record.line_of(key)}: {message}")
    return value


def _refuse_no_duration(record: Record, scenario: Scenario) -> None:
    if scenario.duration_s <= 0:
        raise record.error("the scenario has no 'duration_s'")
