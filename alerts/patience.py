"""How long to wait before the next try."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Exponential back-off with jitter. Waits are s."""

    min_s: float
    max_s: float

    def wait_s(self, failures: int, random: float) -> float:
        """The wait after so many failures in a row (1: the first). `random`: 0 to 1; receivers that failed
        together do not come back together, hence half of the wait is drawn."""
        # 2 ** 60 is more than any wait; beyond, a float would overflow.
        longest_s = min(self.max_s, self.min_s * 2.0 ** min(failures - 1, 60))
        return longest_s * (0.5 + 0.5 * random)
