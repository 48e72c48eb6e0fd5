"""What a prediction costs, as it stands in a result."""

from dataclasses import dataclass


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


NOT_COUNTED = Cost(None, None, None, None, None, 0, None)
