"""The configuration of probes. Imports nothing heavy."""

from dataclasses import dataclass, field

from benchmarks.config import TaskConfig
from data_prep.config import require
from denoise.config import STEPS


@dataclass
class ProbeConfig:
    """How features are probed.

    Args:
        max_items: largest number of clips or images of each split that probes see, chosen at random
            but always the same (null: all).
        regularisations: strengths of the regularisation of a linear probe, of which validation
            selects one.
        attentive_steps: optimiser steps of an attentive probe (0: linear probes only).
        attentive_decays: weight decays of an attentive probe, of which validation selects one.
        noise_steps: diffusion steps of the noise on images whose features are read, of which
            validation selects one (images only).
        seed: seed of the attentive probes and of the noise.
    """

    max_items: int | None = 2000
    regularisations: list[float] = field(default_factory=lambda: [0.01, 0.1, 1.0, 10.0, 100.0])
    attentive_steps: int = 300
    attentive_decays: list[float] = field(default_factory=lambda: [0.01, 1.0])
    noise_steps: list[int] = field(default_factory=lambda: [0, 24, 99])
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.max_items is None or self.max_items >= 8, "probe.max_items must be at least 8")
        require(self.attentive_steps >= 0, "probe.attentive_steps must be at least 0")
        for name in ("regularisations", "attentive_decays"):
            values = getattr(self, name)
            require(len(values) > 0 and min(values) > 0, f"probe.{name}: numbers above 0")
        require(
            len(self.noise_steps) > 0 and all(0 <= step < STEPS for step in self.noise_steps),
            f"probe.noise_steps: steps from 0 to {STEPS - 1}",
        )


@dataclass
class ProbeTaskConfig(TaskConfig):
    """How features are probed, and of which models.

    Args:
        run: folder of a finished comparison of the domain whose models are probed, on its own
            corpus (null: models are trained first).
    """

    probe: ProbeConfig = field(default_factory=ProbeConfig)
    run: str | None = None
