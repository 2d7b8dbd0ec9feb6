"""The addresses of every view, for tests that look at all of them."""

from __future__ import annotations

#: Name of a screenshot -> address; faults and probes as a FakeWorld has them.
VIEWS = {
    "fabric": "#/fabric",
    "fabric-switch": "#/fabric/switch/spine-3",
    "fabric-link": "#/fabric/link/leaf-1-1~spine-1",
    "fabric-pod": "#/fabric/pod/pod-1",
    "fabric-list": "#/fabric?as=list",
    "faults": "#/faults",
    "fault": "#/faults/0000000000000002",
    "probes": "#/probes",
    "probe": "#/probe/4294967304",
    "matrix": "#/matrix",
    "matrix-tors": "#/matrix?level=tor&pod_from=pod-1&pod_to=pod-2&of=rtt",
    "coverage": "#/coverage",
    "health": "#/health",
    "sql": "#/sql?q=SELECT+1",
}
SIZES = {"laptop": {"width": 1366, "height": 768}, "desk": {"width": 2560, "height": 1440}}
SCHEMES = ("light", "dark")
