"""Seeded losses that must not change unnoticed: they move with initial weights, noise and losses.

Where one moves for a good reason, pin the new value and remake the tables in the documentation,
whose figures belong to the old one.
"""

from collections.abc import Callable

import pytest
import torch

from baselines.config import (
    DirectConfig,
    DiTConfig,
    EqMConfig,
    TransformerPPConfig,
)
from baselines.direct import DirectDenoiser
from baselines.dit import DiTDenoiser
from baselines.eqm import EqMDenoiser
from baselines.transformer_pp import TransformerPP
from denoise.config import STEPS, TRAINED_LEVEL, WIDE_LEVEL, EBTDenoiserConfig
from denoise.model import EBTDenoiser
from worldmodel.config import BackboneConfig, EBTConfig
from worldmodel.next_frame import NextFrameEBT
from worldmodel.predictor import Clips, Predictor

BACKBONE = BackboneConfig(layers=2, heads=2, width=64)
GRID, DIM = (4, 4), 48
NEXT_FRAME: dict[str, tuple[Callable[..., Predictor], object, float]] = {
    "ebt": (NextFrameEBT, EBTConfig(), 0.467918),
    "ebt quadratic": (NextFrameEBT, EBTConfig(form="quadratic", anchor="last_frame"), 0.723698),
    "ebt linear": (NextFrameEBT, EBTConfig(form="linear"), 0.746916),
    "ebt gradient_step": (NextFrameEBT, EBTConfig(form="gradient_step"), 0.438882),
    "ebt blind": (NextFrameEBT, EBTConfig(candidate_in_features=False), 0.681956),
    "transformer_pp": (TransformerPP, TransformerPPConfig(), 0.436703),
}
LINEAR = EBTDenoiserConfig(context=False, form="linear")
DENOISE: dict[str, tuple[Callable[..., Predictor], object, float]] = {
    "ebt": (EBTDenoiser, EBTDenoiserConfig(), 0.1028365),
    "ebt_without_context": (
        EBTDenoiser,
        EBTDenoiserConfig(context=False, form="linear"),
        0.0592353,
    ),
    "ebt_linear": (
        EBTDenoiser,
        EBTDenoiserConfig(context=False, form="linear", training_steps=1),
        0.0547492,
    ),
    "direct": (DirectDenoiser, DirectConfig(), 0.0652461),
    "direct_multi_level": (DirectDenoiser, DirectConfig(levels=[1 / STEPS, WIDE_LEVEL]), 0.1248547),
    "eqm": (EqMDenoiser, EqMConfig(), 12.748217),
    "eqm_energy": (EqMDenoiser, EqMConfig(energy="dot"), 12.744683),
    "dit": (DiTDenoiser, DiTConfig(), 0.187056),
    "dit_full_range": (DiTDenoiser, DiTConfig(levels=[1 / STEPS, 1.0]), 0.740846),
    "dit_single_level": (DiTDenoiser, DiTConfig(levels=[TRAINED_LEVEL, TRAINED_LEVEL]), 0.563911),
}


def loss_after_a_step(kind: Callable[..., Predictor], config: object, frames: int) -> float:
    """The loss of the second of two plain gradient steps, all seeds zero."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(3, frames, 16, DIM, generator=generator)
    batch = Clips(embeddings, ["a", "b", "c"])
    torch.manual_seed(0)
    model = kind(config, BACKBONE, GRID, DIM)
    model.calibrate(batch)
    for step in range(2):
        losses = []
        model.zero_grad()
        for loss in model.training_losses(batch, seed=step):
            loss.backward()
            losses.append(float(loss.detach()))
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter -= 0.05 * parameter.grad
    return sum(losses)


@pytest.mark.parametrize("name", NEXT_FRAME)
def test_next_frame_losses_are_pinned(name: str) -> None:
    kind, config, pinned = NEXT_FRAME[name]
    assert loss_after_a_step(kind, config, frames=4) == pytest.approx(pinned, rel=1e-4)


@pytest.mark.parametrize("name", DENOISE)
def test_denoising_losses_are_pinned(name: str) -> None:
    kind, config, pinned = DENOISE[name]
    assert loss_after_a_step(kind, config, frames=1) == pytest.approx(pinned, rel=1e-4)
