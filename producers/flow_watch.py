"""The plan with its flow file, and whether the file has changed."""

from __future__ import annotations

from pathlib import Path

from fabric.model import Fabric, Prober
from producers.flow_file import read_flows
from producers.plan import Plan, PlanSettings, build_plan


def planned(fabric: Fabric, prober: Prober, settings: PlanSettings) -> Plan:
    """The plan of one Prober, with the flow file that its settings name. Raises PlanRefused."""
    flows = None if settings.flows is None else read_flows(settings.flows, fabric, settings)
    return build_plan(fabric, prober, settings, flows)


class FileWatch:
    """Tells when a file has changed, come or gone since the last look; None: never."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._seen = self._look()

    def changed(self) -> bool:
        """Look again."""
        before, self._seen = self._seen, self._look()
        return self._seen != before

    def _look(self) -> tuple[int, int, int] | None:
        if self._path is None:
            return None
        try:
            found = Path(self._path).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
