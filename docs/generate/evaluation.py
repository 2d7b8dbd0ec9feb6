"""Block of docs/evaluation.md: the tables of a run of suite `full`, from the summary of its report.

To renew it: `bytetracker evaluate --suite full --report report.json`, then
`python -m docs.generate.evaluation report.json` and `python -m docs.generate`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bytetracker.evaluate.tables import summary_tables
from docs.generate.markdown import Block, table

SUMMARY = Path(__file__).with_name("evaluation.json")


def blocks() -> dict[str, Block]:
    return {"evaluation": lambda: _text(json.loads(SUMMARY.read_text(encoding="utf-8")))}


def keep(report: Path) -> None:
    """Take the summary out of a report."""
    document = json.loads(report.read_text(encoding="utf-8"))
    kept = {key: document[key] for key in ("suite", "seed", "summary")}
    kept["scenarios"] = len(document["scenarios"])
    SUMMARY.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _text(kept: dict[str, Any]) -> str:
    parts = [f"Suite `{kept['suite']}` with seed {kept['seed'] or 1}: {kept['scenarios']} scenarios."]
    for each in summary_tables(kept["summary"]):
        parts.append(f"### {each.title}\n\n{table(each.heads, each.rows)}")
    return "\n\n".join(parts)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
