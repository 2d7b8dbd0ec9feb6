"""Without mirrors: the group rule, and tomography over learnt ways.

A `BlindDetector` is given every slot of evidence, in order:

    detector.learn(slot_us, PATHS rows)
    detector.add(slot_us, length_us, BLIND rows, PAIRS rows)
    found = detector.findings(slot_us + length_us)

After a restart it is restored from its `snapshot` and given the slots of the last SPANS_US again, without
being asked. While mirrors work it finds nothing, and costs what learning costs.
"""

from streams.localise.blind.detector import SPANS_US, BlindDetector, BlindSettings

__all__ = ["SPANS_US", "BlindDetector", "BlindSettings"]
