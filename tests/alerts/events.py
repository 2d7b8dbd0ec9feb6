"""Events of the topic `faults` for tests."""

from typing import Any

from alerts.fault import Fault, fault_of

T0_US = 1_760_000_000_000_000


def event(fault_id: str = "f1", version: int = 1, state: str = "open", **changes: Any) -> dict[str, Any]:
    """An event; changes: fields by name, `element` for the first suspect."""
    element = changes.pop("element", "spine-1~leaf-1-2")
    return {
        "fault_id": fault_id,
        "version": version,
        "state": state,
        "kind": "network_loss",
        "severity": "critical",
        "suspects": [{"element": element, "confidence": 0.8}] if element else [],
        "direction": "spine-1~leaf-1-2",
        "loss_rate": 0.3,
        "loss_rate_low": 0.21,
        "loss_rate_high": 0.4,
        "probes_bad": 7,
        "probes_total": 23,
        "first_seen_us": T0_US,
        "last_seen_us": T0_US + 2_000_000 + version,
        "detected_at_us": T0_US + 3_000_000 + version,
        "affected_servers": ["server-1-2-1"],
        "example_probes": [{"probe_id": 4_294_967_913, "sent_at_us": T0_US}],
        "story": "About 30 % of the probes from spine-1 to leaf-1-2 were lost (7 of 23).",
        "legs": ["probe"],
        "bits": [],
        "silenced": "",
        "flaps": 0,
        "part_of": "",
        **changes,
    }


def fault(fault_id: str = "f1", version: int = 1, state: str = "open", **changes: Any) -> Fault:
    """The same as a value."""
    return fault_of(event(fault_id, version, state, **changes))
