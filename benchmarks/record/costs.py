"""What a prediction costs, as it stands in a result."""

from dataclasses import dataclass, replace
from typing import TypeVar

T = TypeVar("T", int, float)


@dataclass(frozen=True)
class Cost:
    """Cost of one prediction at batch 1; null where it is not defined.

    The latency is the median of `latency_repeats` calls; where there were none, neither time nor
    memory was measured.
    """

    forward_passes: int | None
    input_gradient_passes: int | None
    forward_equivalents: float | None
    flops: int | None
    latency_ms: float | None
    latency_repeats: int
    peak_memory_bytes: int | None

    def times(self, count: int, at_once: bool = False) -> "Cost":
        """The cost of so many such predictions, or of one so many times as large.

        Time and memory are not known: some may run at once.
        """
        if count == 1:
            return self

        def scaled(value: T | None) -> T | None:
            return None if value is None else count * value

        return replace(
            self,
            forward_passes=self.forward_passes if at_once else scaled(self.forward_passes),
            input_gradient_passes=self.input_gradient_passes
            if at_once
            else scaled(self.input_gradient_passes),
            forward_equivalents=scaled(self.forward_equivalents),
            flops=scaled(self.flops),
            latency_ms=None,
            latency_repeats=0,
            peak_memory_bytes=None,
        )


NOT_COUNTED = Cost(None, None, None, None, None, 0, None)
