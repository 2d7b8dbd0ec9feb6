"""Block of docs/evaluation.md: the tables of a run of suite `full`, from the summary of its report.

To renew it: `bytetracker evaluate --suite full --report report.json`, then
`python -m docs.generate.evaluation report.json` and `python -m docs.generate`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bytetracker.evaluate.methods import OURS
from bytetracker.evaluate.tables import summary_tables
from docs.generate.markdown import Block, table

_NOT_SHOWN = {"first_hit_to_fault_ms", "link_at_first", "p90"}
SUMMARY = Path(__file__).with_name("evaluation.json")


def blocks() -> dict[str, Block]:
    return {"evaluation": lambda: _text(json.loads(SUMMARY.read_text(encoding="utf-8")))}


def keep(report: Path) -> None:
    """Take out of a report what the tables show."""
    document = json.loads(report.read_text(encoding="utf-8"))
    scenarios = document["scenarios"]
    kept = {
        "suite": document["suite"],
        "seed": document["seed"] or 1,
        "scenarios": scenarios if isinstance(scenarios, int) else len(scenarios),
        "summary": {name: _trimmed(name, each) for name, each in document["summary"].items()},
    }
    SUMMARY.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _trimmed(method: str, summary: dict[str, Any]) -> dict[str, Any]:
    """Of other methods than ours only what stands beside ours; of all, four digits."""
    if method != OURS:
        kinds = {
            kind: {key: each[key] for key in ("recall", "link")} for kind, each in summary["kinds"].items()
        }
        summary = {**summary, "kinds": kinds, "at_once": {}, "tiers": {}, "rates": {}}
    rounded: dict[str, Any] = _rounded(summary)
    return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items() if key not in _NOT_SHOWN}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return round(value, 4) if isinstance(value, float) else value


def _text(kept: dict[str, Any]) -> str:
    parts = [f"Suite `{kept['suite']}` with seed {kept['seed']}: {kept['scenarios']} scenarios."]
    for each in summary_tables(kept["summary"]):
        parts.append(f"### {each.title}\n\n{table(each.heads, each.rows)}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
