"""Which events are news: the worker may say one twice, and a reader may meet old ones again."""

from __future__ import annotations

from collections import OrderedDict

from alerts.fault import Fault

#: Faults whose newest version is remembered; of those beyond, the longest unheard of is forgotten.
FAULTS_MAX = 100_000


class NewestVersions:
    """The newest version seen of each fault."""

    def __init__(self, faults_max: int = FAULTS_MAX) -> None:
        self._versions: OrderedDict[str, int] = OrderedDict()
        self._faults_max = faults_max

    def is_news(self, fault: Fault) -> bool:
        """Whether this event says something that no earlier one did; takes note of it."""
        if fault.version <= self._versions.get(fault.fault_id, 0):
            return False
        self._versions[fault.fault_id] = fault.version
        self._versions.move_to_end(fault.fault_id)
        if len(self._versions) > self._faults_max:
            self._versions.popitem(last=False)
        return True
