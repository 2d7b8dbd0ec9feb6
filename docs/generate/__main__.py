"""`python -m docs.generate` writes the generated blocks; with `--check` it only says which are stale."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.generate import commands, cookbook, evaluation, faults, metrics, options, tables, topics
from docs.generate.markdown import Block, fill

FOLDER = Path(__file__).resolve().parents[1]


def all_blocks() -> dict[str, Block]:
    """Every block, by name."""
    return {
        **topics.blocks(),
        **tables.blocks(),
        **commands.blocks(),
        **cookbook.blocks(),
        **faults.blocks(),
        **options.blocks(),
        **metrics.blocks(),
        **evaluation.blocks(),
    }


def main(arguments: list[str]) -> int:
    """Exit status: 1 if `--check` found a stale page."""
    check = "--check" in arguments
    stale = False
    for path in sorted(FOLDER.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = fill(before, all_blocks())
        if after == before:
            continue
        stale = True
        if check:
            sys.stderr.write(f"docs/{path.name} is stale: run python -m docs.generate\n")
        else:
            path.write_text(after, encoding="utf-8")
            sys.stderr.write(f"docs/{path.name} written\n")
    return int(check and stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
