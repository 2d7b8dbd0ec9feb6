"""Without mirrors: the group rule, and tomography over learnt ways. See detector.BlindDetector."""

from streams.localise.blind.detector import SPANS_US, BlindDetector, BlindSettings

__all__ = ["SPANS_US", "BlindDetector", "BlindSettings"]
