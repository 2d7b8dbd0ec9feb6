"""Where a run keeps its files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

#: Older runs are removed when a new one begins, all but so many.
KEPT_RUNS = 3


def run_folder(kind: str) -> Path:
    """A new folder `var/runs/KIND-...` for logs, configuration and store of one run; old ones go."""
    root = Path(os.environ.get("BYTETRACKER_RUNS", "var/runs"))
    root.mkdir(parents=True, exist_ok=True)
    earlier = sorted((p for p in root.glob(f"{kind}-*") if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for old in earlier[: max(0, len(earlier) - KEPT_RUNS + 1)]:
        shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{kind}-", dir=root)).resolve()
